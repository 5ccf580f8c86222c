"""Which code runs: the portable one, or the compiled one where numba is installed; the bytes are equal.

The compiled split folds its filters: a row of a separable DCT or Walsh matrix is even or odd when the block is mirrored
upside down, and so from left to right. So it needs only the sums or differences of the four pixels that mirror each
other, and a quarter of its entries.
"""

import importlib
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray


def compiled_kernels(portable: bool = False) -> ModuleType | None:
    """Return the module `compiled`, or None where it cannot be used, or `portable` asks for the other code."""
    return None if portable else _load()


def flat_memory(bands: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Return the memory of bands (nb, h, w, C) as one line of bytes, and where in it each band begins, int64 (nb,).

    None where a band does not lie in one piece, the bands not one after another, or where the memory is read-only.
    """
    size = bands[0].size
    step = bands.strides[0] if len(bands) > 1 else size
    if not bands[0].flags.c_contiguous or step < size or not bands.flags.writeable:
        return None
    if bands.flags.c_contiguous:
        return bands.reshape(-1), np.arange(0, bands.size, size)
    line = as_strided(bands, ((len(bands) - 1) * step + size,), (1,))
    return line, np.arange(0, len(bands) * step, step)


@dataclass(frozen=True, slots=True, eq=False)
class FoldedFilters:
    """Filters over the four kinds of folded pixels of an even stride."""

    weights: NDArray[np.float32]
    """(bands, stride**2 / 4), the upper left quarter of each filter, row by row."""
    first: NDArray[np.int64]
    """(bands,), where the folded pixels of a band begin among all: 0, 1, 2 or 3 quarters of the way.

    The quarters are even-even, even-odd, odd-even and odd-odd, vertical parity first.
    """


def fold(filters: NDArray[np.float32], stride: int) -> FoldedFilters | None:
    """Fold filters (bands, stride**2); None where one of them has no such symmetry or the stride is odd."""
    if stride % 2:
        return None
    half = stride // 2
    weights, first = [], []
    for block in filters.reshape(-1, stride, stride):
        parities = [_parity(block, block[::-1]), _parity(block, block[:, ::-1])]
        if None in parities:
            return None
        weights.append(block[:half, :half].ravel())
        first.append(sum(place for place, parity in zip((2, 1), parities, strict=True) if parity == -1) * half * half)
    return FoldedFilters(np.array(weights, np.float32), np.array(first, np.int64))


def _parity(block: NDArray[np.float32], mirrored: NDArray[np.float32]) -> int | None:
    if np.array_equal(block, mirrored):
        return 1
    return -1 if np.array_equal(block, -mirrored) else None


@cache
def _load() -> ModuleType | None:
    try:
        return importlib.import_module("bandwise.bands.compiled")
    except (ImportError, RuntimeError):
        # ImportError also where this numba refuses this numpy; RuntimeError where there is no folder for its cache.
        return None
