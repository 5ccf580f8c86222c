"""What a branch costs and what all of them cost: parameters, multiply-adds, time and bytes, never mixed up."""

from dataclasses import dataclass
from typing import Any

from bandwise.config import RunConfig
from bandwise.models.zoo import counts, create_branch, macs
from bandwise.runs import Run
from bandwise.store.format import Store


@dataclass(frozen=True, slots=True)
class BranchCost:
    """The size of one branch, from its network alone."""

    params: int
    """Trainable parameters."""
    buffers: int
    """Elements of buffers (running statistics of norms)."""
    macs: int
    """Multiply-adds of one image, forward."""


def branch_cost(config: RunConfig, branch: int, *, channels: int, num_classes: int) -> BranchCost:
    """Count one branch on the meta device; nothing is allocated.

    Args:
        config: the run.
        branch: which branch.
        channels: colour channels of one band, 1 or 3.
        num_classes: outputs of the classifier.
    """
    import torch

    side = config.training.crop // config.split.stride
    in_channels = channels * len(config.groups()[branch])
    with torch.device("meta"):
        model = create_branch(
            config.network.model,
            num_classes=num_classes,
            in_channels=in_channels,
            input_size=side,
            stem=config.network.stem,
        )
    size = counts(model)
    return BranchCost(
        params=int(size["parameters"]), buffers=int(size["buffers"]), macs=macs(model, (1, in_channels, side, side))
    )


def total_cost(run: Run, store: Store, branches: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what the branches of a run cost; `branches` are their entries in the results.

    Returns:
        Per-branch maxima and totals. `wall_s_longest` is the time with a machine for every branch, `wall_s_sum` the
        machine time spent in all.
    """
    bands = sorted({band for group in run.groups for band in group})
    store_bytes = [entry["store_bytes"] for entry in branches]
    walls = [entry["wall_s"] for entry in branches]
    return {
        "params_per_branch": max(entry["params"] for entry in branches),
        "params_total": sum(entry["params"] for entry in branches),
        "macs_per_branch": max(entry["macs"] for entry in branches),
        "macs_total": sum(entry["macs"] for entry in branches),
        "wall_s_longest": max(walls),
        "wall_s_sum": sum(walls),
        "store_bytes_per_branch": max(store_bytes),
        "store_bytes_total": sum(store.band_bytes(band) for band in bands),
    }
