"""Where a branch stands: the counters and sums from which an interrupted training continues exactly."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Position:
    """The state after an optimiser step; the order of the data follows from `epoch` and `batches` alone."""

    step: int = 0
    """Optimiser steps done."""
    epoch: int = 0
    """Epochs finished, evaluation included."""
    batches: int = 0
    """Batches trained in the running epoch."""
    lr: float = 0.0
    """Learning rate of the last step."""
    loss_sum: float = 0.0
    """Sum of the loss over the images of the running epoch, in nats."""
    loss_images: int = 0
    """Images in that sum."""
    bad_losses: int = 0
    """Losses that were not finite since the last finite one."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The rows of metrics.jsonl, one for each finished epoch."""

    def count_loss(self, loss: float, images: int) -> None:
        """Add the finite mean loss of a batch."""
        self.loss_sum += loss * images
        self.loss_images += images
        self.bad_losses = 0

    def mean_loss(self) -> float | None:
        """Return the mean loss of the running epoch; None if no loss of it was finite."""
        return self.loss_sum / self.loss_images if self.loss_images else None

    def finish_epoch(self, row: dict[str, Any]) -> None:
        """Append the row of the epoch and start the next one."""
        self.history.append(row)
        self.epoch += 1
        self.batches = 0
        self.loss_sum, self.loss_images = 0.0, 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; JSON keeps every bit of a float."""
        return asdict(self)
