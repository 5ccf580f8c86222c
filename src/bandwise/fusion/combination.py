"""A fitted fusion: how the logits of some branches become one, as plain numbers that a JSON file can hold.

And how fusions are judged: how often they are right and how probable they find the labels, in one pass over the logits.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.evaluation.blocks import FloatArray, Logits, blocks
from bandwise.files.schema import parse
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.convex import IntArray, negative_log_likelihoods
from bandwise.runs.documents import HeadLeftOut

_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion:
    """Fused logits are `sum_i weights[i] * logits[i] / temperature`."""

    rule: str
    """`mean`, `geometric`, `learned` or `greedy`."""
    branches: tuple[int, ...]
    """The branches that are fused, in the order of the weights."""
    weights: tuple[float, ...]
    """Non-negative, with sum 1."""
    temperature: float = 1.0
    """Positive; dividing by it changes the confidence, never the answer."""
    fitted_on: str = "nothing"
    """The split that the weights and the temperature were fitted on; `nothing` for a plain mean."""
    n_holdout: int = 0
    """Samples they were fitted on."""
    p: float | None = None
    """Ratio of the geometric rule, None for others."""

    def __post_init__(self) -> None:
        _require(bool(self.branches), "branches", self.branches, "at least one branch")
        _require(len(set(self.branches)) == len(self.branches), "branches", self.branches, "without repetition")
        _require(min(self.branches) >= 0, "branches", self.branches, "numbers from 0")
        _require(len(self.weights) == len(self.branches), "weights", self.weights, f"{len(self.branches)} numbers")
        _require(all(math.isfinite(w) and w >= 0 for w in self.weights), "weights", self.weights, "finite, at least 0")
        _require(
            abs(math.fsum(self.weights) - 1) <= _SUM_TOLERANCE, "weights", self.weights, "numbers that add up to 1"
        )
        fits = math.isfinite(self.temperature) and self.temperature > 0
        _require(fits, "temperature", self.temperature, "finite and above 0")
        _require(self.n_holdout >= 0, "n_holdout", self.n_holdout, "at least 0")
        _require(self.p is None or 0 < self.p <= 1, "p", self.p, "above 0 and at most 1")

    def apply(self, logits: ArrayLike) -> FloatArray:
        """Fuse logits (n, N, K), in the order of `branches`, to (N, K) float64."""
        stacked = np.asarray(logits, dtype=np.float64)
        if stacked.ndim != 3 or len(stacked) != len(self.weights):
            raise UsageError(
                f"logits have the shape {stacked.shape}; this fusion takes {len(self.weights)} branches: "
                f"({len(self.weights)}, samples, classes), in the order {list(self.branches)}"
            )
        return np.tensordot(np.asarray(self.weights), stacked, axes=1) / self.temperature

    def restrict(self, branches: Sequence[int]) -> "Fusion":
        """Return the fusion for when only some branches have arrived: their weights divided by the sum of them.

        The temperature stays, so the total weight of the evidence stays.
        """
        weights = dict(zip(self.branches, self.weights, strict=True))
        strangers = [branch for branch in branches if branch not in weights]
        if strangers:
            raise UsageError(f"branches {strangers} are not part of this fusion, which has {list(self.branches)}")
        total = math.fsum(weights[branch] for branch in branches)
        if total <= 0:
            raise UsageError(f"branches {list(branches)} have no weight in this fusion; fit one with them alone")
        left = tuple(weights[branch] / total for branch in branches)
        return dataclasses.replace(self, branches=tuple(branches), weights=left)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {**dataclasses.asdict(self), "branches": list(self.branches), "weights": list(self.weights)}

    @classmethod
    def parse(cls, content: Any, what: object) -> "Fusion":
        """Check what was read from the file `what`; a `CorruptionError` names it and the key."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            given = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise CorruptionError(f"{what} is damaged: a fusion has the keys {sorted(names)}, not {given}")
        try:
            return parse(cls, content, what)
        except UsageError as error:
            raise CorruptionError(f"{what} is damaged: {error}") from error


Candidates = Callable[[FloatArray], Iterable[tuple[FloatArray, float]]]
"""From the logits (n, rows, K) of some images to those (rows, K) of each candidate, and its temperature."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one candidate reaches."""

    top1: float
    """Share of right answers."""
    nll: float
    """Mean negative log-likelihood in nats, at its temperature."""


def judge(logits: Logits, labels: IntArray, count: int, candidates: Candidates) -> list[Judged]:
    """Judge `count` candidates; means are over all images at once, so the blocks change no bit."""
    return judge_rows(blocks(logits), labels, count, lambda rows: candidates(logits[:, rows]))


def judge_rows(
    pieces: Iterable[slice],
    labels: IntArray,
    count: int,
    answers: Callable[[slice], Iterable[tuple[FloatArray, float]]],
) -> list[Judged]:
    """Judge as `judge` what answers for some rows at a time; `pieces` are all of them."""
    right = np.empty((count, labels.size), bool)
    nll = np.empty(right.shape)
    for rows in pieces:
        for place, (own, temperature) in enumerate(answers(rows)):
            right[place, rows] = own.argmax(axis=1) == labels[rows]
            nll[place, rows] = negative_log_likelihoods(own / temperature, labels[rows])
    return [Judged(float(hits.mean()), float(values.mean())) for hits, values in zip(right, nll, strict=True)]


def leave_one_out(fusion: Fusion, data: BranchLogits) -> list[HeadLeftOut]:
    """Leave out each branch in turn, with the weights of the others divided by their sum."""
    if data.branches != fusion.branches:
        raise IncompatibleError(
            f"the logits are of the branches {list(data.branches)}, the fusion of {list(fusion.branches)}; "
            "load those of the fusion, in its order"
        )
    others = {
        place: fusion.restrict([other for other in fusion.branches if other != branch])
        for place, (branch, weight) in enumerate(zip(fusion.branches, fusion.weights, strict=True))
        if weight < 1.0
    }

    def candidates(block: FloatArray) -> Iterator[tuple[FloatArray, float]]:
        yield fusion.apply(block), 1.0
        for place, rest in others.items():
            yield rest.apply(np.delete(block, place, axis=0)), 1.0

    whole, *found = judge(data.logits, data.labels, 1 + len(others), candidates)
    without = dict(zip(others, found, strict=True))
    return values_of_branches(fusion.branches, whole, [without.get(place) for place in range(len(fusion.branches))])


def values_of_branches(branches: Sequence[int], whole: Judged, without: Sequence[Judged | None]) -> list[HeadLeftOut]:
    """Compare a fusion with itself without each branch, where there are others."""
    values = []
    for branch, rest in zip(branches, without, strict=True):
        if rest is None:
            values.append(HeadLeftOut(branch=branch, top1=None, top1_gain=None, nll_gain=None))
        else:
            gains = {"top1_gain": whole.top1 - rest.top1, "nll_gain": rest.nll - whole.nll}
            values.append(HeadLeftOut(branch=branch, top1=rest.top1, **gains))
    return values


def _require(condition: bool, key: str, value: Any, allowed: str) -> None:
    if not condition:
        raise UsageError(f"fusion: {key} is {value!r}; it must be {allowed}")
