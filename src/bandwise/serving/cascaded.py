"""A classifier that asks its branches one after another and stops where it is sure: less work for easy pictures."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bandwise.errors import UsageError
from bandwise.fusion.cascade import Cascade, fitted_cascade
from bandwise.fusion.combination import Fusion
from bandwise.runs.run import open_run
from bandwise.serving.ensemble import SpectralEnsemble


class CascadedEnsemble(nn.Module):
    """An ensemble whose branches see only the pictures that the branches before them were not sure of."""

    def __init__(self, ensemble: SpectralEnsemble, cascade: Cascade) -> None:
        """Join a cascade and an ensemble of its branches, which runs them in turn and has no head."""
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
        """Load the classifier of a run; the cascade is fitted on the holdout logits in the run folder.

        `target` is the share of the holdout accuracy of all branches to keep, above 0 and at most 1.
        """
        run = open_run(Path(run_path))
        return cls(SpectralEnsemble.from_run(run.path), fitted_cascade(run, target))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.ensemble.device

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the stage at which each picture stopped, float32 (B, K), at its temperature."""
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
