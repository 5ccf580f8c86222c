"""A trained branch as its folder holds it, loaded strictly: for its logits after training, and for serving."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bandwise.checkpoints.folder import average_weights, last_checkpoint
from bandwise.checkpoints.tensors import load_weights, require_fit
from bandwise.config import MOST_CHANNELS, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.config.configfile import merge
from bandwise.errors import CorruptionError, UsageError
from bandwise.models.zoo import create_branch

_LARGEST, _LEAST = 65504.0, 1e-30
"""The largest stored value there is, that of float16, and a spread below that of any real band."""


class NotFinishedError(UsageError):
    """The branch is not trained to its end, so its predictions would not be those of the experiment."""


@dataclass(frozen=True, slots=True)
class TrainedBranch:
    """One branch, ready to predict."""

    network: nn.Module
    """On the CPU, in evaluation mode, without gradients."""
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
    state: dict[str, Any]
    """Everything that `state.json` holds."""


def build_network(config: RunConfig, *, num_classes: int, bands: int, channels: int) -> nn.Module:
    """Build the network of a branch, see `create_branch`."""
    return create_branch(
        config.network.model,
        num_classes=num_classes,
        in_channels=bands * channels,
        input_size=config.training.crop // config.split.stride,
        stem=config.network.stem,
        drop_path=config.network.drop_path,
    )


def load_branch(folder: Path) -> TrainedBranch:
    """Load a finished branch on the CPU; the moving average of the weights where it keeps one."""
    checkpoint = last_checkpoint(folder)
    state = checkpoint.state
    try:
        progress = state["position"]["step"], state["total_steps"]
        sections = state["config"]
        config = RunConfig(
            split=merge(SplitConfig(), sections["split"]),
            network=merge(NetworkConfig(), sections["network"]),
            training=merge(TrainingConfig(), sections["training"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(f"{checkpoint.path} does not describe a branch: {error}") from error
    if progress[0] != progress[1]:
        raise NotFinishedError(
            f"{folder} is trained for {progress[0]} of {progress[1]} steps; run `bandwise train` to finish it first"
        )
    weights = average_weights(checkpoint) if config.training.model_ema else checkpoint.model
    return build_branch(config, state, weights, checkpoint.path)


def build_branch(
    config: RunConfig, state: dict[str, Any], weights: Mapping[str, Tensor], source: Path
) -> TrainedBranch:
    """Build a branch from its description and its final weights, which come from `source`; both are checked.

    Of `config` the split, the network and the crop count; of `state`, which is kept, `bands` and `store`.
    """
    try:
        branch = _described(config, state)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(f"{source} does not describe a branch: {error}") from error
    facts = {"num_classes": len(branch["classes"]), "bands": len(branch["bands"]), "channels": branch["channels"]}
    # First without memory: a description from elsewhere must not make us allocate more than its weights take.
    with torch.device("meta"):
        require_fit(build_network(config, **facts), weights, source)
    # The global generator is left as it was: the weights drawn here are replaced at once.
    with torch.random.fork_rng(devices=[], device_type="cuda"):
        network = build_network(config, **facts)
    load_weights(network, weights, source)
    return TrainedBranch(network=network.eval().requires_grad_(False), state=state, **branch)


def _described(config: RunConfig, state: dict[str, Any]) -> dict[str, Any]:
    """Return what a state says of its branch, checked; ValueError, KeyError or TypeError where it cannot be."""
    store = state["store"]
    bands, classes, channels = tuple(state["bands"]), tuple(store["classes"]), store["channels"]
    known = set(range(config.split.stride**2))
    if not bands or len(set(bands)) != len(bands) or not set(bands) <= known or not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"bands {bands} with {channels} channels")
    mean, std = (np.array(store[key], dtype=np.float64) for key in ("mean", "std"))
    if mean.shape != (len(bands), channels) or std.shape != mean.shape:
        raise ValueError(f"mean and std have the shapes {mean.shape} and {std.shape}")
    possible = (np.abs(mean) <= _LARGEST).all() and (std <= _LARGEST).all() and ((std == 0) | (std >= _LEAST)).all()
    if not possible:
        # Also where one is not a number.
        raise ValueError("mean or std is not finite or beyond what a store can hold, or a std is negative")
    return {
        "bands": bands,
        "split": config.split,
        "crop": config.training.crop,
        "digest": store["digest"],
        "classes": classes,
        "channels": channels,
        "mean": mean,
        "std": std,
    }
