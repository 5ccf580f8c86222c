"""The parts of one branch that change while it learns: network, optimiser, schedule, moving average, random numbers."""

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from bandwise.checkpoints.branch import build_network
from bandwise.checkpoints.folder import AVERAGE_PREFIX, Checkpoint, average_weights
from bandwise.checkpoints.tensors import load_weights, pack, unpack
from bandwise.config import RunConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.training.determinism import random_states, restore_random_states
from bandwise.training.optim import Schedule, create_optimizer
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
    ) -> None:
        """Build everything from the seeds of the branch.

        Raises:
            UsageError: the configuration names a network, optimiser or precision that cannot be used.
        """
        training = config.training
        if training.precision == "16-mixed" and device.type == "cpu":
            raise UsageError("precision is '16-mixed', which needs CUDA; on a CPU use 32-true or bf16-mixed")
        torch.manual_seed(seed_for(training.seed, branch, "init"))
        self.network = build_network(config, num_classes=num_classes, bands=bands, channels=channels).to(device)
        self.optimizer = create_optimizer(self.network, training)
        self.schedule = Schedule(self.optimizer, training, steps_per_epoch)
        # A short training would hardly move a plain average away from the initial weights, hence timm's warm-up of it.
        self.average = (
            ModelEmaV3(self.network, decay=training.model_ema_decay, use_warmup=True) if training.model_ema else None
        )
        self.device = device
        self._clip = training.clip_grad
        self._smoothing = training.smoothing
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
        """Return the mean cross-entropy of a batch in nats.

        Args:
            images: float32 (B, len(bands) * C, h, w), standardised.
            targets: int64 (B,) labels, which are smoothed here, or float (B, K) distributions, which are not.
        """
        smoothing = 0.0 if targets.is_floating_point() else self._smoothing
        return functional.cross_entropy(self._module(images), targets, label_smoothing=smoothing)

    def update(self, loss: Tensor, step: int) -> None:
        """Take the optimiser step of `loss`; `step` counts from 1."""
        self._stepper.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        if self._clip:
            self._fabric.clip_gradients(self._module, self._stepper, max_norm=self._clip, error_if_nonfinite=False)
        self._stepper.step()
        if self.average is not None:
            self.average.update(self.network, step=step)

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
            self.optimizer.load_state_dict(unpack(checkpoint.state["optimizer"], checkpoint.optim))
            self.schedule.load_state_dict(checkpoint.state["schedule"])
            self._fabric.strategy.precision.load_state_dict(checkpoint.state["scaler"])
            restore_random_states(checkpoint.optim, self.device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptionError(f"{checkpoint.path} does not hold the state of this optimiser: {error}") from error
