"""From the memory of this process to a device, without waiting for it."""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Move values without waiting for what the device still has to do.

    A copy from ordinary memory would wait until everything queued before it is done; one from pinned memory is queued.
    The memory is used again only after the copy.
    """
    if device.type != "cuda" or values.is_cuda:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
