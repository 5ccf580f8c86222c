"""The memory of a training step on an accelerator, from the sizes of the network; nothing is measured here.

    peak(batch) = fixed + batch * activations of an image
    fixed       = weights + buffers + gradients + optimiser state + moving average + CONTEXT_BYTES

All values are float32, as `precision 32-true` has them. The activations are those that autograd keeps for the backward
pass. Not in the formula: gradients of activations that are alive for a moment, workspace beyond the allowance, and what
the allocator rounds up; a real step takes somewhat more.
"""

from dataclasses import dataclass

import torch
from torch import nn

from bandwise.config import RunConfig
from bandwise.training.optim import create_optimizer

CONTEXT_BYTES = 1_500_000_000
"""An allowance for the driver's context, kernels and workspace: an assumption, not a measurement."""

_FLOAT = 4


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
    """Return the memory of a step of one branch.

    Args:
        config: the run; its optimiser and its moving average count.
        parameters: number of trainable values.
        buffers: number of values in buffers.
        activations: bytes that one image keeps for the backward pass.

    Raises:
        UsageError: timm has no such optimiser, or it refuses a value.
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
