"""Long columns, a piece at a time: what numpy makes on the way (indices of 8 bytes, masks) stays small."""

from collections.abc import Iterator

import numpy as np

PIECE = 1 << 18
"""Rows that are worked on together. An Arrow array of type `binary` holds 2 GiB: so many of the longest names fit."""

MOST = 1 << 31
"""Rows that a list can have: a position is 4 bytes."""


def pieces(count: int, size: int = PIECE) -> Iterator[slice]:
    """Yield slices that cover `count` rows, each of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def where(mask: np.ndarray) -> np.ndarray:
    """Return the positions, int32, at which a mask of fewer than 2^31 is true."""
    assert len(mask) < MOST, len(mask)
    found = np.empty(int(np.count_nonzero(mask)), np.int32)
    filled = 0
    for here in pieces(len(mask)):
        some = np.flatnonzero(mask[here])
        found[filled : filled + len(some)] = some + here.start
        filled += len(some)
    return found


def gather(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return `values[positions]` for positions of any integer type."""
    found = np.empty(len(positions), values.dtype)
    for here in pieces(len(positions)):
        found[here] = values[positions[here]]
    return found


def counts_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class occurs, int64 `(classes,)`."""
    counts = np.zeros(classes, np.int64)
    for here in pieces(len(labels)):
        counts += np.bincount(labels[here], minlength=classes)
    return counts


def narrowed(numbers: np.ndarray) -> np.ndarray:
    """Return integers as int32 where all of them fit, else as int64."""
    fit = not len(numbers) or (numbers.max() < MOST and numbers.min() >= -MOST)
    return numbers.astype(np.int32 if fit else np.int64, copy=False)
