"""What a run will need, before anything of it exists: memory, batch, bytes, multiply-adds and hours.

One branch and all branches are always two figures: a machine for each branch is what the method assumes, and the sum is
what it costs.
"""

from dataclasses import asdict, dataclass
from typing import Any

from bandwise.config import RunConfig
from bandwise.launch.cost import activation_bytes, branch_cost, train_crop
from bandwise.launch.memory import StepMemory, step_memory
from bandwise.store.writing.estimate import estimate_bytes

_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What a plan needs to know beside the configuration."""

    classes: int
    channels: int
    images: int
    """Images a node stores."""
    train_images: int
    """Images of an epoch."""
    gpu_memory_gb: float
    """Memory of one accelerator in GB of 10^9 bytes."""
    images_per_s: float | None = None
    """Training images a second of one branch; None leaves the hours out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The needs of one run; of several branches, the largest counts as "one"."""

    facts: dict[str, Any]
    """Ready for JSON."""
    memory: StepMemory


def make_plan(config: RunConfig, setting: Setting) -> Plan:
    """Work out what a run needs.

    Raises:
        UsageError: the network, the optimiser or the size cannot be used.
    """
    groups = config.groups()
    size = {"channels": setting.channels, "num_classes": setting.classes}
    costs = [branch_cost(config, branch, **size) for branch in range(len(groups))]
    kept = [activation_bytes(config, branch, **size) for branch in range(len(groups))]
    largest = max(costs, key=lambda cost: cost.params)
    memory = step_memory(config, parameters=largest.params, buffers=largest.buffers, activations=max(kept))
    batch = config.training.batch_size // config.training.grad_accum_steps
    facts = {
        "name": config.name,
        "dataset": config.data.data,
        "model": config.network.model,
        "stem": config.network.stem,
        "input_px": config.training.crop // config.split.stride,
        "train_px": train_crop(config) // config.split.stride,
        "bands": [list(group) for group in groups],
        "branches": len(groups),
        "classes": setting.classes,
        "epochs": config.training.epochs,
        "batch_size": config.training.batch_size,
        "parameters": largest.params,
        "parameters_all": sum(cost.params for cost in costs),
        "buffers": largest.buffers,
        "mib_parameters": largest.mib_parameters,
        "mib_with_buffers": largest.mib_with_buffers,
        "gmacs": max(cost.macs for cost in costs) / 1e9,
        "gmacs_all": sum(cost.macs for cost in costs) / 1e9,
        "activation_bytes_per_image": max(kept),
        "activation_bytes_per_image_all": sum(kept),
        "memory": _memory(memory, batch),
        "gpu_memory_gb": setting.gpu_memory_gb,
        "batch_ceiling": memory.batch_ceiling(setting.gpu_memory_gb * 1e9),
        **_storage(config, setting),
        "hours": _hours(config, setting, len(groups)),
    }
    return Plan(facts, memory)


def compare(plan: Plan, full: Plan) -> dict[str, Any]:
    """Return how many times less than the whole-image row one branch needs, and all branches together.

    A ratio of 4 is a quarter; `batch_ceiling` is the other way round, how many times more images fit.
    """
    mine, whole = plan.facts, full.facts
    return {
        "row": whole["name"],
        "activation_bytes_per_image": whole["activation_bytes_per_image"] / mine["activation_bytes_per_image"],
        "activation_bytes_per_image_all": whole["activation_bytes_per_image"] / mine["activation_bytes_per_image_all"],
        "gmacs": whole["gmacs"] / mine["gmacs"],
        "gmacs_all": whole["gmacs"] / mine["gmacs_all"],
        "parameters": whole["parameters"] / mine["parameters"],
        "parameters_all": whole["parameters"] / mine["parameters_all"],
        "batch_ceiling": mine["batch_ceiling"] / whole["batch_ceiling"] if whole["batch_ceiling"] else None,
    }


def _memory(memory: StepMemory, batch: int) -> dict[str, Any]:
    parts = {f"{key}_bytes": value for key, value in asdict(memory).items() if key != "activations"}
    return {
        **parts,
        "fixed_bytes": memory.fixed,
        "images_at_once": batch,
        "activation_bytes": batch * memory.activations,
        "peak_bytes": memory.peak(batch),
    }


def _storage(config: RunConfig, setting: Setting) -> dict[str, Any]:
    """Return the bytes of the sub-dataset of one branch and of all stored bands."""
    side = config.split.canvas // config.split.stride
    item = 2 if config.split.storage == "float16" else 1
    record = side * side * setting.channels * item
    groups = config.groups()
    node = max(len(group) for group in groups)
    stored = len({band for group in groups for band in group})
    return {
        "images": setting.images,
        "record_bytes": record,
        "bytes_per_node": record * setting.images * node,
        "bytes_all": record * setting.images * stored,
        "stored_bytes_per_node_estimated": estimate_bytes(config.split, node, setting.channels, setting.images),
        "stored_bytes_all_estimated": estimate_bytes(config.split, stored, setting.channels, setting.images),
        "codec": config.split.codec,
        # Image-level augmentation cannot be made from stored bands.
        "trains_from": "source images" if config.augment.at == "image" else "stored bands",
    }


def _hours(config: RunConfig, setting: Setting, branches: int) -> dict[str, float] | None:
    if setting.images_per_s is None:
        return None
    one = config.training.epochs * setting.train_images / setting.images_per_s / _SECONDS_AN_HOUR
    return {"images_per_s": setting.images_per_s, "per_branch": one, "summed": one * branches}
