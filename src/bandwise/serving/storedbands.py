"""What a store would hold of some pictures, by the kernel that makes stores where that is possible."""

import torch
from torch import Tensor

from bandwise.bands.module import BandSplit
from bandwise.bands.quantize import BandQuantizer


def stored_bands(split: BandSplit, images: Tensor) -> Tensor:
    """Split a batch.

    Bytes on a CPU go through `BandQuantizer`, which takes a tenth of the time of the convolution that `split` is, and
    gives the same bytes, uint8 with the colours innermost in memory. Everything else, and a graph that is exported,
    goes through `split`.

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
    stored = torch.empty((len(images), bands, *side, channels), dtype=torch.uint8)
    # Made anew for each call: it has buffers of its own, and two threads may use one ensemble.
    quantizer = BandQuantizer(split.transform, split.bands)
    for picture, own in zip(images.permute(0, 2, 3, 1).numpy(), stored.numpy(), strict=True):
        quantizer.split(picture, out=own)
    return stored.permute(0, 1, 4, 2, 3)
