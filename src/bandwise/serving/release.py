"""A released model: what classifies, without what trained it.

    DIR/bandwise.json        classes, split, network, standardisation, and size and SHA-256 of every file beside it
    DIR/model.safetensors    the final weights of every branch, `branch-00.NAME`; no optimiser
    DIR/fusion.json          the fusion as the run has it, with head.safetensors where it is a head
    DIR/results.json, DIR/controls/NAME.json    figures, where there are any
    DIR/README.md            the card, for people: it may be edited, and is not read here

`bandwise.json` is written last and lists the others, so a folder that lacks anything is never taken for a model.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from bandwise.checkpoints.branch import TrainedBranch, build_branch
from bandwise.checkpoints.tensors import from_bytes
from bandwise.config import NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.config.configfile import merge
from bandwise.errors import CorruptionError, IncompatibleError
from bandwise.files.documents import read_document
from bandwise.files.regular import FileFacts, read_listed
from bandwise.files.schema import parse
from bandwise.fusion.combination import Fusion
from bandwise.fusion.head import TrainedHead
from bandwise.fusion.saved import HEAD_NAME, read_fusion

RELEASE_NAME = "bandwise.json"
WEIGHTS_NAME = "model.safetensors"
FUSION_NAME = "fusion.json"
RESULTS_NAME = "results.json"
CONTROLS = "controls"
RELEASE_FORMAT: Literal["bandwise-model"] = "bandwise-model"
RELEASE_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_SNAPSHOTS = "snapshots"


@dataclass(frozen=True, kw_only=True)
class ReleasedBranch:
    """One branch, without its weights."""

    branch: int
    bands: tuple[int, ...]
    mean: tuple[tuple[float, ...], ...]
    """Of the stored values over the training images, by band and colour."""
    std: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Release:
    """`bandwise.json`."""

    format: Literal["bandwise-model"] = RELEASE_FORMAT
    version: int = RELEASE_VERSION
    name: str
    classes: tuple[str, ...]
    channels: int
    crop: int
    digest: str
    """Of the store that the branches were trained on."""
    split: dict[str, Any]
    network: dict[str, Any]
    branches: tuple[ReleasedBranch, ...]
    files: dict[str, FileFacts]


def is_release(folder: Path) -> bool:
    """Say whether a folder holds a released model."""
    return (folder / RELEASE_NAME).exists()


def tensor_prefix(branch: int) -> str:
    """Return how the names of the weights of a branch begin in the file of all of them."""
    return f"branch-{branch:02d}."


def weighted(fusion: Fusion | TrainedHead) -> Fusion | TrainedHead:
    """Return a fusion of the branches that count in it: those of weight 0 need not be loaded."""
    if isinstance(fusion, TrainedHead):
        return fusion
    pairs = zip(fusion.branches, fusion.weights, strict=True)
    return fusion.restrict([branch for branch, weight in pairs if weight])


def read_release(folder: Path) -> tuple[list[TrainedBranch], Fusion | TrainedHead]:
    """Load the branches of a released model, on the CPU, and their fusion.

    Raises:
        CorruptionError: a file is missing, altered, damaged, or a link that leaves the folder; a cache of a hub, whose
            snapshots are links into its own folder, is none.
        IncompatibleError: a newer version has written it.
    """
    path, weights = folder / RELEASE_NAME, folder / WEIGHTS_NAME
    release = read_description(folder)
    files = read_files(folder, release)
    fusion = read_fusion(folder / FUSION_NAME)
    needed = {WEIGHTS_NAME, FUSION_NAME, *((HEAD_NAME,) if isinstance(fusion, TrainedHead) else ())}
    if missing := needed - release.files.keys():
        raise CorruptionError(f"{path} does not list {', '.join(sorted(missing))}")
    fusion = weighted(fusion)
    if [own.branch for own in release.branches] != list(fusion.branches):
        raise CorruptionError(f"{path} has other branches than {FUSION_NAME} fuses, {list(fusion.branches)}")
    tensors = from_bytes(files[WEIGHTS_NAME], weights)
    try:
        network = merge(NetworkConfig(), release.network)
        own = RunConfig(
            split=merge(SplitConfig(), release.split), training=merge(TrainingConfig(), {"crop": release.crop})
        )
        configs = [replace(own, network=network.of(place)) for place in range(len(release.branches))]
    except (IndexError, ValueError) as error:
        raise CorruptionError(f"{path} does not describe a model: {error}") from error
    branches = list(_branches(release, configs, tensors, weights))
    if tensors:
        raise CorruptionError(f"{weights} holds weights of no branch: {', '.join(sorted(tensors)[:5])}")
    return branches, fusion


def read_description(folder: Path) -> Release:
    """Read what a released model says of itself; the files that it lists are not looked at."""
    path = folder / RELEASE_NAME
    _require_inside(folder, RELEASE_NAME)
    content = read_document(path)
    if content.get("format") != RELEASE_FORMAT:
        raise CorruptionError(f"{path} is not the description of a model")
    if content.get("version") != RELEASE_VERSION:
        raise IncompatibleError(f"{path} has version {content.get('version')!r}; this program reads {RELEASE_VERSION}")
    return parse(Release, content, path)


def read_files(folder: Path, release: Release) -> dict[str, bytes]:
    """Return the files that a released model lists, by name, each checked against size and hash."""
    for name in release.files:
        _require_inside(folder, name)
    return {name: read_listed(folder / name, facts, RELEASE_NAME) for name, facts in release.files.items()}


def _branches(
    release: Release, configs: Sequence[RunConfig], tensors: dict[str, Tensor], path: Path
) -> Iterator[TrainedBranch]:
    """Yield the branches in order; each takes its weights out of `tensors`."""
    for own, config in zip(release.branches, configs, strict=True):
        prefix = tensor_prefix(own.branch)
        names = [name for name in tensors if name.startswith(prefix)]
        facts = {"digest": release.digest, "classes": release.classes, "channels": release.channels}
        state = {"bands": own.bands, "store": {**facts, "mean": own.mean, "std": own.std}}
        yield build_branch(config, state, {name.removeprefix(prefix): tensors.pop(name) for name in names}, path)


def _require_inside(folder: Path, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise CorruptionError(f"{folder / RELEASE_NAME} lists {name!r}, which is no name of a file in a model")
    # A snapshot of a hub's cache is a folder of links to the blobs beside it: REPO/snapshots/REVISION/NAME.
    whole = folder.absolute()
    root = whole.parent.parent if whole.parent.name == _SNAPSHOTS else whole
    try:
        inside = (folder / name).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise CorruptionError(f"{folder / name} is a link that leaves {root}; copy the file itself there")
