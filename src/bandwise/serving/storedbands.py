"""What a store would hold of some pictures, the fast way where there is one."""

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


def _quantizer(transform: SubbandTransform, bands: Sequence[int]) -> BandQuantizer:
    """Return the quantizer of this thread: it has buffers of its own, and two threads may use one ensemble."""
    key = transform, tuple(bands)
    held: tuple[object, BandQuantizer] | None = getattr(_own, "held", None)
    if held is None or held[0] != key:
        held = _own.held = key, BandQuantizer(transform, bands)
    return held[1]
