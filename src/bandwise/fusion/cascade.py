"""A cascade: ask the branches one after another, and stop at the first answer that is sure enough.

After k branches their fusion gives probabilities; where the largest is above a threshold the image is done. The order
of the branches, the temperature after each of them and the threshold are chosen on the holdout alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandwise.errors import IncompatibleError, UsageError
from bandwise.fusion.combination import Fusion
from bandwise.fusion.convex import FloatArray, IntArray
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.temperature import best_temperature, negative_log_likelihood

NEVER = 1.0
"""The threshold that no probability is above: every image goes through all branches."""

_THRESHOLDS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Cascade:
    """What is asked in which order, and when an answer is good enough."""

    stages: tuple[Fusion, ...]
    """The fusion of the first branch, of the first two, ... of all; the last is the whole fusion, unchanged."""
    threshold: float
    """An image stops after the first stage whose largest probability is above it."""
    target: float
    """The share of the accuracy of all branches, on the holdout, that the threshold was chosen for."""

    @property
    def order(self) -> tuple[int, ...]:
        """The branches in the order in which they are asked."""
        return self.stages[-1].branches

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {
            "order": list(self.order),
            "temperatures": [stage.temperature for stage in self.stages],
            "weights": list(self.stages[-1].weights),
            "threshold": self.threshold,
            "target": self.target,
            "fitted_on": "holdout",
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cascade does with some images at one threshold."""

    threshold: float
    accuracy: float
    """Share of right answers."""
    cost: float
    """Mean cost of an image, where all branches cost 1 together."""
    stopped: tuple[float, ...]
    """Share of the images that end after 1, 2, ... branches."""

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "threshold": self.threshold,
            "accuracy": self.accuracy,
            "cost": self.cost,
            "stopped": list(self.stopped),
        }


def fit_cascade(fusion: Fusion, holdout: BranchLogits, target: float, costs: Sequence[float] | None = None) -> Cascade:
    """Choose order, temperatures and threshold.

    The next branch is the one with which the fusion of those before it is right most often; equal counts are decided by
    the NLL, then by position. Among 200 quantiles of the confidences the threshold is the cheapest that keeps `target`
    of the accuracy of all branches.

    Args:
        fusion: of all branches; those without weight are left out.
        holdout: their holdout logits; branches that the fusion does not have are ignored.
        target: share of the accuracy, above 0 and at most 1.
        costs: of each branch of `fusion`, for example multiply-adds; equal when None.

    Raises:
        UsageError: `target` is outside its range, or the logits are not of the holdout.
        IncompatibleError: a branch of the fusion is not among the logits.
    """
    if not 0 < target <= 1:
        raise UsageError(f"cascade is {target!r}; it must be above 0 and at most 1: the share of the accuracy to keep")
    if holdout.split != "holdout":
        raise UsageError(f"a cascade cannot be fitted on the split {holdout.split!r}; pass the holdout logits")
    used = [branch for branch, weight in zip(fusion.branches, fusion.weights, strict=True) if weight]
    cost_of = dict(zip(fusion.branches, costs or [1.0] * len(fusion.branches), strict=True))
    whole = fusion.restrict(used)
    order = _order(whole, holdout)
    stages = [whole.restrict(order[:count]) for count in range(1, len(order) + 1)]
    stages = [_calibrated(stage, holdout) for stage in stages[:-1]] + stages[-1:]
    cascade = Cascade(stages=tuple(stages), threshold=NEVER, target=target)
    curve = cascade_curve(cascade, holdout, [cost_of[branch] for branch in order])
    # The last point never stops early, so at least it is accurate enough.
    enough = [point for point in curve if point.accuracy >= target * curve[-1].accuracy]
    cheapest = min(enough, key=lambda point: (point.cost, -point.threshold))
    return Cascade(stages=cascade.stages, threshold=cheapest.threshold, target=target)


def cascade_curve(
    cascade: Cascade,
    data: BranchLogits,
    costs: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
) -> list[Outcome]:
    """Return accuracy against cost by rising threshold, ending with the one at which no image stops early.

    Args:
        cascade: order and temperatures count, its threshold does not.
        data: logits of any split.
        costs: of each branch in the order of the cascade; equal when None.
        thresholds: the points; quantiles of the confidences in `data` when None.

    Raises:
        IncompatibleError: a branch of the cascade is not among the logits.
    """
    confidence, right = _by_stage(cascade.stages, data)
    if thresholds is None:
        shares = np.linspace(0, 1, _THRESHOLDS)
        # Rounded, so that the file says exactly what is used.
        thresholds = np.unique(np.quantile(confidence[:-1], shares).round(6)).tolist() if len(confidence) > 1 else []
    assert thresholds is not None
    spent = np.cumsum(costs if costs is not None else np.ones(len(confidence)))
    points = sorted({*(value for value in thresholds if value < NEVER), NEVER})
    return [_outcome(value, confidence, right, spent / spent[-1]) for value in points]


def _outcome(threshold: float, confidence: FloatArray, right: np.ndarray, spent: FloatArray) -> Outcome:
    sure = confidence > threshold
    sure[-1] = True
    stage = sure.argmax(axis=0)
    images = stage.size
    stopped = np.bincount(stage, minlength=len(confidence)) / images
    accuracy = np.count_nonzero(right[stage, np.arange(images)]) / images
    return Outcome(float(threshold), accuracy, float(stopped @ spent), tuple(stopped.tolist()))


def _by_stage(stages: Sequence[Fusion], data: BranchLogits) -> tuple[FloatArray, np.ndarray]:
    """Return the largest probability and whether it is that of the label, (stages, N) each."""
    confidence = np.empty((len(stages), data.labels.size))
    right = np.empty(confidence.shape, bool)
    for place, stage in enumerate(stages):
        fused = stage.apply(_logits_of(data, stage.branches))
        top = fused.max(axis=1)
        confidence[place] = 1 / np.exp(fused - top[:, None]).sum(axis=1)
        right[place] = fused.argmax(axis=1) == data.labels
    return confidence, right


def _order(fusion: Fusion, holdout: BranchLogits) -> list[int]:
    logits = _logits_of(holdout, fusion.branches)
    weights, labels = np.asarray(fusion.weights), holdout.labels
    left, order = list(range(len(weights))), []
    so_far, total = np.zeros(logits.shape[1:]), 0.0
    while left:
        best = min(
            left, key=lambda place: _badness(so_far + weights[place] * logits[place], total + weights[place], labels)
        )
        so_far, total = so_far + weights[best] * logits[best], total + weights[best]
        left.remove(best)
        order.append(fusion.branches[best])
    return order


def _badness(weighted: FloatArray, total: float, labels: IntArray) -> tuple[int, float]:
    return -int((weighted.argmax(axis=1) == labels).sum()), negative_log_likelihood(weighted / total, labels)


def _calibrated(stage: Fusion, holdout: BranchLogits) -> Fusion:
    plain = np.tensordot(np.asarray(stage.weights), _logits_of(holdout, stage.branches), axes=1)
    return Fusion(
        rule=stage.rule,
        branches=stage.branches,
        weights=stage.weights,
        temperature=best_temperature(plain, holdout.labels),
        fitted_on=holdout.split,
        n_holdout=int(holdout.labels.size),
        p=stage.p,
    )


def _logits_of(data: BranchLogits, branches: Sequence[int]) -> FloatArray:
    missing = sorted(set(branches) - set(data.branches))
    if missing:
        raise IncompatibleError(f"the logits are of the branches {list(data.branches)}; {missing} are needed too")
    return data.logits[[data.branches.index(branch) for branch in branches]]
