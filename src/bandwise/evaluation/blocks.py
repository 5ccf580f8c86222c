"""Logits of more images than memory holds: read, fused and scored some at a time, with the bits of all at once.

Whoever takes `Logits` slices them along the images, `logits[:, rows]`: that of an array in memory is a view of it, that
of logits in files reads them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandwise.runs.logits import LogitsFile

FloatArray = NDArray[np.float64]

BLOCK_VALUES = 1 << 21
"""Values that are worked on at a time, 16 MiB in float64."""

HELD_VALUES = 1 << 24
"""At most so many values, 128 MiB in float64, are kept in memory rather than read or computed again in every pass."""

_ROWS = 16
# BLAS rounds the last few values of a product otherwise than the others. In pieces that begin at a multiple of this
# many images, and are no shorter, every value comes out as in one product over all images.


class Logits(Protocol):
    """Logits of n classifiers for the same N images and K classes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, N, K)."""
        ...

    def __getitem__(self, key: tuple[slice, slice], /) -> FloatArray:
        """Return `[:, rows]`, float64 (n, rows, K)."""
        ...


def blocks(logits: Logits, start: int = 0, stop: int | None = None) -> Iterator[slice]:
    """Cut the images into blocks of about `BLOCK_VALUES` logits; `start` must be a multiple of 16."""
    count, samples, classes = logits.shape
    stop = samples if stop is None else stop
    step = max(_ROWS, BLOCK_VALUES // (count * classes) // _ROWS * _ROWS)
    while start < stop:
        end = start + step if stop - start - step >= _ROWS else stop
        yield slice(start, end)
        start = end


class StoredLogits:
    """The logits of several files of the same images."""

    def __init__(self, files: Sequence[LogitsFile]) -> None:
        """Take files whose logits have one shape."""
        self._files = files
        self.shape = (len(files), *files[0].logits.shape)

    def __getitem__(self, key: tuple[slice, slice]) -> FloatArray:
        found = np.empty((self.shape[0], len(range(*key[1].indices(self.shape[1]))), self.shape[2]))
        for own, file in zip(found, self._files, strict=True):
            file.read(key[1], own)
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        return self[:, :].astype(dtype or np.float64, copy=False)


class Fused:
    """What a fusion makes of the logits of some classifiers, as those of one: (1, N, K)."""

    def __init__(self, logits: Logits, fuse: Callable[[FloatArray], FloatArray]) -> None:
        """Take what turns (n, rows, K) into (rows, K), each row by itself."""
        self._logits, self._fuse = logits, fuse
        self.shape = (1, *logits.shape[1:])

    def __getitem__(self, key: tuple[slice, slice]) -> FloatArray:
        samples = self.shape[1]
        start, stop, _ = key[1].indices(samples)
        # Rows around them too, so that the pieces are as `blocks` cuts them.
        first = min(start, max(0, samples - _ROWS)) // _ROWS * _ROWS
        end = -(-stop // _ROWS) * _ROWS
        end = end if samples - end >= _ROWS else samples
        parts = [self._fuse(self._logits[:, rows]) for rows in blocks(self._logits, first, end)]
        return np.concatenate(parts)[None, start - first : stop - first]


def hold(logits: Logits) -> Logits:
    """Return the logits in memory if they are at most `HELD_VALUES`, else as they are."""
    if isinstance(logits, np.ndarray) or np.prod(logits.shape, dtype=np.int64) > HELD_VALUES:
        return logits
    held = np.empty(logits.shape)
    for rows in blocks(logits):
        held[:, rows] = logits[:, rows]
    return held
