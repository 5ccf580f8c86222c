"""Weights that a branch starts from: a safetensors file, of ours or from elsewhere, or a finished branch of the run.

A file may be named by its path, or by what it is called on a hub. All are known by their content, so they may be moved,
renamed or copied from another machine between two calls.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import read_checkpoint, steps, weights_digest
from bandwise.checkpoints.tensors import from_file, load_weights
from bandwise.config import NetworkConfig, RunConfig
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.regular import sha256_file
from bandwise.models.zoo import timm_weights
from bandwise.progress import say
from bandwise.store.reading.store import Store
from bandwise.training.identity import describe_branch, require_same_branch, require_same_store

_COLOURS = (1, 3)


@dataclass(frozen=True, slots=True)
class Start(ABC):
    """Where weights come from."""

    path: Path
    sha256: str
    name: str = ""
    """Of weights from a hub; the name of the file otherwise."""

    def to_dict(self) -> dict[str, Any]:
        """Return name and hash, as checkpoints and summaries say where a branch started from."""
        return {"name": self.name or self.path.name, "sha256": self.sha256}

    @abstractmethod
    def load(self, network: nn.Module, *, num_classes: int, bands: tuple[int, ...], channels: int) -> None:
        """Copy the weights into a new network on the CPU; all must fit, as in `load_weights`, but what is adapted."""


class StartFromFile(Start):
    """A safetensors file with the state of the same network.

    Numbers of another floating type are converted. Two layers may differ:

    - The first convolution takes `bands * channels` inputs. Filters of as many are kept. Filters of 1 or 3 colours are
      adapted by `adapt_filters`.
    - The last linear layer is kept where its number of classes is that of the store, else it stays as newly drawn.
    """

    def load(self, network: nn.Module, *, num_classes: int, bands: tuple[int, ...], channels: int) -> None:
        expected = network.state_dict()
        tensors = {
            name: value.to(expected[name].dtype)
            if name in expected and value.is_floating_point() and expected[name].is_floating_point()
            else value
            for name, value in from_file(self.path).items()
        }
        notes = []
        first = name_of_first(network, nn.Conv2d)
        if first in tensors and first in expected:
            filters, wanted = tensors[first], expected[first].shape
            colours = filters.ndim == 4 and filters.shape[1] in _COLOURS and filters.shape[1] != wanted[1]
            if colours and (*filters.shape[:1], len(bands) * channels, *filters.shape[2:]) == wanted:
                notes.append(
                    f"its filters of {filters.shape[1]} inputs are adapted to {len(bands)} bands of {channels}"
                )
                tensors[first] = adapt_filters(filters, bands=len(bands), channels=channels)
        linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
        classifier = f"{linear[-1]}.weight" if linear else ""
        if classifier in tensors and classifier in expected:
            found = tensors[classifier].shape
            if len(found) == 2 and found[0] != num_classes and found[1:] == expected[classifier].shape[1:]:
                notes.append(f"its classifier has {found[0]} classes, so one of {num_classes} is newly drawn")
                for name in (classifier, classifier.removesuffix("weight") + "bias"):
                    if name in tensors and name in expected:
                        tensors[name] = expected[name]
        load_weights(network, tensors, self.path)
        say(f"starting from {self.name or self.path.name}" + "".join(f"; {note}" for note in notes))


class StartFromBranch(Start):
    """The folder of a finished branch: its final weights, or the moving average of them where it keeps one.

    The first convolution is made for the bands of the new branch by `carry_filters`; all else is taken as it is.
    """

    def load(self, network: nn.Module, *, num_classes: int, bands: tuple[int, ...], channels: int) -> None:
        source = load_branch(self.path)
        tensors = dict(source.network.state_dict())
        first = name_of_first(network, nn.Conv2d)
        if first in tensors and source.bands != bands:
            tensors[first] = carry_filters(tensors[first], source=source.bands, target=bands)
        load_weights(network, tensors, self.path)
        say(f"starting from {self.path.name}, bands {list(source.bands)}")


def starting_point(config: RunConfig, branch: int, folder: Path | None, store: Store, *, resumed: bool) -> Start | None:
    """Return what a branch starts from; None for a start from scratch.

    `folder` is that of the branch to start from, where `config.initial_branch` names another one: finished, of the same
    configuration and store. A branch that is `resumed` has its weights already: the other is not checked, and may be
    gone.
    """
    source = config.source_of(branch)
    if source is None:
        return find_initial(config.network)
    if folder is None:
        raise UsageError(
            f"branch {branch} starts from the weights of branch {source} (initial_branch), but the folder of that "
            "branch was not given; pass it as `start`"
        )
    if not resumed:
        _require_finished(folder, config, source, store)
    sha256 = weights_digest(folder)
    return None if sha256 is None else StartFromBranch(folder, sha256)


def find_initial(config: NetworkConfig) -> StartFromFile | None:
    """Return the file to start from, fetched where a hub has it; it must be there. None for a start from scratch."""
    if not config.initial_checkpoint:
        return None
    kind, _, name = config.initial_checkpoint.partition(":")
    # Here, since few trainings need it.
    from bandwise.files.hub import parse_name, weights_file

    if kind == "timm":
        name, repository = timm_weights(name)
        path = weights_file(repository, None)
        return StartFromFile(path, sha256_file(path), f"timm:{name}")
    if kind == "hf":
        path = weights_file(*parse_name(name))
        return StartFromFile(path, sha256_file(path), config.initial_checkpoint)
    path = Path(config.initial_checkpoint).expanduser()
    if not path.is_file():
        raise UsageError(f"initial_checkpoint is {config.initial_checkpoint!r}, which is no file; give its path")
    return StartFromFile(path, sha256_file(path))


def require_same_start(saved: dict[str, Any] | None, now: dict[str, Any] | None, where: str) -> None:
    """Refuse to continue a branch that started from weights of another SHA-256; None is a start from scratch."""
    before, after = (start["sha256"] if start else "" for start in (saved, now))
    if before != after:
        first, second = (f"weights of SHA-256 {each[:16]}..." if each else "scratch" for each in (before, after))
        raise IncompatibleError(
            f"{where} was started from {first}, and would now be from {second}; give the same weights to continue it "
            "(the file or branch folder may have another place and name), or another --out"
        )


def adapt_filters(filters: Tensor, *, bands: int, channels: int) -> Tensor:
    """Turn the first filters of a network for pictures, (outputs, 1 or 3, h, w), into those for some bands.

    - Colours: where the filters have as many as a band, they are kept. Otherwise their sum over the colours is spread
      evenly over `channels`, which keeps the response to a grey picture.
    - Bands: the same filters for each band, divided by the square root of the number of bands. Every input has mean 0
      and variance 1, and the bands of an orthonormal transform are nearly uncorrelated, so the response keeps its
      variance, which the batch statistics and the next layers of the file expect. (Division by the number itself, as
      for copies of one picture, would shrink it by the root of that number.)

    The result, (outputs, bands * channels, h, w), is band-major.
    """
    if filters.shape[1] != channels:
        filters = filters.sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels
    return filters.repeat(1, bands, 1, 1) / bands**0.5


def carry_filters(filters: Tensor, *, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Turn the first filters of a branch, (outputs, len(source) * C, h, w), into those for other bands, band-major.

    - Where the branches share bands, these keep their filters and the others start at zero: the new branch answers at
      first as the old one would on what they share.
    - Where they share none, every band gets the sum of the old filters over the square root of the number of bands,
      which keeps the variance of the response to uncorrelated inputs of unit variance (as `adapt_filters`).
    """
    outputs, inputs, height, width = filters.shape
    by_band = filters.reshape(outputs, len(source), inputs // len(source), height, width)
    if set(source) & set(target):
        missing = torch.zeros_like(by_band[:, 0])
        parts = [by_band[:, source.index(band)] if band in source else missing for band in target]
    else:
        parts = [by_band.sum(1) / len(target) ** 0.5] * len(target)
    return torch.cat(parts, dim=1)


def name_of_first(network: nn.Module, kind: type[nn.Module]) -> str:
    """Return the name of the weight of the first layer of a kind; empty where there is none."""
    return next((f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, kind)), "")


def _require_finished(folder: Path, config: RunConfig, branch: int, store: Store) -> None:
    """Refuse a folder that does not hold that branch of the same run, trained to its end."""
    remedy = (
        f"train it first (`bandwise train --branch {branch}`), or copy the folder from the machine that has trained it"
    )
    if not steps(folder) or not (folder / "summary.json").exists():
        raise UsageError(f"{folder} is not trained to its end, and this branch starts from its weights; {remedy}")
    try:
        checkpoint = read_checkpoint(steps(folder)[0])
    except CorruptionError as error:
        raise CorruptionError(f"{error}; this branch starts from these weights; {remedy}") from error
    require_same_branch(checkpoint.state, describe_branch(config, branch), str(folder))
    require_same_store(checkpoint.state["store"], store, str(folder))
