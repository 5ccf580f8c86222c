"""The transform in the form in which the paper describes it: a fast Fourier transform across the stacked phases."""

import math

import torch
from torch import Tensor


def fft_form(images: Tensor, stride: int) -> Tensor:
    """Split images by a DCT-II over the phases in row-major order, computed through an FFT of the same length.

    Makhoul, "A fast cosine transform in one and two dimensions" (1980): even samples, then odd ones backwards, FFT, and
    a rotation of every frequency.

    Args:
        images: uint8 (B, C, H, W).
        stride: n = stride**2 phases.

    Returns:
        uint8 (n, B, C, H / stride, W / stride): `dct1d` coefficients over the stride, with 128 added but to band 0.
    """
    count = stride * stride
    phases = torch.stack([images[..., r::stride, c::stride] for r in range(stride) for c in range(stride)], dim=-1)
    reordered = torch.cat([phases[..., ::2], phases[..., 1::2].flip(-1)], dim=-1)
    spectrum = torch.fft.fft(reordered.float(), dim=-1)
    turn = torch.arange(count) * (-math.pi / (2 * count))
    values = spectrum.real * turn.cos() - spectrum.imag * turn.sin()
    scale = torch.full((count,), math.sqrt(2 / count) / stride)
    scale[0] = math.sqrt(1 / count) / stride
    offset = torch.full((count,), 128.0)
    offset[0] = 0
    stored = (values * scale + offset).round_().clamp_(0, 255).to(torch.uint8)
    return stored.movedim(-1, 0).contiguous()
