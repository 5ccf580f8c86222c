"""What a store would hold of some pictures, and from there the input of a network, the fast way where there is one."""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from bandwise.bands.module import BandSplit
from bandwise.bands.quantize import BandQuantizer
from bandwise.bands.transform import SubbandTransform

_own = threading.local()


def stored_bands(split: BandSplit, images: Tensor) -> Tensor:
    """Split a batch.

    Bytes on a CPU go through `BandQuantizer`, which takes a tenth of the time of the convolution that `split` is, and
    gives the same bytes, uint8 with the colours innermost in memory and every band in one piece. Everything else, and
    a graph that is exported, goes through `split`.

    Args:
        split: the bands, quantised.
        images: (B, C, H, W), uint8, or floating with whole grey levels 0 to 255.

    Returns:
        (B, bands, C, H / stride, W / stride), uint8 or float32.
    """
    bands, channels = len(split.bands), images.shape[1]
    plain = images.device.type == "cpu" and images.dtype == torch.uint8 and split.storage == "uint8"
    if not plain or torch.compiler.is_compiling():
        return split(images).unflatten(1, (bands, channels))
    stride = split.transform.stride
    side = images.shape[2] // stride, images.shape[3] // stride
    stored = torch.empty((bands, len(images), *side, channels), dtype=torch.uint8)
    quantizer = _quantizer(split.transform, split.bands)
    for picture, own in zip(images, stored.unbind(1), strict=True):
        # One picture at a time: laid out anew it is still in the cache when it is split.
        quantizer.split(picture.permute(1, 2, 0).contiguous().numpy(), out=own.numpy())
    return stored.permute(1, 0, 4, 2, 3)


def standardised(values: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return `values * gain + bias` with the bits of `torch.addcmul`, float32 in channels_last memory.

    Args:
        values: (B, channels, h, w), uint8 or float32.
        gain, bias: float32 (w, channels), the numbers of a channel w times: one row of the picture, which is one run of
            memory. An inner axis of three colours takes three times as long.
    """
    values = values.contiguous(memory_format=torch.channels_last)
    batch, channels, height, width = values.shape
    if values.device.type != "cpu" or values.dtype != torch.uint8:
        return torch.addcmul(bias[0, :, None, None], values, gain[0, :, None, None])
    rows = values.permute(0, 2, 3, 1).reshape(batch, height, width * channels).float()
    torch.addcmul(bias.view(-1), rows, gain.view(-1), out=rows)
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _quantizer(transform: SubbandTransform, bands: Sequence[int]) -> BandQuantizer:
    """Return the quantizer of this thread: it has buffers of its own, and two threads may use one ensemble."""
    key = transform, tuple(bands)
    held: tuple[object, BandQuantizer] | None = getattr(_own, "held", None)
    if held is None or held[0] != key:
        held = _own.held = key, BandQuantizer(transform, bands)
    return held[1]
