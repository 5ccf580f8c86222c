"""A classifier that asks its branches one after another and stops where it is sure: less work for easy pictures."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bandwise.errors import CorruptionError, UsageError
from bandwise.fusion.cascade import Cascade, Outcome, cascade_curve, fit_cascade
from bandwise.fusion.combination import Fusion
from bandwise.fusion.answers import BranchLogits, load_branches
from bandwise.fusion.saved import read_fusion
from bandwise.runs.run import Run, open_run
from bandwise.serving.ensemble import SpectralEnsemble


class CascadedEnsemble(nn.Module):
    """An ensemble whose branches see only the pictures that the branches before them were not sure of."""

    def __init__(self, ensemble: SpectralEnsemble, cascade: Cascade) -> None:
        """Join them.

        Args:
            ensemble: in the mode `sequential`, with the branches of the cascade.
            cascade: order, temperatures and threshold.

        Raises:
            UsageError: another mode, a head, or other branches.
        """
        super().__init__()
        held = ensemble.fusion.branches
        if ensemble.mode != "sequential" or not isinstance(ensemble.fusion, Fusion):
            raise UsageError(
                "a cascade runs its branches in turn and fuses those it has: leave the mode at sequential, and use "
                "another fusion rule than head"
            )
        if set(cascade.order) != set(held):
            raise UsageError(f"the cascade has the branches {list(cascade.order)}, the ensemble {list(held)}")
        self.ensemble, self.cascade = ensemble, cascade
        self.classes, self.channels, self.split_config = ensemble.classes, ensemble.channels, ensemble.split_config
        self._places = [held.index(branch) for branch in cascade.order]
        self._weights = [dict(zip(stage.branches, stage.weights, strict=True)) for stage in cascade.stages]
        self.eval()

    @classmethod
    def from_run(cls, run_path: Path | str, target: float) -> "CascadedEnsemble":
        """Load the classifier of a run; the cascade is fitted on the holdout logits that lie in the run.

        Args:
            run_path: the run folder.
            target: share of the holdout accuracy of all branches to keep, above 0 and at most 1.

        Raises:
            UsageError, CorruptionError, IncompatibleError: as `SpectralEnsemble.from_run`; or there is a head, or no
                holdout logits.
        """
        run = open_run(Path(run_path))
        return cls(SpectralEnsemble.from_run(run.path), fitted_cascade(run, target))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.ensemble.device

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the stage at which each picture stopped, float32 (B, K), at its temperature.

        Args:
            images: as in `SpectralEnsemble.branch_logits`.

        Raises:
            ValueError: another shape.
        """
        return self.logits_and_branches(images)[0]

    def logits_and_branches(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits as `forward`, and how many branches each picture was shown to, int64 (B,)."""
        stored = self.ensemble.stored(images)
        waiting = torch.arange(len(images), device=images.device)
        used = torch.full((len(images),), len(self._places), device=images.device)
        found: Tensor | None = None
        answers: list[Tensor] = []
        for count, stage in enumerate(self.cascade.stages, 1):
            place = self._places[count - 1]
            answers.append(self.ensemble.networks[place](self.ensemble.input_of(place, stored, waiting)).float())
            weights = [self._weights[count - 1][branch] / stage.temperature for branch in stage.branches]
            fused = sum((weight * each for weight, each in zip(weights, answers, strict=True)), torch.zeros(()))
            assert isinstance(fused, Tensor)
            if found is None:
                found = fused.new_empty(len(images), fused.shape[1])
            # Every waiting picture gets the answer of this stage; those that go on get a better one later.
            found[waiting] = fused
            unsure = fused.softmax(1).amax(1) <= self.cascade.threshold
            used[waiting[~unsure]] = count
            waiting, answers = waiting[unsure], [each[unsure] for each in answers]
            if not len(waiting):
                break
        assert found is not None
        return found, used


def fitted_cascade(run: Run, target: float) -> Cascade:
    """Fit a cascade of the fusion of a run on the holdout logits in its folder.

    Raises:
        UsageError: nothing is fused, the fusion is a head, there are no holdout logits, or `target` is out of range.
        CorruptionError, IncompatibleError: a file is damaged, or the files do not belong together.
    """
    fusion = _plain_fusion(run)
    return fit_cascade(fusion, _logits(run, fusion, "holdout"), target)


def cascade_report(run: Run, target: float, costs: tuple[float, ...] | None = None) -> dict[str, Any]:
    """Return a cascade of a run and its accuracy against its cost, ready for JSON; no network is loaded.

    Order, temperatures and all thresholds come from the holdout; the reported set is only scored, and left out where
    its logits are not there.

    Args:
        run: with logits in its folder.
        target: as in `fit_cascade`.
        costs: of every branch of the run, for example multiply-adds; equal when None.

    Raises:
        UsageError, CorruptionError, IncompatibleError: as `fitted_cascade`.
    """
    fusion = _plain_fusion(run)
    holdout = _logits(run, fusion, "holdout")
    of_fusion = None if costs is None else [costs[branch] for branch in fusion.branches]
    cascade = fit_cascade(fusion, holdout, target, of_fusion)
    in_order = None if costs is None else [costs[branch] for branch in cascade.order]
    curves = {"holdout": cascade_curve(cascade, holdout, in_order)}
    thresholds = [point.threshold for point in curves["holdout"]]
    if all(run.logits_path("val", branch).exists() for branch in cascade.order):
        curves["val"] = cascade_curve(cascade, _logits(run, fusion, "val"), in_order, thresholds)
    return {
        **cascade.to_dict(),
        "costs": "equal" if costs is None else list(costs),
        "chosen": {split: _chosen(curve, cascade.threshold).to_dict() for split, curve in curves.items()},
        "curves": {split: [point.to_dict() for point in curve] for split, curve in curves.items()},
    }


def _chosen(curve: list[Outcome], threshold: float) -> Outcome:
    return next(point for point in curve if math.isclose(point.threshold, threshold, rel_tol=0, abs_tol=1e-12))


def _plain_fusion(run: Run) -> Fusion:
    path = run.fusion_path()
    if not path.exists():
        raise UsageError(f"{run.path} is not fused yet; run `bandwise fuse {run.path}`")
    fusion = read_fusion(path)
    if not isinstance(fusion, Fusion):
        raise UsageError(
            "a fusion head needs the features of every branch, so nothing can stop early; use another rule"
        )
    if max(fusion.branches) >= len(run.groups):
        raise CorruptionError(f"{path} fuses the branches {list(fusion.branches)}; the run has {len(run.groups)}")
    return fusion


def _logits(run: Run, fusion: Fusion, split: str) -> BranchLogits:
    weighed = [branch for branch, weight in zip(fusion.branches, fusion.weights, strict=True) if weight]
    missing = [branch for branch in weighed if not run.logits_path(split, branch).exists()]
    if missing:
        raise UsageError(
            f"{run.path} has no {split} logits of the branches {missing}, which a cascade is fitted on; run "
            f"`bandwise evaluate {run.path}`"
        )
    return load_branches([run.logits_path(split, branch) for branch in weighed])
