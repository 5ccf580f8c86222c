"""Small statistics of recorded results: spread over seeds, paired differences, rank correlation."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.evaluation.bitset import unpack
from bandwise.report.paired import compare

Results = dict[str, list[dict[str, Any]]]
"""Recorded results by recipe, in the order of the seeds."""

_NORMAL_95 = 1.959964


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write mean and sample standard deviation, `60.92 ± 0.61`; the mean alone where there is one value."""
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def seed_of(run: dict[str, Any]) -> int:
    """Return the seed of a recorded result."""
    return run["config"]["training"]["seed"]


def score_of(run: dict[str, Any], system: str) -> dict[str, Any] | None:
    """Return the scores of `fused` (the rule of the configuration) or of another rule; None where it was not tried."""
    return run["fused"] if system == "fused" else run["rules"].get(system)


@dataclass(frozen=True, slots=True)
class Difference:
    """One system minus another, over the seeds that both have."""

    points: tuple[float, ...]
    """Differences of top-1 in percentage points, one a seed."""
    half_width: float | None
    """Half of the 95 % interval of their mean over the choice of images, in points; None without answers by image."""
    p_values: tuple[float, ...]
    """Exact McNemar test, one a seed; empty without answers by image."""

    @property
    def mean(self) -> float:
        """Mean difference in points."""
        return statistics.mean(self.points)


def difference(results: Results, first: tuple[str, str], second: tuple[str, str]) -> Difference | None:
    """Compare two systems seed by seed and image by image; None where no seed has both.

    The interval is that of a mean of paired differences: of each image, the difference averaged over the seeds. It
    says how far other images of the same kind may move the mean; the spread of `points` says what seeds do.

    Args:
        results: the recorded results.
        first: recipe, and `fused` or the name of a rule.
        second: likewise.
    """
    pairs = list(_pairs(results, first, second))
    if not pairs:
        return None
    points = tuple(100 * (ours["top1"] - theirs["top1"]) for _, ours, _, theirs in pairs)
    answers = [_answers(run, first[1], other, second[1]) for run, _, other, _ in pairs]
    known = [pair for pair in answers if pair is not None]
    if len(known) < len(pairs):
        return Difference(points, None, ())
    each = np.mean([ours.astype(float) - theirs for ours, theirs in known], axis=0)
    half = 100 * _NORMAL_95 * float(each.std(ddof=1)) / math.sqrt(each.size)
    return Difference(points, half, tuple(compare(ours, theirs).p_value for ours, theirs in known))


def _pairs(results: Results, first: tuple[str, str], second: tuple[str, str]) -> Any:
    others = {seed_of(run): run for run in results.get(second[0], [])}
    for run in results.get(first[0], []):
        other = others.get(seed_of(run))
        if other is None:
            continue
        ours, theirs = score_of(run, first[1]), score_of(other, second[1])
        if ours is not None and theirs is not None:
            yield run, ours, other, theirs


def _answers(
    run: dict[str, Any], system: str, other: dict[str, Any], other_system: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    ours, theirs = run.get("answers"), other.get("answers")
    if ours is None or theirs is None or ours["images"] != theirs["images"]:
        return None
    if system not in ours["right"] or other_system not in theirs["right"]:
        return None
    return unpack(ours["right"][system], run["n_eval"]), unpack(theirs["right"][other_system], other["n_eval"])


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank; NaN where one is constant."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else math.nan


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, places, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]
