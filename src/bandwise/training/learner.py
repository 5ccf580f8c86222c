"""The parts of one branch that change while it learns: network, optimiser, schedule, moving average, random numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bandwise.checkpoints.branch import build_network
from bandwise.checkpoints.folder import AVERAGE_PREFIX, Checkpoint, average_weights
from bandwise.checkpoints.tensors import load_weights, pack, unpack
from bandwise.config import RunConfig, TrainingConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.training.determinism import random_states, restore_random_states, seed_for
from bandwise.training.optim import Schedule, can_skip, create_optimizer, restore_optimizer, skip_where

_SMALL_NETWORK = 10_000_000
"""Parameters below which a compiled step is replayed as one graph on CUDA."""

_ALIGNED = 64
"""Values of float32 in 256 bytes, at a multiple of which torch's memory of a device begins."""


def choose_precision(config: TrainingConfig, device: torch.device) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Return the precision of a training; refuse one that the device does not have.

    `auto` is bf16-mixed where an accelerator has it, and 32-true elsewhere: a CPU may have it and is slow at it.
    """
    if config.precision == "auto":
        return "bf16-mixed" if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else "32-true"
    if config.precision == "16-mixed" and device.type == "cpu":
        raise UsageError("precision is '16-mixed', which needs CUDA; on a CPU use 32-true or bf16-mixed")
    return config.precision


class Learner:
    """One branch on one device; seeds torch's global generator, so keep it inside `determinism.reproducible`."""

    def __init__(
        self,
        config: RunConfig,
        branch: int,
        *,
        num_classes: int,
        bands: int,
        channels: int,
        steps_per_epoch: int,
        device: torch.device,
        load: Callable[[nn.Module], None] | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """Build everything from the seeds of the branch; `load` puts other weights to start from into the network."""
        training = config.training
        precision = choose_precision(training, device)
        torch.manual_seed(seed_for(training.seed, branch, "init"))
        network = build_network(config, num_classes=num_classes, bands=bands, channels=channels)
        if load is not None:
            load(network)
        # Batches come with the channels innermost; weights laid out alike take up to a tenth less time on a CPU.
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
        self.optimizer = create_optimizer(self.network, training)
        self.schedule = Schedule(self.optimizer, training, steps_per_epoch)
        # A short training would hardly move a plain average away from the initial weights, hence timm's warm-up of it.
        self.average = (
            ModelEmaV3(self.network, decay=training.model_ema_decay, use_warmup=True) if training.model_ema else None
        )
        self.device = device
        self._training = training
        self._weights = None if class_weights is None else torch.tensor(class_weights, device=device)
        threshold = training.bce_target_thresh or None
        self._binary = (
            BinaryCrossEntropy(training.smoothing, target_threshold=threshold, pos_weight=self._weights)
            if training.bce_loss
            else None
        )
        self._updated = False
        """Whether the optimiser has changed the weights yet."""
        self._read_back = _ReadBack(device)
        self._unsettled: int | None = None
        """The step whose loss has not been read."""
        # Named outright: Fabric would otherwise join a process group that SLURM or torchrun seems to offer.
        accelerator = "cuda" if device.type == "cuda" else "cpu"
        devices = [device.index] if device.type == "cuda" else 1
        self._fabric = Fabric(
            accelerator=accelerator, devices=devices, precision=precision, plugins=[LightningEnvironment()]
        )
        self._module, self._stepper = self._fabric.setup(self.network, self.optimizer)
        self._forward = _compiled(self._module, device) if training.compile else self._module
        self._on_device = can_skip(self.optimizer)
        self._statistics = gather_statistics(self.network, device)
        self._statistics_before = torch.empty_like(self._statistics)
        torch.manual_seed(seed_for(training.seed, branch, "dropout"))

    @property
    def evaluated(self) -> nn.Module:
        """The network whose predictions count: the moving average where there is one."""
        return self.network if self.average is None else self.average.module

    def train_mode(self) -> None:
        """Switch dropout and batch statistics on."""
        self._module.train()

    def loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch in nats: the mean over images of the cross-entropy.

        With `bce_loss` it is the mean over images and classes of the binary cross-entropy of each class (timm's
        `BinaryCrossEntropy` without `sum_classes`), to 0 or 1 where `bce_target_thresh` is given. Targets are int64
        (B,) labels, which are smoothed here, or float (B, K) distributions, which are not. With weights of classes
        the term of each class counts so many times; with `bce_loss`, where the target is that class.
        """
        if self._binary is not None:
            return self._binary(self._forward(images), targets)
        smoothing = 0.0 if targets.is_floating_point() else self._training.smoothing
        logits = self._forward(images)
        if self._weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        # The mean over images: torch's own would divide by the weights of a part, so that parts would not add up.
        loss = functional.cross_entropy(logits, targets, self._weights, label_smoothing=smoothing, reduction="sum")
        return loss / len(images)

    @property
    def late(self) -> bool:
        """Whether a loss is better read after the next step is queued: where it takes waiting for a device."""
        return self.device.type == "cuda"

    def learn(self, images: Tensor, targets: Tensor, step: int) -> float | None:
        """Take optimiser step number `step`, from 1, on the mean loss of a batch, unless it is not finite.

        The batch passes in `grad_accum_steps` equal parts, whose gradients add up to those of the whole; only batch
        statistics are of a part each. A loss that is not finite changes neither weights nor running statistics: with a
        fused optimiser the device itself leaves the step out, so that nobody waits for the loss; with another one the
        loss is read while the device works on the gradients.

        Returns what `settle` returns for the step before.
        """
        before = self.settle()
        self._stepper.zero_grad(set_to_none=True)
        self._statistics_before.copy_(self._statistics)
        total = torch.zeros((), device=self.device)
        parts = self._training.grad_accum_steps
        for part, wanted in zip(images.chunk(parts), targets.chunk(parts), strict=True):
            loss = self.loss(part, wanted) / parts
            total += loss.detach()
            self._read_back.start(total)
            self._fabric.backward(loss)
        self._unsettled = step
        if self._on_device:
            finite = torch.isfinite(total)
            torch.where(finite, self._statistics, self._statistics_before, out=self._statistics)
            skip_where(self.optimizer, ~finite)
            self._step()
        elif math.isfinite(self._read_back.value()):
            self._step()
        else:
            self._statistics.copy_(self._statistics_before)
        return before

    def settle(self) -> float | None:
        """Return the loss of the last step and finish it; None where that is done. Call it before weights are used."""
        if self._unsettled is None:
            return None
        step, self._unsettled = self._unsettled, None
        value = self._read_back.value()
        if not math.isfinite(value):
            return value
        first, self._updated = not self._updated, True
        if self.average is not None:
            updates, rest = divmod(step - 1, self._training.model_ema_steps)
            if first:
                # The first update of all copies the weights: the average holds none of those drawn at the start.
                self.average.update(self.network, step=1)
            elif not rest:
                self.average.update(self.network, step=updates + 1)
        return value

    def _step(self) -> None:
        if clip := self._training.clip_grad:
            self._fabric.clip_gradients(self._module, self._stepper, max_norm=clip, error_if_nonfinite=False)
        self._stepper.step()

    def tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """Return the weights, all other tensors of the state, and the rest of it as plain JSON types."""
        others = random_states(self.device)
        if self.average is not None:
            others |= {AVERAGE_PREFIX + name: value for name, value in self.average.module.state_dict().items()}
        rest = {
            "optimizer": pack(self.optimizer.state_dict(), "optimizer", others),
            "schedule": self.schedule.state_dict(),
            "scaler": self._fabric.strategy.precision.state_dict(),
        }
        return self.network.state_dict(), others, rest

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same configuration; refuse one whose weights or state do not fit."""
        load_weights(self.network, checkpoint.model, checkpoint.path)
        if self.average is not None:
            load_weights(self.average.module, average_weights(checkpoint), checkpoint.path)
        state = checkpoint.state
        try:
            restore_optimizer(self.optimizer, unpack(state["optimizer"], checkpoint.optim))
            self.schedule.load_state_dict(state["schedule"])
            self._fabric.strategy.precision.load_state_dict(state["scaler"])
            restore_random_states(checkpoint.optim, self.device)
            # Steps whose loss was not finite changed nothing.
            self._updated = state["position"]["step"] > state["position"]["bad_losses"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptionError(f"{checkpoint.path} does not hold the state of this optimiser: {error}") from error


def _compiled(module: nn.Module, device: torch.device) -> nn.Module:
    """Compile the passes of a network; a small one is replayed as a whole, as launching its kernels takes the time."""
    small = device.type == "cuda" and sum(each.numel() for each in module.parameters()) < _SMALL_NETWORK
    return torch.compile(module, mode="reduce-overhead" if small else "default", dynamic=False)  # type: ignore[return-value]


class _ReadBack:
    """Reads one number from the device: `start` when it is queued, `value` as late as possible."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._host = torch.zeros((), pin_memory=self._cuda)
        self._copied = torch.cuda.Event(blocking=True) if self._cuda else None

    def start(self, number: Tensor) -> None:
        """Queue the copy of a number; a later call takes the place of an earlier one."""
        self._host.copy_(number, non_blocking=self._cuda)
        if self._copied is not None:
            self._copied.record()

    def value(self) -> float:
        """Wait until the last number has arrived, and for nothing that was queued after it."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host.item()


def check_network(network: nn.Module, config: RunConfig, in_channels: int) -> None:
    """Refuse a network, in training mode, that cannot be trained on the parts and crops of this configuration."""
    training = config.training
    part = training.batch_size // training.grad_accum_steps
    if part == 1 and any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        raise UsageError(
            f"batch_size is {training.batch_size}, and {type(network).__name__} has batch normalisation, which needs "
            "at least 2 images; use --batch-size 2 or more (for each of the --grad-accum-steps), or a network without "
            "it"
        )
    if training.train_crop in (0, training.crop):
        return
    weight = next(network.parameters())
    side = training.train_crop // config.split.stride
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, in_channels, side, side, device=weight.device))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise UsageError(
            f"train_crop is {training.train_crop}, and {config.network.model} takes only images of the size it was "
            f"built for, crop {training.crop}: {str(error).partition(chr(10))[0]}; leave train_crop out, or use a "
            "network that takes any size, such as a ResNet"
        ) from error
    finally:
        network.train()


def gather_statistics(network: nn.Module, device: torch.device) -> Tensor:
    """Lay all floating buffers of a network on a device, float32, in one tensor, which it returns; each becomes a view.

    So they are copied, and taken back where a step is left out, by one call to the device. Each begins where memory
    that was taken for it alone might begin: kernels may ask for such an alignment.
    """
    owners = [
        (module, name, value)
        for module in network.modules()
        for name, value in module.named_buffers(recurse=False)
        if value.is_floating_point()
    ]
    sizes = [-(-value.numel() // _ALIGNED) * _ALIGNED for _, _, value in owners]
    together = torch.zeros(sum(sizes), device=device)
    for (module, name, value), part in zip(owners, together.split(sizes), strict=True):
        module._buffers[name] = part[: value.numel()].view(value.shape).copy_(value)
    return together
