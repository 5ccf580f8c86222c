"""The final weights of a finished branch, as the start of another one: one folder is read once, nothing flows back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import read_checkpoint, steps, weights_digest
from bandwise.checkpoints.tensors import load_weights
from bandwise.config import RunConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.progress import say
from bandwise.training.identity import describe_branch, require_same_branch, require_same_store
from bandwise.training.start import name_of_first


@dataclass(frozen=True, slots=True)
class InitialBranch:
    """A finished branch, known by the content of its weights: its folder may be a copy from another machine."""

    folder: Path
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return name and hash, which say where a branch started from."""
        return {"name": self.folder.name, "sha256": self.sha256}


def find_branch(folder: Path, config: RunConfig, branch: int, digest: str) -> InitialBranch:
    """Return a finished branch to start from, after checking that it is that branch of the same run.

    Args:
        folder: its folder.
        config: the run.
        branch: its number in `config.branches`.
        digest: digest of the store.

    Raises:
        UsageError: it is not here, or not finished.
        IncompatibleError: it was trained with another configuration or on another store.
        CorruptionError: its newest checkpoint is damaged.
    """
    again = (
        f"train it first (`bandwise train --branch {branch}`), or copy the folder from the machine that has trained it"
    )
    if not steps(folder) or not (folder / "summary.json").exists():
        raise UsageError(f"{folder} is not trained to its end, and this branch starts from its weights; {again}")
    try:
        checkpoint = read_checkpoint(steps(folder)[0])
    except CorruptionError as error:
        raise CorruptionError(f"{error}; this branch starts from these weights; {again}") from error
    require_same_branch(checkpoint.state, describe_branch(config, branch), str(folder))
    require_same_store(checkpoint.state["store"], {"digest": digest}, str(folder))
    known = known_start(folder)
    assert known is not None
    return known


def known_start(folder: Path) -> InitialBranch | None:
    """Return a branch by the record of its newest weights, unchecked; None where it has none."""
    sha256 = weights_digest(folder)
    return None if sha256 is None else InitialBranch(folder, sha256)


def load_from_branch(network: nn.Module, initial: InitialBranch, *, bands: tuple[int, ...]) -> None:
    """Copy the weights of a finished branch into a new network; the moving average of them where it keeps one.

    The first convolution is made for the bands of the new branch by `carry_filters`; all else is taken as it is.

    Args:
        network: as newly built, on the CPU.
        initial: where to start from.
        bands: bands of the new branch.

    Raises:
        IncompatibleError: the other branch has another network.
        CorruptionError: its checkpoint is damaged.
    """
    source = load_branch(initial.folder)
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
