"""A trained branch as its folder holds it, read strictly: sizes and hashes first, then every tensor by name and shape.

Reads what training wrote (`BRANCH/step-000000123/` with COMMIT.json, state.json and safetensors files) and nothing
that could run code.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from bandwise.atomic import read_json, sha256_bytes
from bandwise.config import NetworkConfig, SplitConfig, TrainingConfig
from bandwise.configfile import merge
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.models.zoo import create_branch

_STATE_VERSION = 1
_STEP = re.compile(r"step-\d{9}")
_AVERAGE = "average."
_NAMED_IN_ERRORS = 10


@dataclass(frozen=True, slots=True)
class TrainedBranch:
    """One branch, ready to predict."""

    network: nn.Module
    """In evaluation mode, without gradients."""
    bands: tuple[int, ...]
    """Its group, in the order of its input channels."""
    split: SplitConfig
    """The split that its store was made by."""
    crop: int
    """Side in pixels of what it saw, before the split."""
    digest: str
    """Digest of the store it was trained on."""
    classes: tuple[str, ...]
    """Names in the order of its logits."""
    channels: int
    """Colours of a picture."""
    mean: NDArray[np.float64]
    """(nb, C), of stored values over the training images."""
    std: NDArray[np.float64]
    """(nb, C), likewise; 0 where a band never varies."""


def read_branch(folder: Path) -> TrainedBranch:
    """Load a finished branch on the CPU; the moving average of the weights where it keeps one.

    Args:
        folder: the branch folder, from this machine or another.

    Raises:
        CorruptionError: there is no checkpoint; a file is missing, altered or damaged; a weight is not finite.
        IncompatibleError: the weights do not fit the network, or a newer version wrote them.
        UsageError: training is not finished.
    """
    steps = sorted(path for path in folder.glob("step-*") if _STEP.fullmatch(path.name))
    if not steps:
        raise CorruptionError(f"{folder} has no checkpoint; train this branch, or copy its folder there")
    path = steps[-1]
    commit = read_json(path / "COMMIT.json", max_bytes=1 << 20)
    _verified(path, "state.json", commit)
    state = read_json(path / "state.json")
    if not isinstance(state, dict) or state.get("version") != _STATE_VERSION:
        version = state.get("version") if isinstance(state, dict) else None
        raise IncompatibleError(f"{path} has the state version {version!r}; this program reads {_STATE_VERSION}")
    try:
        branch, averaged, progress = _described(state)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(f"{path / 'state.json'} does not describe a branch: {error}") from error
    if progress[0] != progress[1]:
        raise UsageError(f"{folder} is trained for {progress[0]} of {progress[1]} steps; finish it first")
    file = "optim.safetensors" if averaged else "model.safetensors"
    tensors = _tensors(path / file, _verified(path, file, commit))
    if averaged:
        tensors = {name.removeprefix(_AVERAGE): value for name, value in tensors.items() if name.startswith(_AVERAGE)}
    _load(branch.network, tensors, path / file)
    return branch


def _described(state: dict[str, Any]) -> tuple[TrainedBranch, bool, tuple[int, int]]:
    """Build the branch with untrained weights; say whether the average counts, and how many steps of how many."""
    sections, store = state["config"], state["store"]
    split = merge(SplitConfig(), sections["split"])
    network = merge(NetworkConfig(), sections["network"])
    training = merge(TrainingConfig(), sections["training"])
    bands, classes, channels = tuple(state["bands"]), tuple(store["classes"]), store["channels"]
    mean, std = (np.array(store[key], dtype=np.float64) for key in ("mean", "std"))
    if mean.shape != (len(bands), channels) or std.shape != mean.shape:
        raise ValueError(f"mean and std have the shapes {mean.shape} and {std.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise ValueError("mean or std is not finite, or a std is negative")
    # Every weight drawn here is replaced at once; the generator of the caller must not notice.
    with torch.random.fork_rng(devices=[]):
        module = create_branch(
            network.model,
            num_classes=len(classes),
            in_channels=len(bands) * channels,
            input_size=training.crop // split.stride,
            stem=network.stem,
        )
    branch = TrainedBranch(
        network=module.eval().requires_grad_(False),
        bands=bands,
        split=split,
        crop=training.crop,
        digest=store["digest"],
        classes=classes,
        channels=channels,
        mean=mean,
        std=std,
    )
    return branch, training.model_ema, (state["position"]["step"], state["total_steps"])


def _verified(path: Path, name: str, commit: Any) -> bytes:
    """Return the bytes of one file of a checkpoint, if they are those that were committed."""
    try:
        facts = commit["files"][name]
        expected = facts["bytes"], facts["sha256"]
    except (KeyError, TypeError) as error:
        raise CorruptionError(f"{path / 'COMMIT.json'} is damaged: no size and hash of {name}") from error
    try:
        content = (path / name).read_bytes()
    except FileNotFoundError as error:
        raise CorruptionError(f"{path / name} is missing") from error
    if (len(content), sha256_bytes(content)) != expected:
        raise CorruptionError(f"{path / name} is altered: its size or SHA-256 is not the one in COMMIT.json")
    return content


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        tensors = load(content)
    except (SafetensorError, ValueError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")], object_pairs_hook=list)
    names = [name for name, _ in header]
    if len(set(names)) != len(names):
        # The library takes the last of them in silence.
        raise CorruptionError(f"{path} is damaged: a name stands twice in its header")
    return tensors


def _load(network: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    expected = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
    given = {name: (value.shape, value.dtype) for name, value in tensors.items()}
    wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
    if wrong:
        raise IncompatibleError(
            f"{source} does not fit the network {type(network).__name__}; missing, unknown or of another shape: "
            + ", ".join(wrong[:_NAMED_IN_ERRORS])
            + (f" and {len(wrong) - _NAMED_IN_ERRORS} more" if len(wrong) > _NAMED_IN_ERRORS else "")
        )
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise CorruptionError(f"{source} holds weights that are not finite: {', '.join(bad[:_NAMED_IN_ERRORS])}")
    network.load_state_dict(tensors, strict=True)
