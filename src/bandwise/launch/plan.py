"""What a run will need, before anything of it exists: memory, batch, bytes, multiply-adds and hours.

One branch and all branches are always two figures: a machine for each branch is what the method assumes, and the sum is
what it costs. The memory of a training step follows from the sizes of the network (`training/memory.py`); only
`measure_steps` measures.
"""

import os
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.files.schema import plain
from bandwise.launch.cost import activation_bytes, answer_bytes, branch_costs, train_crop
from bandwise.machine import usable_cores
from bandwise.progress import say
from bandwise.store.writing.records import estimate_bytes
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.learner import Learner, choose_precision
from bandwise.training.memory import StepMemory, step_memory

_SECONDS_AN_HOUR = 3600
# To warm up, and to time. On an accelerator the first ones compile and try out algorithms.
_STEPS_ON_CPU, _STEPS_ON_ACCELERATOR = (1, 3), (10, 30)
_IMAGES_ON_CPU = 8


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
    images_per_s_from: str | None = None
    """Where that is from."""


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
    logits_bytes: int
    """Of one branch, on holdout and reported images."""
    logits_bytes_all: int
    features_bytes: int
    """Of one branch; 0 without a fusion head."""
    features_bytes_all: int
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
    costs = branch_costs(config, **size)
    kept = [activation_bytes(config, branch, **size) for branch in range(len(groups))]
    largest = max(costs, key=lambda cost: cost.params)
    memory = step_memory(config, parameters=largest.params, buffers=largest.buffers, activations=max(kept))
    item = 2 if split.storage == "float16" else 1
    record = (split.canvas // split.stride) ** 2 * setting.channels * item
    node, stored = max(map(len, groups)), len({band for group in groups for band in group})
    seen = {"train": setting.train_images, "others": setting.images - setting.train_images}
    logits, features = answer_bytes(config, **size, **seen)
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
        logits_bytes=logits,
        logits_bytes_all=logits * len(groups),
        features_bytes=features,
        features_bytes_all=features * len(groups),
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


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast a branch trains here."""

    images_per_s: float
    how: str


def measure_steps(config: RunConfig, *, channels: int, num_classes: int, batch: int | None = None) -> Measured:
    """Time some training steps of branch 0 on this machine: real steps, on random images that are there already.

    They are those of the configuration, with its precision, compiled if it says so, after some that warm up. `batch`
    images make a step, at least 2 for batch statistics; None takes those of the configuration, in its parts, on an
    accelerator, and few on a CPU. `channels` are those of one band. What does not exist or fit is a `UsageError`.
    """
    device = choose_device(config.training.device)
    on_cpu = device.type == "cpu"
    if batch is None and on_cpu:
        batch = _IMAGES_ON_CPU
    training = config.training if batch is None else replace(config.training, batch_size=batch, grad_accum_steps=1)
    precision = choose_precision(training, device)
    say(f"timing {training.batch_size} images a step")
    try:
        rate = _rate(replace(config, training=training), channels, num_classes, device)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"a step of {training.batch_size} images of {config.name} does not fit on {device}; time fewer with "
            "--measure-batch"
        ) from error
    busy = on_cpu and os.getloadavg()[0] > usable_cores()
    beside = f", beside other work (a load of {os.getloadavg()[0]:.1f} on {usable_cores()} cores)" if busy else ""
    where = f"with --threads {training.threads}{beside}" if on_cpu else f"on {torch.cuda.get_device_name(device)}"
    arithmetic = "" if precision == "32-true" else f" in {precision}"
    images = f"{'compiled ' if training.compile else ''}steps of {training.batch_size} random images"
    return Measured(rate, f"measured here {where}{arithmetic}: {images}, without reading or augmenting")


def _rate(config: RunConfig, channels: int, num_classes: int, device: torch.device) -> float:
    bands, batch = len(config.groups()[0]), config.training.batch_size
    side = train_crop(config) // config.split.stride
    warm_up, timed = _STEPS_ON_CPU if device.type == "cpu" else _STEPS_ON_ACCELERATOR
    with reproducible(config.training, device):
        learner = Learner(
            config.of_branch(0),
            0,
            num_classes=num_classes,
            bands=bands,
            channels=channels,
            steps_per_epoch=warm_up + timed,
            device=device,
        )
        learner.train_mode()
        images = torch.randn(batch, bands * channels, side, side, device=device)
        images = images.to(memory_format=torch.channels_last)
        labels = torch.randint(num_classes, (batch,), device=device)
        started = 0.0
        for step in range(1, warm_up + timed + 1):
            learner.learn(images, labels, step)
            if step in (warm_up, warm_up + timed) and device.type == "cuda":
                torch.cuda.synchronize(device)
            if step == warm_up:
                started = time.perf_counter()
        return batch * timed / (time.perf_counter() - started)
