"""The parts of one branch that change while it learns: network, optimiser, schedule, moving average, random numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from bandwise.checkpoints.branch import build_network
from bandwise.checkpoints.folder import AVERAGE_PREFIX, Checkpoint, average_weights
from bandwise.checkpoints.tensors import load_weights, pack, unpack
from bandwise.config import RunConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.training.determinism import random_states, restore_random_states
from bandwise.training.optim import Schedule, as_parameters, create_optimizer
from bandwise.training.readback import ReadBack
from bandwise.training.seeds import seed_for


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
    ) -> None:
        """Build everything from the seeds of the branch; `load` puts other weights to start from into the network.

        Raises:
            UsageError: the configuration names a network, optimiser or precision that cannot be used.
            IncompatibleError, CorruptionError: as `load`.
        """
        training = config.training
        if training.precision == "16-mixed" and device.type == "cpu":
            raise UsageError("precision is '16-mixed', which needs CUDA; on a CPU use 32-true or bf16-mixed")
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
        self._clip = training.clip_grad
        self._smoothing = training.smoothing
        self._binary = (
            BinaryCrossEntropy(training.smoothing, target_threshold=training.bce_target_thresh or None)
            if training.bce_loss
            else None
        )
        self._parts, self._average_steps = training.grad_accum_steps, training.model_ema_steps
        self._statistics = [value for value in self.network.buffers() if value.is_floating_point()]
        self._statistics_before = [value.clone() for value in self._statistics]
        self._read_back = ReadBack(device)
        # Named outright: Fabric would otherwise join a process group that SLURM or torchrun seems to offer.
        accelerator = "cuda" if device.type == "cuda" else "cpu"
        devices = [device.index] if device.type == "cuda" else 1
        self._fabric = Fabric(
            accelerator=accelerator, devices=devices, precision=training.precision, plugins=[LightningEnvironment()]
        )
        self._module, self._stepper = self._fabric.setup(self.network, self.optimizer)
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
        `BinaryCrossEntropy` without `sum_classes`), to 0 or 1 where `bce_target_thresh` is given.

        Args:
            images: float32 (B, len(bands) * C, h, w), standardised.
            targets: int64 (B,) labels, which are smoothed here, or float (B, K) distributions, which are not.
        """
        if self._binary is not None:
            return self._binary(self._module(images), targets)
        smoothing = 0.0 if targets.is_floating_point() else self._smoothing
        return functional.cross_entropy(self._module(images), targets, label_smoothing=smoothing)

    def learn(self, images: Tensor, targets: Tensor, step: int) -> float:
        """Take one optimiser step on the mean loss of a batch, unless that loss is not finite.

        The batch passes in `grad_accum_steps` equal parts, whose gradients add up to those of the whole; only batch
        statistics are of a part each. A loss that is not finite changes neither weights nor running statistics.

        On CUDA the loss is read while the device works on the gradients, so the only wait is for the forward pass, and
        the device never idles: whether to step is known exactly, whatever the optimiser.

        Args:
            images: as in `loss`; B is a multiple of `grad_accum_steps`.
            targets: as in `loss`.
            step: number of this step, from 1.

        Returns:
            The loss.
        """
        self._stepper.zero_grad(set_to_none=True)
        copy_all(self._statistics, self._statistics_before)
        total = torch.zeros((), device=self.device)
        for part, wanted in zip(images.chunk(self._parts), targets.chunk(self._parts), strict=True):
            loss = self.loss(part, wanted) / self._parts
            total += loss.detach()
            self._read_back.start(total)
            self._fabric.backward(loss)
        value = self._read_back.value()
        if math.isfinite(value):
            self._update(step)
        else:
            copy_all(self._statistics_before, self._statistics)
        return value

    def _update(self, step: int) -> None:
        if self._clip:
            self._fabric.clip_gradients(self._module, self._stepper, max_norm=self._clip, error_if_nonfinite=False)
        self._stepper.step()
        updates, rest = divmod(step - 1, self._average_steps)
        if self.average is not None and not rest:
            self.average.update(self.network, step=updates + 1)

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
        """Continue from a checkpoint of the same configuration.

        Raises:
            IncompatibleError: the weights do not fit the network.
            CorruptionError: the optimiser state does not fit the optimiser.
        """
        load_weights(self.network, checkpoint.model, checkpoint.path)
        if self.average is not None:
            load_weights(self.average.module, average_weights(checkpoint), checkpoint.path)
        try:
            kinds = [group.get("fused") for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(unpack(checkpoint.state["optimizer"], checkpoint.optim))
            as_parameters(self.optimizer, kinds)
            self.schedule.load_state_dict(checkpoint.state["schedule"])
            self._fabric.strategy.precision.load_state_dict(checkpoint.state["scaler"])
            restore_random_states(checkpoint.optim, self.device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptionError(f"{checkpoint.path} does not hold the state of this optimiser: {error}") from error


def copy_all(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    """Copy tensors into others, with few calls to the device."""
    if source:
        torch._foreach_copy_(list(target), list(source))  # pyright: ignore[reportPrivateImportUsage]
