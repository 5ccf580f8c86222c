"""Keeps memory that is freed now and wanted again at the next step, where glibc would hand it back to the system.

A step of a training on a CPU frees and takes the same large blocks as the step before. By default glibc returns much of
that to the system, which clears every page before it lends it again: 8 to 15 % of the CPU time of a step. Kept, the
process holds on to its peak, and no value depends on it.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt`: from how many free bytes at its end the heap shrinks, and from which size a block is mapped."""
_NEVER = (1 << 31) - 1
# Versions of glibc differ in the largest value that they take.
_LARGEST_BLOCKS = (1 << 30, 32 << 20)
# Where glibc's own rule ends up after it has freed a block of the largest size that it counts.
_USUAL_BLOCK, _USUAL_TRIM = 32 << 20, 64 << 20


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in this process inside; give back what is unused afterwards.

    Do not nest it: the inner end would be the end of both. Without glibc it does nothing.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    any(libc.mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_BLOCKS)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _USUAL_BLOCK)
        libc.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
        libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
