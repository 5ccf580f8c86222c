"""The memory that training a branch takes on its device, and whether its records fit there beside it.

    peak(batch) = fixed + batch * activations of an image
    fixed       = weights + buffers + gradients + optimiser state + moving average + CONTEXT_BYTES

All values are float32, as `precision 32-true` has them. The activations are those that autograd keeps for the backward
pass. Not in the formula: gradients of activations that are alive for a moment, workspace beyond the allowance, and what
the allocator rounds up; a real step takes somewhat more.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.machine import available_bytes
from bandwise.models.cost import counts, saved_activation_bytes
from bandwise.training.identity import Branch
from bandwise.training.optim import create_optimizer

CONTEXT_BYTES = 1_500_000_000
"""An allowance for the driver's context, kernels and workspace: an assumption, not a measurement."""
SHARE_OF_DEVICE = 0.85
"""Of a device's free memory, the most that training and records may take for `cache` auto to keep records there."""

_FLOAT = 4
_PLAN_BYTES = 64
"""A row, at most: its place in the order of an epoch and what is drawn for it."""


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


def records_fit_on_device(branch: Branch) -> bool:
    """Return whether the records of a branch fit on its device, with `cache` auto beside the training.

    Then all may take `SHARE_OF_DEVICE` of what is free. Records that are asked for there and are larger than what is
    free are a `UsageError`.
    """
    cache = branch.config.training.cache
    free, records = _free_bytes(branch.device), _record_bytes(branch)
    if cache == "auto":
        try:
            return records + _training_bytes(branch) <= SHARE_OF_DEVICE * free
        except RuntimeError:
            # The network does not take crops of this size; `learner.check_network` says so.
            return False
    if records > free:
        raise UsageError(
            f"cache is 'device', but the records of branch {branch.number} take {records / 1e9:.1f} GB and "
            f"{branch.device} has {free / 1e9:.1f} GB free; use --cache auto, ram or none"
        )
    return True


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()


def _record_bytes(branch: Branch) -> int:
    store = branch.store
    record = len(branch.bands) * int(np.prod(store.record_shape)) * store.dtype.itemsize
    return store.rows("train") * (record + _PLAN_BYTES)


def _training_bytes(branch: Branch) -> int:
    config, training, store = branch.config, branch.config.training, branch.store
    with torch.device("meta"):
        network = build_network(
            config, num_classes=len(store.classes), bands=len(branch.bands), channels=store.channels
        )
    sizes = counts(network)
    side = (training.train_crop or training.crop) // config.split.stride
    # Batch statistics need two images.
    pair = saved_activation_bytes(network, (2, len(branch.bands) * store.channels, side, side))
    memory = step_memory(config, parameters=sizes["parameters"], buffers=sizes["buffers"], activations=-(-pair // 2))
    return memory.peak(training.batch_size // training.grad_accum_steps)
