"""`python -m benchmarks transform`: one thread, 64 photographs, bytes in and bytes out."""

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bandwise.bands.kernels import compiled_kernels
from bandwise.bands.module import BandSplit
from bandwise.bands.quantize import BandQuantizer
from bandwise.bands.transform import SubbandTransform, split_phases
from benchmarks.accelerator import transform_figures
from benchmarks.figures import Figure, Options, Reach
from benchmarks.measuring import compare, race
from benchmarks.pictures import canvases, photographs

SIZES = ((2, 224), (2, 256), (4, 224), (4, 256), (6, 336), (6, 384))
_PORTABLE, _FAST = Reach(">=", 10.0), Reach(">=", 25.0)
_NOTE = (
    "ours: picture by picture. fft form: the whole batch at once, as the paper's tensor code; by image: one at a time"
)


def measure(options: Options) -> list[Figure]:
    """Measure every size of the table, then the float form on an accelerator."""
    count = options.amount(64, 2)
    pictures = photographs(options.data, count)
    figures: list[Figure] = []
    for stride, side in SIZES if not options.smallest else SIZES[:1]:
        figures += _one_size(canvases(pictures, side), stride, side, options)
    return figures + transform_figures(SIZES, count)


def _one_size(images: list[np.ndarray], stride: int, side: int, options: Options) -> list[Figure]:
    transform = SubbandTransform(stride, "dct2d")
    batch = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    contestants: dict[str, Callable[[], object]] = {
        "portable": _kernel(BandQuantizer(transform, portable=True), images),
        "fft form": lambda: fft_form(batch, stride),
        "fft form by image": lambda: [fft_form(one[None], stride) for one in batch],
        "scipy.fft": _scipy(images, stride),
        "convolution": _convolution(transform, batch),
        "copy": _copy(images),
    }
    ours = ["portable"]
    if compiled_kernels() is not None:
        contestants["fast"] = _kernel(BandQuantizer(transform), images)
        ours.append("fast")
    found = race(contestants, rounds=options.rounds(7))
    peers = tuple(name for name in contestants if name not in ("portable", "fast"))
    figures = [
        compare(
            found,
            f"transform/s{stride}-{side}/{name}",
            unit="ms a picture",
            factor=1e3 / len(images),
            ours=name,
            over="fft form",
            under=name,
            peers=peers,
            reach=_FAST if name == "fast" else _PORTABLE,
            ratio_of="fft form / ours",
            note=_NOTE,
        )
        for name in ours
    ]
    if "fast" not in ours:
        figures.append(Figure(f"transform/s{stride}-{side}/fast", "ms a picture", reach=_FAST, note="no numba here"))
    return figures


def _kernel(quantizer: BandQuantizer, images: list[np.ndarray]) -> Callable[[], object]:
    out = quantizer.split(images[0])
    return lambda: [quantizer.split(image, out=out) for image in images]


def _convolution(transform: SubbandTransform, batch: Tensor) -> Callable[[], object]:
    module = BandSplit(transform)
    with torch.no_grad():
        module(batch[:1])

    def run() -> None:
        with torch.no_grad():
            for one in batch:
                module(one[None]).to(torch.uint8)

    return run


def _scipy(images: list[np.ndarray], stride: int) -> Callable[[], object]:
    if importlib.util.find_spec("scipy") is None:
        return lambda: None
    import scipy.fft

    def one(image: np.ndarray) -> Any:
        phases = split_phases(image.transpose(2, 0, 1).astype(np.float32), stride)
        blocks = phases.reshape(stride, stride, *phases.shape[1:])
        values: Any = scipy.fft.dctn(blocks, axes=(0, 1), norm="ortho")
        return np.rint(values / stride + 128).clip(0, 255).astype(np.uint8)

    return lambda: [one(image) for image in images]


def _copy(images: list[np.ndarray]) -> Callable[[], object]:
    warm = np.empty_like(images[0])
    return lambda: [np.copyto(warm, image) for image in images]


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
