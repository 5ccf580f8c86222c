"""Two recorded systems beside each other, seed by seed and image by image."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bandwise.evaluation.metrics import unpack_right
from bandwise.runs.documents import Results, Scores
from tools.recorded import Recorded, scores_of, seed_of

System = tuple[str, str]
"""A recipe, and `fused` (the rule of its configuration) or the name of another rule."""

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Difference:
    """One system minus another, over the seeds that both have."""

    points: tuple[float, ...]
    """Differences of top-1 in percentage points, one a seed."""
    half_width: float | None
    """Half of the 95 % interval of their mean over the choice of images, in points; None without answers by image."""
    p_values: tuple[float, ...]
    """Exact McNemar test, one a seed; empty without answers by image."""


def difference(results: Recorded, first: System, second: System) -> Difference | None:
    """Compare two systems seed by seed and image by image; None where no seed has both.

    The interval is that of a mean of paired differences: of each image, the difference averaged over the seeds. It
    says how far other images of the same kind may move the mean; the spread of `points` says what seeds do.
    """
    pairs = list(_pairs(results, first, second))
    if not pairs:
        return None
    points = tuple(100 * (ours.top1 - theirs.top1) for _, ours, _, theirs in pairs)
    answers = [_answers(run, first[1], other, second[1]) for run, _, other, _ in pairs]
    known = [pair for pair in answers if pair is not None]
    if len(known) < len(pairs):
        return Difference(points, None, ())
    each = np.mean([ours.astype(float) - theirs for ours, theirs in known], axis=0)
    half = 100 * _NORMAL_95 * float(each.std(ddof=1)) / math.sqrt(each.size)
    return Difference(points, half, tuple(_mcnemar(ours, theirs) for ours, theirs in known))


def _pairs(results: Recorded, first: System, second: System) -> Iterator[tuple[Results, Scores, Results, Scores]]:
    others = {seed_of(run): run for run in results.get(second[0], [])}
    for run in results.get(first[0], []):
        other = others.get(seed_of(run))
        if other is None:
            continue
        ours, theirs = scores_of(run, first[1]), scores_of(other, second[1])
        if ours is not None and theirs is not None:
            yield run, ours, other, theirs


def _answers(
    run: Results, system: str, other: Results, other_system: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    ours, theirs = run.answers, other.answers
    if ours is None or theirs is None or ours.images != theirs.images:
        return None
    if system not in ours.right or other_system not in theirs.right:
        return None
    return unpack_right(ours.right[system], run.n_eval), unpack_right(theirs.right[other_system], other.n_eval)


def _mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
