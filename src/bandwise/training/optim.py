"""The optimiser and the learning-rate schedule of one branch, both timm's, built from `TrainingConfig`."""

import difflib
import inspect
from typing import Any

import torch
from timm.optim import (
    create_optimizer_v2,  # pyright: ignore[reportPrivateImportUsage]
    get_optimizer_class,  # pyright: ignore[reportPrivateImportUsage]
    list_optimizers,  # pyright: ignore[reportPrivateImportUsage]
)
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import Tensor, nn

from bandwise.config import TrainingConfig
from bandwise.errors import UsageError


def create_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build the optimiser; norm and bias parameters get no weight decay.

    On CUDA it is torch's fused one where there is one, except at 16-mixed: that one scales gradients inside the step,
    so they could not be clipped. What timm does not have or refuses is a `UsageError`.
    """
    names = list_optimizers()
    if config.opt.lower().removeprefix("lookahead_") not in names:
        close = difflib.get_close_matches(config.opt.lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "see timm.optim.list_optimizers()"
        raise UsageError(f"opt is {config.opt!r}, which is no optimiser of timm; {hint}")
    fused: dict[str, Any] = {"fused": True} if _fuses(model, config) else {}
    try:
        optimizer = create_optimizer_v2(
            model, opt=config.opt, lr=config.lr, weight_decay=config.weight_decay, momentum=config.momentum, **fused
        )
    except ValueError as error:
        raise UsageError(
            f"opt {config.opt} with lr {config.lr:g}, momentum {config.momentum:g} and weight_decay "
            f"{config.weight_decay:g} is refused: {error} (timm's sgd is Nesterov's, its momentum is the plain one)"
        ) from error
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(
            f"opt is {config.opt!r}, which needs second derivatives; choose for example sgd, adamw or lamb"
        )
    _start_momentum(optimizer)
    return optimizer


def can_skip(optimizer: torch.optim.Optimizer) -> bool:
    """Say whether the device can be told to leave out a step by a number that only it knows: fused ones of torch."""
    return type(optimizer) in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW) and all(
        group["fused"] for group in optimizer.param_groups
    )


def skip_where(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """Let the next step change nothing where `bad`, bool () on the device, holds, as torch's `GradScaler` does it."""
    vars(optimizer).update(grad_scale=None, found_inf=bad.float())


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state, from any device, as this optimiser would have made it; `state` is changed."""
    # Whether the step is fused is up to this device; where it is, torch puts step counters beside the parameters.
    for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        if "fused" in group:
            saved["fused"] = group["fused"]
    optimizer.load_state_dict(state)
    _start_momentum(optimizer)
    # A file has no memory layout. Sums over a tensor (the norms of LAMB) would add in another order than before.
    for parameter, own in optimizer.state.items():
        for key, value in own.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                own[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _start_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Start momenta at 0 where a step may be skipped.

    In its first step torch would take fresh memory for them, and leave it as it is where the device skips that step.
    """
    if not (can_skip(optimizer) and isinstance(optimizer, torch.optim.SGD)):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            if optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _fuses(model: nn.Module, config: TrainingConfig) -> bool:
    on_cuda = all(parameter.device.type == "cuda" for parameter in model.parameters())
    if not on_cuda or config.precision == "16-mixed":
        return False
    kind = get_optimizer_class(config.opt.lower().removeprefix("lookahead_"), bind_defaults=False)
    return "fused" in inspect.signature(kind).parameters


class Schedule:
    """The learning rate of every step: warm-up and decay by timm, counted in optimiser steps."""

    def __init__(self, optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int) -> None:
        """Set the learning rate of the first step in the parameter groups of the optimiser."""
        self._optimizer, self._config, self._steps_per_epoch = optimizer, config, steps_per_epoch
        self._scheduler = self._made(config.epochs)
        self._updates = 0

    def _made(self, epochs: int) -> Scheduler:
        config = self._config
        # timm's "none" would drop the warm-up as well, so a constant rate is a step schedule that never drops.
        constant = config.sched == "none"
        scheduler, _ = create_scheduler_v2(
            self._optimizer,
            sched="step" if constant else config.sched,
            num_epochs=epochs,
            decay_epochs=config.decay_epochs,
            decay_rate=1.0 if constant else config.decay_rate,
            min_lr=config.min_lr,
            warmup_lr=config.warmup_lr,
            warmup_epochs=config.warmup_epochs,
            step_on_epochs=False,
            updates_per_epoch=self._steps_per_epoch,
        )
        assert scheduler is not None
        return scheduler

    def fit(self, epochs: int) -> None:
        """Go on as if it had been made for another number of epochs."""
        base = self._scheduler.base_values
        self._scheduler = self._made(epochs)
        self._scheduler.base_values = base
        self._scheduler.step_update(self._updates)

    @property
    def lr(self) -> float:
        """The learning rate of the coming step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def advance(self) -> None:
        """Set the learning rate of the next step; call it after each optimiser step."""
        self._updates += 1
        self._scheduler.step_update(self._updates)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs, as plain JSON types."""
        return {"updates": self._updates, "base_lr": [float(value) for value in self._scheduler.base_values]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state: the counter, the base rates, and the rate that follows from them."""
        self._updates = int(state["updates"])
        self._scheduler.base_values = [float(value) for value in state["base_lr"]]
        if self._updates:
            self._scheduler.step_update(self._updates)
