"""What a branch costs and what all of them cost: parameters, multiply-adds, time and bytes, never mixed up.

And which systems may fairly be compared with one: those of about equal cost of a node, or of all, or of data a node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig, SplitConfig, TrainingConfig
from bandwise.errors import UsageError
from bandwise.models.cost import counts, macs, saved_activation_bytes
from bandwise.models.zoo import logits_and_features
from bandwise.runs.documents import SUMMARY_NAME, BranchResult, Cost, read_summary
from bandwise.runs.logits import TOP
from bandwise.runs.run import Run
from bandwise.store.reading.store import Store
from bandwise.training.start import name_of_first

_FLOAT = 4

SAME_COST = 1.25
"""Systems that differ by less than this factor count as equal."""

Figures = dict[str, float]
"""What is compared: `macs_per_node` and `macs_all` of training, all epochs; `pixels_per_node` that a node stores."""


@dataclass(frozen=True, slots=True)
class BranchCost:
    """The size of one branch, from its network alone."""

    params: int
    """Trainable parameters."""
    buffers: int
    """Elements of buffers (running statistics of norms)."""
    macs: int
    """Multiply-adds of one image of `crop`, forward."""
    mib_parameters: float
    """Bytes of the parameters over 2^20."""
    mib_with_buffers: float
    """The same with the buffers."""


def branch_cost(config: RunConfig, branch: int, *, channels: int, num_classes: int) -> BranchCost:
    """Count one branch on the meta device; nothing is allocated.

    `channels` are the colour channels of one band, 1 or 3. A network that does not exist, or does not take that input
    size, is a `UsageError`.
    """
    return _count(_network_only(config.of_branch(branch)), len(config.groups()[branch]), channels, num_classes)


def branch_costs(config: RunConfig, *, channels: int, num_classes: int) -> list[BranchCost]:
    """Count every branch, as `branch_cost`."""
    size = {"channels": channels, "num_classes": num_classes}
    return [branch_cost(config, branch, **size) for branch in range(len(config.groups()))]


def activation_bytes(config: RunConfig, branch: int, *, channels: int, num_classes: int) -> int:
    """Return the bytes of float32 values that a training step of one branch keeps for the backward pass, an image.

    The image has the size of the training crop. Raises what `branch_cost` raises.
    """
    return _kept(_network_only(config.of_branch(branch)), len(config.groups()[branch]), channels, num_classes)


def require_networks(config: RunConfig, *, channels: int, num_classes: int) -> None:
    """Check before hours of splitting that the network of every branch can be built, takes its input and can start.

    A `UsageError` as of `branch_cost`, or because a branch cannot start from the one it names.
    """
    groups = config.groups()
    branch_costs(config, channels=channels, num_classes=num_classes)
    if config.initial_branch is None:
        return
    if ";" in config.network.model:
        raise UsageError(f"initial_branch needs one network for every branch, not {config.network.model}")
    shapes = {len(group): _shapes(_network_only(config), len(group), channels, num_classes) for group in groups}
    if any(found != shapes[len(groups[config.initial_branch])] for found in shapes.values()):
        raise UsageError(
            f"initial_branch is {config.initial_branch}, but in {config.network.model} more than the first convolution "
            f"depends on the number of bands, and the groups of {config.branches!r} have {sorted(shapes)}: give every "
            "branch as many bands, or leave initial_branch out"
        )


def answer_bytes(config: RunConfig, *, channels: int, num_classes: int, train: int, others: int) -> tuple[int, int]:
    """Return the bytes of the logits of one branch, and of the most features, which only a fusion head needs.

    Logits are of the `others`, holdout and reported images; features of these and of two views of the `train` images.
    """
    top = min(TOP, num_classes) * (_FLOAT + 4) + _FLOAT
    kept = {"full": _FLOAT * num_classes, "float16": num_classes * _FLOAT // 2, "top-64": top}
    logits = kept[config.fusion.keep_logits] * others
    if config.fusion.rule != "head":
        return logits, 0
    side, widths = config.training.crop // config.split.stride, set[int]()
    for branch, group in enumerate(config.groups()):
        network = _on_meta(_network_only(config.of_branch(branch)), len(group), channels, num_classes).eval()
        with torch.device("meta"):
            widths.add(logits_and_features(network, torch.empty(1, len(group) * channels, side, side))[1].shape[1])
    return logits, _FLOAT // 2 * max(widths) * (2 * train + others)


def train_crop(config: RunConfig) -> int:
    """Return the side in pixels of the crops of training, before the split."""
    return config.training.train_crop or config.training.crop


def _network_only(config: RunConfig) -> RunConfig:
    """Return what the network of a branch depends on, in pixels of the branch; equal for rows of the same network."""
    stride = config.split.stride
    side, train_side = config.training.crop // stride, train_crop(config) // stride
    return RunConfig(
        network=config.network,
        training=TrainingConfig(crop=side, train_crop=train_side),
        split=SplitConfig(stride=1, transform="identity", canvas=max(side, train_side)),
    )


@lru_cache(maxsize=256)
def _count(config: RunConfig, bands: int, channels: int, num_classes: int) -> BranchCost:
    model = _on_meta(config, bands, channels, num_classes)
    size = counts(model)
    side = config.training.crop
    return BranchCost(
        params=int(size["parameters"]),
        buffers=int(size["buffers"]),
        macs=macs(model, (1, bands * channels, side, side)),
        mib_parameters=size["mib_parameters"],
        mib_with_buffers=size["mib_with_buffers"],
    )


@lru_cache(maxsize=256)
def _kept(config: RunConfig, bands: int, channels: int, num_classes: int) -> int:
    model = _on_meta(config, bands, channels, num_classes)
    side = train_crop(config)
    # Batch statistics need two images; what they keep besides is shared by the batch and hardly counts.
    try:
        return saved_activation_bytes(model, (2, bands * channels, side, side)) // 2
    except RuntimeError as error:
        raise UsageError(
            f"{config.network.model} is built for {config.training.crop} px and does not take {side} px in training: "
            f"{error}; leave --train-crop at 0"
        ) from error


def _shapes(config: RunConfig, bands: int, channels: int, num_classes: int) -> dict[str, torch.Size]:
    """Return the shapes of all weights but those of the first convolution, which a warm start adapts."""
    network = _on_meta(config, bands, channels, num_classes)
    first = name_of_first(network, nn.Conv2d)
    return {name: value.shape for name, value in network.state_dict().items() if name != first}


def _on_meta(config: RunConfig, bands: int, channels: int, num_classes: int) -> nn.Module:
    with torch.device("meta"):
        return build_network(config, num_classes=num_classes, bands=bands, channels=channels)


def total_cost(run: Run, store: Store, branches: Sequence[BranchResult]) -> Cost:
    """Add up what the branches of a run cost."""
    walls = {entry.branch: entry.wall_s for entry in branches}
    cpus = [entry.cpu_s for entry in branches]
    source = run.config.initial_branch
    # A branch that others start from counts also where it is not fused, if its summary is here.
    if source is not None and source not in walls and (run.branch_folder(source) / SUMMARY_NAME).exists():
        summary = read_summary(run.branch_folder(source))
        walls[source], cpus = summary.wall_s, [*cpus, summary.cpu_s]
    before = {branch: walls.get(first) for branch in walls if (first := run.config.source_of(branch)) is not None}
    measured = [cpu for cpu in cpus if cpu is not None]
    bands = sorted({band for group in run.groups for band in group})
    return Cost(
        params_per_branch=max(entry.params for entry in branches),
        params_total=sum(entry.params for entry in branches),
        macs_per_branch=max(entry.macs for entry in branches),
        macs_total=sum(entry.macs for entry in branches),
        gmacs_per_branch=max(entry.gmacs for entry in branches),
        gmacs_total=sum(entry.gmacs for entry in branches),
        activation_bytes_per_image_per_branch=max(entry.activation_bytes_per_image for entry in branches),
        activation_bytes_per_image_total=sum(entry.activation_bytes_per_image for entry in branches),
        wall_s_longest=max(wall + (before.get(branch) or 0.0) for branch, wall in walls.items()),
        wall_s_sum=sum(walls.values()),
        cpu_s_sum=sum(measured) if len(measured) == len(cpus) else None,
        store_bytes_per_branch=max(entry.store_bytes for entry in branches),
        store_bytes_total=sum(store.band_bytes(band) for band in bands),
    )


def figures(config: RunConfig, *, channels: int, num_classes: int) -> Figures:
    """Return what a system costs; multiply-adds are those of a picture, forward, times the epochs."""
    costs = branch_costs(config, channels=channels, num_classes=num_classes)
    macs = [config.training.epochs * cost.macs for cost in costs]
    pixels = max(map(len, config.groups())) * (config.split.canvas / config.split.stride) ** 2
    return {"macs_per_node": max(macs), "macs_all": sum(macs), "pixels_per_node": pixels}


def matched(
    config: RunConfig, others: Mapping[str, RunConfig], *, channels: int, num_classes: int
) -> dict[str, list[str]]:
    """Return for each of the figures the other systems that have about the same, in the order given.

    With as much data a node count only systems of the same network and as many epochs.
    """
    size = {"channels": channels, "num_classes": num_classes}
    own = figures(config, **size)
    found: dict[str, list[str]] = {key: [] for key in own}
    for name, other in others.items():
        alike = (other.network.model, other.training.epochs) == (config.network.model, config.training.epochs)
        for key, value in figures(other, **size).items():
            equal = max(value, own[key]) < SAME_COST * min(value, own[key])
            if equal and (alike or key != "pixels_per_node"):
                found[key].append(name)
    return found
