"""A number of the device, read without stopping what is queued behind it."""

import torch
from torch import Tensor


class ReadBack:
    """Reads one number from the device: `start` when it is queued, `value` as late as possible."""

    def __init__(self, device: torch.device) -> None:
        """Take memory that the device copies to by itself, and a mark in its queue."""
        self._cuda = device.type == "cuda"
        self._host = torch.zeros((), pin_memory=self._cuda)
        self._copied = torch.cuda.Event() if self._cuda else None

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
