"""What a run will need, before anything of it exists: memory, batch, bytes, multiply-adds and hours.

One branch and all branches are always two figures: a machine for each branch is what the method assumes, and the sum is
what it costs. The memory of a training step follows from the sizes of the network; only `images_per_second` measures.

    peak(batch) = fixed + batch * activations of an image
    fixed       = weights + buffers + gradients + optimiser state + moving average + CONTEXT_BYTES

All values are float32, as `precision 32-true` has them. The activations are those that autograd keeps for the backward
pass. Not in the formula: gradients of activations that are alive for a moment, workspace beyond the allowance, and what
the allocator rounds up; a real step takes somewhat more.
"""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from bandwise.config import RunConfig
from bandwise.files.schema import plain
from bandwise.launch.cost import activation_bytes, branch_cost, train_crop
from bandwise.store.writing.records import estimate_bytes
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.learner import Learner
from bandwise.training.optim import create_optimizer

CONTEXT_BYTES = 1_500_000_000
"""An allowance for the driver's context, kernels and workspace: an assumption, not a measurement."""

_FLOAT = 4
_SECONDS_AN_HOUR = 3600
_WARM_UP_STEPS, _TIMED_STEPS = 1, 3


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
class StepMemory:
    """Bytes of one training step of one branch."""

    parameters: int
    buffers: int
    gradients: int
    optimizer: int
    """State of the optimiser, for example one momentum a parameter."""
    average: int
    """The moving average of the weights, where there is one."""
    context: int
    activations: int
    """Of one image."""

    @property
    def fixed(self) -> int:
        """What does not depend on the batch."""
        return self.parameters + self.buffers + self.gradients + self.optimizer + self.average + self.context

    def peak(self, batch: int) -> int:
        """Return the bytes of a step of `batch` images."""
        return self.fixed + batch * self.activations

    def batch_ceiling(self, memory_bytes: float) -> int:
        """Return the largest batch whose peak fits; 0 where not even one image does."""
        return max(0, int((memory_bytes - self.fixed) // self.activations))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """How long a training takes at a rate of images a second."""

    images_per_s: float
    per_branch: float
    summed: float
    """Of all branches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The needs of one run: of the largest branch and, by names that end in `_all`, of all branches together."""

    name: str
    dataset: str
    model: str
    stem: str
    input_px: int
    train_px: int
    bands: tuple[tuple[int, ...], ...]
    branches: int
    classes: int
    epochs: int
    batch_size: int
    parameters: int
    parameters_all: int
    buffers: int
    mib_parameters: float
    mib_with_buffers: float
    gmacs: float
    gmacs_all: float
    activation_bytes_per_image: int
    activation_bytes_per_image_all: int
    memory: StepMemory
    images_at_once: int
    gpu_memory_gb: float
    batch_ceiling: int
    images: int
    record_bytes: int
    bytes_per_node: int
    bytes_all: int
    stored_bytes_per_node_estimated: int
    stored_bytes_all_estimated: int
    codec: str
    trains_from: Literal["source images", "stored bands"]
    hours: Hours | None

    def to_dict(self) -> dict[str, Any]:
        """Return what `bandwise plan --json` prints."""
        found, memory, batch = plain(self), self.memory, self.images_at_once
        del found["images_at_once"]
        found["memory"] = {f"{key}_bytes": value for key, value in plain(memory).items() if key != "activations"} | {
            "fixed_bytes": memory.fixed,
            "images_at_once": batch,
            "activation_bytes": batch * memory.activations,
            "peak_bytes": memory.peak(batch),
        }
        return found


def make_plan(config: RunConfig, setting: Setting) -> Plan:
    """Work out what a run needs; a `UsageError` if its network, optimiser or size cannot be used."""
    groups, training, split = config.groups(), config.training, config.split
    size = {"channels": setting.channels, "num_classes": setting.classes}
    costs = [branch_cost(config, branch, **size) for branch in range(len(groups))]
    kept = [activation_bytes(config, branch, **size) for branch in range(len(groups))]
    largest = max(costs, key=lambda cost: cost.params)
    memory = step_memory(config, parameters=largest.params, buffers=largest.buffers, activations=max(kept))
    item = 2 if split.storage == "float16" else 1
    record = (split.canvas // split.stride) ** 2 * setting.channels * item
    node, stored = max(map(len, groups)), len({band for group in groups for band in group})
    estimated = [estimate_bytes(split, bands, setting.channels, setting.images) for bands in (node, stored)]
    return Plan(
        name=config.name,
        dataset=config.data.data,
        model=config.network.model,
        stem=config.network.stem,
        input_px=training.crop // split.stride,
        train_px=train_crop(config) // split.stride,
        bands=groups,
        branches=len(groups),
        classes=setting.classes,
        epochs=training.epochs,
        batch_size=training.batch_size,
        parameters=largest.params,
        parameters_all=sum(cost.params for cost in costs),
        buffers=largest.buffers,
        mib_parameters=largest.mib_parameters,
        mib_with_buffers=largest.mib_with_buffers,
        gmacs=max(cost.macs for cost in costs) / 1e9,
        gmacs_all=sum(cost.macs for cost in costs) / 1e9,
        activation_bytes_per_image=max(kept),
        activation_bytes_per_image_all=sum(kept),
        memory=memory,
        images_at_once=training.batch_size // training.grad_accum_steps,
        gpu_memory_gb=setting.gpu_memory_gb,
        batch_ceiling=memory.batch_ceiling(setting.gpu_memory_gb * 1e9),
        images=setting.images,
        record_bytes=record,
        bytes_per_node=record * setting.images * node,
        bytes_all=record * setting.images * stored,
        stored_bytes_per_node_estimated=estimated[0],
        stored_bytes_all_estimated=estimated[1],
        codec=split.codec,
        # Image-level augmentation cannot be made from stored bands.
        trains_from="source images" if config.augment.at == "image" else "stored bands",
        hours=_hours(config, setting),
    )


def compare(mine: Plan, whole: Plan) -> dict[str, str | float | None]:
    """Return how many times less than the whole-image row one branch needs, and all branches together.

    A ratio of 4 is a quarter; `batch_ceiling` is the other way round, how many times more images fit.
    """
    return {
        "row": whole.name,
        "activation_bytes_per_image": whole.activation_bytes_per_image / mine.activation_bytes_per_image,
        "activation_bytes_per_image_all": whole.activation_bytes_per_image / mine.activation_bytes_per_image_all,
        "gmacs": whole.gmacs / mine.gmacs,
        "gmacs_all": whole.gmacs / mine.gmacs_all,
        "parameters": whole.parameters / mine.parameters,
        "parameters_all": whole.parameters / mine.parameters_all,
        "batch_ceiling": mine.batch_ceiling / whole.batch_ceiling if whole.batch_ceiling else None,
    }


def _hours(config: RunConfig, setting: Setting) -> Hours | None:
    if setting.images_per_s is None:
        return None
    one = config.training.epochs * setting.train_images / setting.images_per_s / _SECONDS_AN_HOUR
    return Hours(images_per_s=setting.images_per_s, per_branch=one, summed=one * len(config.groups()))


def step_memory(config: RunConfig, *, parameters: int, buffers: int, activations: int) -> StepMemory:
    """Return the memory of a step of one branch from its numbers of parameters and of values in buffers.

    `activations` are the bytes that one image keeps for the backward pass. An optimiser that timm does not have, or a
    value that it refuses, is a `UsageError`.
    """
    return StepMemory(
        parameters=_FLOAT * parameters,
        buffers=_FLOAT * buffers,
        gradients=_FLOAT * parameters,
        optimizer=round(_FLOAT * parameters * state_values_a_parameter(config)),
        average=_FLOAT * (parameters + buffers) if config.training.model_ema else 0,
        context=CONTEXT_BYTES,
        activations=activations,
    )


def state_values_a_parameter(config: RunConfig) -> float:
    """Return how many values the optimiser keeps for a parameter: seen after one step on a square linear layer."""
    layer = nn.Linear(64, 64, bias=False)
    optimizer = create_optimizer(layer, config.training)
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    state = optimizer.state[layer.weight].values()
    kept = sum(value.numel() for value in state if isinstance(value, torch.Tensor) and value.numel() > 1)
    return kept / layer.weight.numel()


def images_per_second(config: RunConfig, branch: int, *, channels: int, num_classes: int, batch: int) -> float:
    """Time some training steps of one branch on this machine: real steps, on random images that are there already.

    `batch` images make a step, at least 2 for batch statistics; `channels` are those of one band. What does not exist
    or does not fit is a `UsageError`.
    """
    training = replace(config.training, batch_size=batch, grad_accum_steps=1)
    device, bands = choose_device(training.device), len(config.groups()[branch])
    side = train_crop(config) // config.split.stride
    with reproducible(training, device):
        learner = Learner(
            replace(config, training=training),
            branch,
            num_classes=num_classes,
            bands=bands,
            channels=channels,
            steps_per_epoch=_WARM_UP_STEPS + _TIMED_STEPS,
            device=device,
        )
        learner.train_mode()
        images = torch.randn(batch, bands * channels, side, side, device=device)
        images = images.to(memory_format=torch.channels_last)
        labels = torch.randint(num_classes, (batch,), device=device)
        started = 0.0
        for step in range(1, _WARM_UP_STEPS + _TIMED_STEPS + 1):
            learner.learn(images, labels, step)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if step == _WARM_UP_STEPS:
                started = time.perf_counter()
        return batch * _TIMED_STEPS / (time.perf_counter() - started)
