"""From stored values to the input of a network: mean 0 and standard deviation 1 in every band and colour channel."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.bands.quantize import ZERO_LEVEL, offsets
from bandwise.bands.transform import SubbandTransform

_CPU = torch.device("cpu")


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Move values without waiting for what the device still has to do.

    A copy from ordinary memory would wait until everything queued before it is done; one from pinned memory is queued.
    The memory is used again only after the copy.
    """
    if device.type != "cuda" or values.is_cuda:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def standardise(values: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Return `values * gain + bias`, for training, evaluation and serving alike: equal inputs have equal bits.

    Two operations, each rounded: one fused operation would have other last bits, and only where there is one.

    Values are (B, h, w, channels) of any type, best with the channels innermost in memory. Gain and bias have the type
    of the result, (1 or B, 1, w * channels), the numbers of a channel w times: one row of the picture is one run of
    memory, and short inner axes would cost several times as much. The result is (B, channels, h, w), channels_last.
    """
    batch, height, width, channels = values.shape
    rows = values.reshape(batch, height, width * channels).to(gain.dtype, copy=True)
    return rows.mul_(gain).add_(bias).view(batch, height, width, channels).permute(0, 3, 1, 2)


class BandStandardiser:
    """The bands of one branch as they are stored, and what standardises them.

    A flip acts on coefficients. Stored bytes of a band without a mean are coefficients plus 128, so the sign acts on
    `stored - 128`; together with the standardisation that is one multiplication and one addition a value.
    """

    def __init__(
        self,
        transform: SubbandTransform,
        bands: Sequence[int],
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
    ) -> None:
        """Prepare for the bands of a branch, in the order of its channels.

        `mean` and `std`, (nb, C), are those of the stored values; a band with a deviation of 0 is only centred.
        """
        assert mean.shape == std.shape == (len(bands), mean.shape[1]), (mean.shape, std.shape, len(bands))
        self.transform, self.bands, self.channels = transform, tuple(bands), len(bands) * mean.shape[1]
        self._mean = mean
        self._factor = 1 / np.where(std > 0, std, 1.0)
        self._byte_offsets = offsets(transform)[list(bands)].astype(np.float64)
        self._has_mean = np.array([transform.has_mean(band) for band in bands])

    def offsets(self, dtype: torch.dtype) -> NDArray[np.float64]:
        """Return which stored value of a type is a coefficient of 0, float64 (nb,): 0 unless uint8."""
        return self._byte_offsets if dtype == torch.uint8 else np.zeros_like(self._byte_offsets)

    def grey(self, dtype: torch.dtype) -> NDArray[np.float64]:
        """Return the standardised values of a picture of uniform grey level 128, float64 (nb * C,).

        Its bytes are 128 in every band of every transform, so it is the same colour for every branch.
        """
        stored = self.offsets(dtype) + np.where(self._has_mean, ZERO_LEVEL, 0)
        return ((stored[:, None] - self._mean) * self._factor).ravel()

    def gain_and_bias(
        self, dtype: torch.dtype, signs: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what standardises a value of a stored type as `value * gain + bias`, float64 (B, nb * C) each.

        `signs`, float64 (B, nb), is -1 where a flip turns the sign of a band; by default one sample without.
        """
        signs = np.ones((1, len(self.bands))) if signs is None else signs
        offset = self.offsets(dtype)[:, None]
        gain = signs[:, :, None] * self._factor
        bias = (offset - self._mean) * self._factor - gain * offset
        return gain.reshape(len(signs), -1), bias.reshape(len(signs), -1)

    def rows(
        self,
        dtype: torch.dtype,
        width: int,
        signs: NDArray[np.float64] | None = None,
        *,
        kind: torch.dtype = torch.float32,
        device: torch.device = _CPU,
    ) -> tuple[Tensor, Tensor]:
        """Return gain and bias as `standardise` takes them, of the type `kind`; the others as in `gain_and_bias`."""
        gain, bias = (
            to_device(torch.from_numpy(each[:, None]).to(kind), device).repeat(1, 1, width)
            for each in self.gain_and_bias(dtype, signs)
        )
        return gain, bias
