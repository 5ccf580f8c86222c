"""The memory of this process: how much it may still take, and freed blocks that the next step wants again.

A step of a training on a CPU frees and takes the same large blocks as the step before. By default glibc returns much of
that to the system, which clears every page before it lends it again: 8 to 15 % of the CPU time of a step. Kept, the
process holds on to its peak, and no value depends on it.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt`: from how many free bytes at its end the heap shrinks, and from which size a block is mapped."""
_NEVER = (1 << 31) - 1
# Versions of glibc differ in the largest value that they take.
_LARGEST_BLOCKS = (1 << 30, 32 << 20)
# Where glibc's own rule ends up after it has freed a block of the largest size that it counts.
_USUAL_BLOCK, _USUAL_TRIM = 32 << 20, 64 << 20
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int:
    """Return the bytes that can be taken without swapping, also within the limit of a container (control group v2).

    Where the system does not say what is available, half of its memory.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2]
    if meminfo.exists():
        facts = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines() if ":" in line)
        if "MemAvailable" in facts:
            found = [int(facts["MemAvailable"].split()[0]) * 1024]
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.exists() and used.exists() and (most := limit.read_text(encoding="ascii").strip()) != "max":
        found.append(max(0, int(most) - int(used.read_text(encoding="ascii"))))
    return min(found)


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
