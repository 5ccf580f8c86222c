"""The split as one strided convolution with fixed filters, for use inside a network or an exported graph."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.bands.quantize import FRACTION_BITS, check_bands, integer_filters, offsets, scales
from bandwise.bands.transform import SubbandTransform, check_size

_LOW_BITS = 8


class BandSplit(nn.Module):
    """Turns images into stored band values, on any device.

    Quantised, it gives the bytes of `BandQuantizer`. Each integer filter of 17 bits is kept as two of at most 9, whose
    products with a byte are exact even where the device shortens its factors (TF32 on a GPU, half precision in an
    exported graph); the sums stay below 2^24 and are exact in float32.
    """

    filters: Tensor
    added: Tensor

    def __init__(
        self,
        transform: SubbandTransform,
        bands: Sequence[int] | None = None,
        quantized: bool = True,
        storage: Literal["uint8", "float16"] = "uint8",
    ) -> None:
        """Prepare for some bands, all by default, in the order given.

        Args:
            transform: which bands there are.
            bands: which of them.
            quantized: whether to round as the store does; otherwise unrounded values with offset, differentiable.
            storage: how the store rounds: to bytes, or, as `BandQuantizer.split_float16`, to half precision.

        Raises:
            ValueError: a band does not exist or stands twice, or there is none.
        """
        super().__init__()
        self.transform, self.bands, self.quantized = transform, check_bands(transform, bands), quantized
        self.storage = storage
        chosen, stride = list(self.bands), transform.stride
        added = offsets(transform)[chosen].astype(np.float32)
        if quantized:
            whole = integer_filters(transform)[chosen]
            high = (whole + (1 << (_LOW_BITS - 1))) >> _LOW_BITS
            filters = np.concatenate([high, whole - (high << _LOW_BITS)])
            added = (added + np.float32(0.5)) * 2**FRACTION_BITS
        else:
            filters = transform.matrix[chosen] / scales(transform)[chosen, None]
        # Not in the state: they follow from the transform, so weights saved beside them cannot disagree with it.
        shaped = torch.from_numpy(filters.astype(np.float32)).reshape(-1, 1, stride, stride)
        self.register_buffer("filters", shaped, persistent=False)
        self.register_buffer("added", torch.from_numpy(added).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Split a batch.

        Args:
            images: (B, C, H, W), uint8, or floating with grey levels 0 to 255 (whole numbers where quantised).

        Returns:
            float32 (B, len(bands) * C, H / stride, W / stride), channel `band * C + colour`, in stored units.

        Raises:
            ValueError: not four axes, or H or W is not a multiple of the stride.
        """
        if images.ndim != 4:
            raise ValueError(f"images have the shape {tuple(images.shape)}; (batch, channels, height, width) is needed")
        stride = self.transform.stride
        batch, channels, height, width = images.shape
        check_size(height, width, stride)
        kind = images.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                values = self._values(images)
        else:
            values = self._values(images)
        values = values.reshape(batch, channels, len(self.bands), height // stride, width // stride).transpose(1, 2)
        return values.reshape(batch, len(self.bands) * channels, height // stride, width // stride)

    def _values(self, images: Tensor) -> Tensor:
        planes = images.to(torch.float32).reshape(-1, 1, *images.shape[2:])
        sums = nn.functional.conv2d(planes, self.filters, stride=self.transform.stride)
        if not self.quantized:
            return sums + self.added
        high, low = sums[:, : len(self.bands)], sums[:, len(self.bands) :]
        whole = high * 2**_LOW_BITS + low
        if self.storage == "float16":
            return (whole * 2.0**-FRACTION_BITS).half().float()
        return torch.floor((whole + self.added) * 2.0**-FRACTION_BITS).clamp(0, 255)
