"""A cascade: ask the branches one after another, and stop at the first answer that is sure enough.

After k branches their fusion gives probabilities; where the largest is above a threshold the image is done. The order
of the branches, the temperature after each of them and the threshold are chosen on the holdout alone.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandwise.errors import IncompatibleError, UsageError
from bandwise.evaluation.blocks import FloatArray, Fused, blocks
from bandwise.fusion.answers import BranchLogits, load_branches
from bandwise.fusion.combination import Fusion, judge
from bandwise.fusion.convex import best_temperature
from bandwise.fusion.saved import fusion_of
from bandwise.runs.run import Run

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


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a cascade does with some images at one threshold."""

    threshold: float
    accuracy: float
    """Share of right answers."""
    cost: float
    """Mean cost of an image, where all branches cost 1 together."""
    stopped: tuple[float, ...]
    """Share of the images that end after 1, 2, ... branches."""


def fit_cascade(fusion: Fusion, holdout: BranchLogits, target: float, costs: Sequence[float] | None = None) -> Cascade:
    """Choose order, temperatures and threshold.

    The next branch is the one with which the fusion of those before it is right most often; equal counts are decided by
    the NLL, then by position. Among 200 quantiles of the confidences the threshold is the cheapest that keeps `target`
    of the accuracy of all branches. `costs` are of each branch of `fusion`, for example multiply-adds; equal when None.
    Branches without weight are left out.
    """
    if not 0 < target <= 1:
        raise UsageError(f"cascade is {target!r}; it must be above 0 and at most 1: the share of the accuracy to keep")
    if holdout.split != "holdout":
        raise UsageError(f"a cascade cannot be fitted on the split {holdout.split!r}; pass the holdout logits")
    if holdout.keep == "top-64":
        raise UsageError("a cascade needs all logits, and these are kept as top-64; keep them full or as float16")
    cost_of = dict(zip(fusion.branches, costs or [1.0] * len(fusion.branches), strict=True))
    whole = fusion.restrict(_weighted(fusion))
    order = _order(whole, holdout)
    stages = [whole.restrict(order[:count]) for count in range(1, len(order) + 1)]
    stages = [_calibrated(stage, holdout) for stage in stages[:-1]] + stages[-1:]
    cascade = Cascade(stages=tuple(stages), threshold=NEVER, target=target)
    curve = cascade_curve(cascade, holdout, [cost_of[branch] for branch in order])
    # The last point never stops early, so at least it is accurate enough.
    enough = [point for point in curve if point.accuracy >= target * curve[-1].accuracy]
    cheapest = min(enough, key=lambda point: (point.cost, -point.threshold))
    return dataclasses.replace(cascade, threshold=cheapest.threshold)


def cascade_curve(
    cascade: Cascade,
    data: BranchLogits,
    costs: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
) -> list[CurvePoint]:
    """Return accuracy against cost by rising threshold, ending with the one at which no image stops early.

    The threshold of the cascade does not count. `costs` are in its order, equal when None; `thresholds` are quantiles
    of the confidences in `data` when None.
    """
    confidence, right = _by_stage(cascade.stages, data)
    if thresholds is None:
        shares = np.linspace(0, 1, _THRESHOLDS)
        # Rounded, so that the file says exactly what is used.
        thresholds = np.unique(np.quantile(confidence[:-1], shares).round(6)).tolist() if len(confidence) > 1 else []
    assert thresholds is not None
    spent = np.cumsum(costs if costs is not None else np.ones(len(confidence)))
    points = sorted({*(value for value in thresholds if value < NEVER), NEVER})
    return [_curve_point(value, confidence, right, spent / spent[-1]) for value in points]


def fitted_cascade(run: Run, target: float) -> Cascade:
    """Fit a cascade of the fusion of a run on the holdout logits in its folder."""
    fusion = _fusion_of_logits(run)
    return fit_cascade(fusion, _load(run, fusion, "holdout"), target)


def cascade_report(run: Run, target: float, costs: tuple[float, ...] | None = None) -> dict[str, Any]:
    """Return a cascade of a run and its accuracy against its cost, ready for JSON; no network is loaded.

    Order, temperatures and all thresholds come from the holdout; the reported set is only scored, and left out where
    its logits are not there. `costs` are of every branch of the run, equal when None.
    """
    fusion = _fusion_of_logits(run)
    holdout = _load(run, fusion, "holdout")
    of_fusion = None if costs is None else [costs[branch] for branch in fusion.branches]
    cascade = fit_cascade(fusion, holdout, target, of_fusion)
    in_order = None if costs is None else [costs[branch] for branch in cascade.order]
    curves = {"holdout": cascade_curve(cascade, holdout, in_order)}
    thresholds = [point.threshold for point in curves["holdout"]]
    if all(run.logits_path("val", branch).exists() for branch in cascade.order):
        curves["val"] = cascade_curve(cascade, _load(run, fusion, "val"), in_order, thresholds)
    points = {
        split: [{**dataclasses.asdict(point), "stopped": list(point.stopped)} for point in curve]
        for split, curve in curves.items()
    }
    return {
        "order": list(cascade.order),
        "temperatures": [stage.temperature for stage in cascade.stages],
        "weights": list(cascade.stages[-1].weights),
        "threshold": cascade.threshold,
        "target": cascade.target,
        "fitted_on": "holdout",
        "costs": "equal" if costs is None else list(costs),
        # Both curves have the thresholds of the holdout, and the chosen one is among them.
        "chosen": {split: curve[thresholds.index(cascade.threshold)] for split, curve in points.items()},
        "curves": points,
    }


def _curve_point(threshold: float, confidence: FloatArray, right: np.ndarray, spent: FloatArray) -> CurvePoint:
    sure = confidence > threshold
    sure[-1] = True
    stage = sure.argmax(axis=0)
    images = stage.size
    stopped = np.bincount(stage, minlength=len(confidence)) / images
    accuracy = np.count_nonzero(right[stage, np.arange(images)]) / images
    return CurvePoint(float(threshold), accuracy, float(stopped @ spent), tuple(stopped.tolist()))


def _by_stage(stages: Sequence[Fusion], data: BranchLogits) -> tuple[FloatArray, np.ndarray]:
    """Return the largest probability and whether it is that of the label, (stages, N) each."""
    confidence = np.empty((len(stages), data.labels.size))
    right = np.empty(confidence.shape, bool)
    places = [_places(data, stage.branches) for stage in stages]
    for rows in blocks(data.logits):
        block = data.logits[:, rows]
        for number, (stage, own) in enumerate(zip(stages, places, strict=True)):
            fused = stage.apply(block[own])
            top = fused.max(axis=1)
            confidence[number, rows] = 1 / np.exp(fused - top[:, None]).sum(axis=1)
            right[number, rows] = fused.argmax(axis=1) == data.labels[rows]
    return confidence, right


def _order(fusion: Fusion, holdout: BranchLogits) -> list[int]:
    places = _places(holdout, fusion.branches)
    weights, left, order = np.asarray(fusion.weights), list(range(len(places))), []
    total = 0.0

    def candidates(block: FloatArray) -> Iterator[tuple[FloatArray, float]]:
        so_far = np.zeros_like(block[0])
        for place in order:
            so_far = so_far + weights[place] * block[places[place]]
        return ((so_far + weights[place] * block[places[place]], total + weights[place]) for place in left)

    while left:
        found = judge(holdout.logits, holdout.labels, len(left), candidates)
        best = min(range(len(left)), key=lambda number: (-found[number].top1, found[number].nll))
        place = left.pop(best)
        order.append(place)
        total += weights[place]
    return [fusion.branches[place] for place in order]


def _calibrated(stage: Fusion, holdout: BranchLogits) -> Fusion:
    places, weights = _places(holdout, stage.branches), np.asarray(stage.weights)
    fused = Fused(holdout.logits, lambda block: np.tensordot(weights, block[places], axes=1))
    temperature = best_temperature(fused, holdout.labels)
    return dataclasses.replace(
        stage, temperature=temperature, fitted_on=holdout.split, n_holdout=int(holdout.labels.size)
    )


def _places(data: BranchLogits, branches: Sequence[int]) -> list[int]:
    missing = sorted(set(branches) - set(data.branches))
    if missing:
        raise IncompatibleError(f"the logits are of the branches {list(data.branches)}; {missing} are needed too")
    return [data.branches.index(branch) for branch in branches]


def _weighted(fusion: Fusion) -> list[int]:
    return [branch for branch, weight in zip(fusion.branches, fusion.weights, strict=True) if weight]


def _fusion_of_logits(run: Run) -> Fusion:
    fusion = fusion_of(run)
    if not isinstance(fusion, Fusion):
        raise UsageError(
            "a fusion head needs the features of every branch, so nothing can stop early; use another rule"
        )
    return fusion


def _load(run: Run, fusion: Fusion, split: str) -> BranchLogits:
    branches = _weighted(fusion)
    missing = [branch for branch in branches if not run.logits_path(split, branch).exists()]
    if missing:
        raise UsageError(
            f"{run.path} has no {split} logits of the branches {missing}, which a cascade is fitted on; run "
            f"`bandwise evaluate {run.path}`"
        )
    return load_branches([run.logits_path(split, branch) for branch in branches])
