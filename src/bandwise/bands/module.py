"""The split as one strided convolution with fixed filters, for use inside a network or an exported graph."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.bands.quantize import FRACTION_BITS, integer_filters, offsets, scales
from bandwise.bands.transform import SubbandTransform, check_bands, check_size

_LOW_BITS = 8


class BandSplit(nn.Module):
    """Turns images into stored band values, on any device.

    Quantised, it gives the bytes of `BandQuantizer`. Each integer filter of 17 bits is kept as two of at most 9, whose
    products with a byte are exact even where the device shortens its factors, as TF32 does; in units of 2^-16 the sums
    are whole numbers up to 2^24, exact in float32.
    """

    filters: Tensor
    weight: Tensor
    added: Tensor

    def __init__(
        self,
        transform: SubbandTransform,
        bands: Sequence[int] | None = None,
        quantized: bool = True,
        storage: Literal["uint8", "float16"] = "uint8",
        channels: int = 3,
    ) -> None:
        """Prepare for some bands, all by default, in the order given.

        Args:
            transform, bands: which bands.
            quantized: whether to round as the store does; otherwise unrounded values with offset, differentiable.
            storage: how the store rounds: to bytes, or, as `BandQuantizer.split_float16`, to half precision.
            channels: colours of the images; for others the weights are laid out anew at every call.

        Raises:
            ValueError: a band does not exist or occurs twice, or there is none.
        """
        super().__init__()
        self.transform, self.bands, self.quantized = transform, check_bands(transform, bands), quantized
        self.storage = storage
        chosen, stride = list(self.bands), transform.stride
        added = offsets(transform)[chosen].astype(np.float32)
        if quantized:
            whole = integer_filters(transform)[chosen]
            # Cut towards zero: both parts have the sign of the whole, so no partial sum is larger than with one.
            high = np.sign(whole) * (np.abs(whole) >> _LOW_BITS << _LOW_BITS)
            filters = np.stack([high, whole - high], axis=1) / 2**FRACTION_BITS
            added = added + np.float32(0.5) if storage == "uint8" else np.zeros_like(added)
        else:
            filters = transform.matrix[chosen] / scales(transform)[chosen, None]
        # Not in the state: they follow from the transform, so weights saved beside them cannot disagree with it.
        shaped = torch.from_numpy(filters.astype(np.float32)).reshape(len(chosen), -1, stride, stride)
        self.register_buffer("filters", shaped, persistent=False)
        self.register_buffer("weight", _over_colours(shaped, channels), persistent=False)
        self.register_buffer("added", torch.from_numpy(added), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Split a batch.

        Args:
            images: (B, C, H, W), uint8, or floating with grey levels 0 to 255 (whole numbers where quantised).

        Returns:
            float32 (B, len(bands) * C, H / stride, W / stride), channel `band * C + colour`, in stored units;
            one band of phases may be the memory of `images`.

        Raises:
            ValueError: not four axes, or H or W is not a multiple of the stride.
        """
        if images.ndim != 4:
            raise ValueError(f"images have the shape {tuple(images.shape)}; (batch, channels, height, width) is needed")
        check_size(images.shape[2], images.shape[3], self.transform.stride)
        kind = images.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._values(images)
        return self._values(images)

    def _values(self, images: Tensor) -> Tensor:
        stride, channels = self.transform.stride, images.shape[1]
        planes = images.to(torch.float32)
        if self.transform.only_phases:
            phases = [planes[:, :, band // stride :: stride, band % stride :: stride] for band in self.bands]
            return phases[0] if len(phases) == 1 else torch.cat(phases, dim=1)
        parts = self.filters.shape[1]
        fits = self.weight.shape[1] == parts * channels
        weight = self.weight if fits else _over_colours(self.filters, channels)
        # `repeat` copies even where it repeats nothing.
        planes = planes if parts == 1 else planes.repeat(1, parts, 1, 1)
        values = nn.functional.conv2d(planes, weight, self.added.repeat_interleave(channels), stride=stride)
        if not self.quantized:
            return values
        return values.half().float() if self.storage == "float16" else values.floor_().clamp_(0, 255)


def _over_colours(filters: Tensor, channels: int) -> Tensor:
    """Lay out filters (bands, parts, stride, stride) for all colours, with zeros between them.

    The result is (bands * channels, parts * channels, stride, stride). On a CPU that is faster than one plane at a
    time, and the values come out in order.
    """
    bands, parts, stride, _ = filters.shape
    apart = torch.eye(channels, device=filters.device).reshape(1, channels, 1, channels, 1, 1)
    return (filters.reshape(bands, 1, parts, 1, stride, stride) * apart).flatten(0, 1).flatten(1, 2)
