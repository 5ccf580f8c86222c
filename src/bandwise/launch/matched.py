"""Which systems may fairly be compared with one: those of about equal cost of a node, or of all, or of data a node."""

from collections.abc import Mapping

from bandwise.config import RunConfig
from bandwise.launch.cost import branch_cost

SAME_COST = 1.25
"""Systems that differ by less than this factor count as equal."""

Figures = dict[str, float]
"""What is compared: `macs_per_node` and `macs_all` of training, all epochs; `pixels_per_node` that a node stores."""


def figures(config: RunConfig, *, channels: int, num_classes: int) -> Figures:
    """Return what a system costs; multiply-adds are those of a picture, forward, times the epochs."""
    groups = config.groups()
    size = {"channels": channels, "num_classes": num_classes}
    macs = [config.training.epochs * branch_cost(config, branch, **size).macs for branch in range(len(groups))]
    pixels = max(map(len, groups)) * (config.split.canvas / config.split.stride) ** 2
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
