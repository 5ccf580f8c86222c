"""What a process may use of this machine: cores, memory, and memory that it freed and takes again."""

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

CORES = "BANDWISE_CORES"
"""Name in the environment of how many cores a process is to use that shares a machine with others of its kind."""

_PROC, _CGROUP, _DEV = Path("/proc"), Path("/sys/fs/cgroup"), Path("/dev")
# Limit, use, and the part of the use that the system gives back by itself, of control groups of version 2 and 1.
_FILES_V2 = ("memory.max", "memory.current", "inactive_file")
_FILES_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def usable_cores() -> int:
    """Return the cores that this process may use: fewer than the machine has where its affinity is set."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def own_cores() -> int:
    """Return the cores of this process: those that an engine of ours or SLURM gave it, else all that are usable."""
    given = os.environ.get(CORES) or os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(given) if given.isdecimal() else usable_cores()


def available_bytes(proc: Path = _PROC, cgroup: Path = _CGROUP) -> int:
    """Return the bytes that can be taken without swapping, within the limits of all control groups of this process.

    Where the system does not say what is available, half of its memory.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2]
    facts = _numbers(proc / "meminfo")
    if "MemAvailable:" in facts:
        found = [facts["MemAvailable:"] * 1024]
    return min(found + _left_in_control_groups(proc / "self" / "cgroup", cgroup))


def _left_in_control_groups(memberships: Path, cgroup: Path) -> list[int]:
    """Return what is left in each control group of this process that has a limit, its own and those around it."""
    left = []
    for line in memberships.read_text().splitlines() if memberships.exists() else ["0::/"]:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (cgroup / "memory", _FILES_V1) if controllers else (cgroup, _FILES_V2)
        own = root / path.strip("/")
        for folder in (own, *own.parents):
            limit, used = folder / names[0], folder / names[1]
            # The root of a machine has neither; a container may show its own groups at the root, under another path.
            if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
                given_back = _numbers(folder / "memory.stat").get(names[2], 0)
                left.append(max(0, int(most) - int(used.read_text()) + given_back))
            if folder == root:
                break
    return left


def _numbers(path: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) > 1}


def has_nvidia_device(proc: Path = _PROC, dev: Path = _DEV) -> bool:
    """Return whether the system knows an NVIDIA device, whatever torch can do with it."""
    return (proc / "driver" / "nvidia").exists() or any(dev.glob("nvidia[0-9]*"))


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in this process inside; give back what is unused afterwards.

    A step of a training on a CPU frees and takes the same large blocks as the step before. By default glibc returns
    much of that to the system, which clears every page before its next use: 8 to 15 % of the CPU time of a step.
    Kept, the process holds on to its peak, and no value depends on it. Do not nest it: the inner end would be the end
    of both. Without glibc it does nothing.
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
