"""The final weights of a finished branch, as the start of another one: one folder is read once, nothing flows back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import weights_digest
from bandwise.checkpoints.tensors import load_weights
from bandwise.errors import IncompatibleError, UsageError
from bandwise.progress import say
from bandwise.training.initial import name_of_first


@dataclass(frozen=True, slots=True)
class InitialBranch:
    """A finished branch, known by the content of its weights: its folder may be a copy from another machine."""

    folder: Path
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return name and hash, which say where a branch started from."""
        return {"name": self.folder.name, "sha256": self.sha256}


def find_branch(folder: Path) -> InitialBranch:
    """Return a finished branch to start from.

    Raises:
        UsageError: it is not here, or not finished.
        CorruptionError: the record of its weights is damaged.
    """
    digest = weights_digest(folder)
    if digest is None or not (folder / "summary.json").exists():
        raise UsageError(
            f"{folder} is not trained to its end, and this branch starts from its weights; train it first, or copy the "
            "folder from the machine that has trained it"
        )
    return InitialBranch(folder, digest)


def load_from_branch(
    network: nn.Module, initial: InitialBranch, *, bands: tuple[int, ...], channels: int, classes: Sequence[str]
) -> None:
    """Copy the weights of a finished branch into a new network; the moving average of them where it keeps one.

    The first convolution is made for the bands of the new branch by `carry_filters`; all else is taken as it is.

    Args:
        network: as newly built, on the CPU.
        initial: where to start from.
        bands: bands of the new branch.
        channels: colours of a band.
        classes: class names of the store.

    Raises:
        IncompatibleError: the other branch has other classes, colours or another network.
        CorruptionError: its checkpoint is damaged.
    """
    source = load_branch(initial.folder)
    if source.classes != tuple(classes) or source.channels != channels:
        raise IncompatibleError(
            f"{initial.folder} was trained on {len(source.classes)} classes and {source.channels} colours that are not "
            f"those of the store ({len(classes)} and {channels}); start from a branch of the same data"
        )
    tensors = dict(source.network.state_dict())
    first = name_of_first(network, nn.Conv2d)
    if first in tensors and source.bands != bands:
        tensors[first] = carry_filters(tensors[first], source=source.bands, target=bands)
    load_weights(network, tensors, initial.folder)
    say(f"starting from {initial.folder.name}, bands {list(source.bands)}")


def carry_filters(filters: Tensor, *, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Turn the first filters of a branch into those for another group of bands.

    - Where the groups share bands, these keep their filters and the others start at zero: the new branch answers at
      first as the old one would on what they share.
    - Where they share none, every band gets the sum of the old filters over the square root of the number of bands,
      which keeps the variance of the response to uncorrelated inputs of unit variance (as `initial.adapt_filters`).

    Args:
        filters: (outputs, len(source) * C, h, w), band-major.
        source: bands of the old group.
        target: bands of the new group.

    Returns:
        (outputs, len(target) * C, h, w), band-major.
    """
    outputs, inputs, height, width = filters.shape
    by_band = filters.reshape(outputs, len(source), inputs // len(source), height, width)
    if set(source) & set(target):
        missing = torch.zeros_like(by_band[:, 0])
        parts = [by_band[:, source.index(band)] if band in source else missing for band in target]
    else:
        parts = [by_band.sum(1) / len(target) ** 0.5] * len(target)
    return torch.cat(parts, dim=1)
