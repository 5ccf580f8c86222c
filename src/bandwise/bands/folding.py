"""Filters that mirror themselves, folded: a quarter of the multiplications, by sums and differences of mirrored pixels.

A row of a separable DCT or Walsh matrix is even or odd when the block is mirrored upside down, and so from left to
right. So it needs only the sums or differences of the four pixels that mirror each other, and a quarter of its entries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class FoldedFilters:
    """Filters over the four kinds of folded pixels of an even stride.

    Attributes:
        weights: (bands, stride**2 / 4), the upper left quarter of each filter, row by row.
        first: int64 (bands,), where the folded pixels of a band begin among all: 0, 1, 2 or 3 quarters of the way.
            The quarters are even-even, even-odd, odd-even and odd-odd, vertical parity first.
    """

    weights: NDArray[np.float32]
    first: NDArray[np.int64]


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
