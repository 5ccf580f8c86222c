"""What the machine lends: cores, memory within the limits of control groups, and freed memory that is kept."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bandwise import machine
from bandwise.machine import available_bytes, has_nvidia_device, keep_freed_memory, usable_cores

# Blocks above 32 MiB: outside, glibc maps each of them anew whatever was freed before.
PROGRAM = """
import ctypes, json, resource
from bandwise.machine import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def faults(times):
    size, before = 48 << 20, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

found = {"before": faults(4)}
with keep_freed_memory():
    faults(1)
    found["inside"], found["held_inside"] = faults(4), held()
found["held_after"], found["after"] = held(), faults(4)
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_pages_are_cleared_once_inside_and_every_time_outside():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    # With huge pages a block is 24 of them, without 12,288.
    assert min(found["before"], found["after"]) >= 4 * 24
    assert found["inside"] < found["before"] / 4
    assert found["held_inside"] - found["held_after"] > 40 << 20


def test_without_glibc_it_does_nothing(monkeypatch):
    monkeypatch.setattr(machine, "_glibc", lambda: None)
    with keep_freed_memory():
        pass


def test_an_error_inside_ends_it(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, number, value):
            calls.append((number, value))
            return 0 if value == 1 << 30 else 1

        def malloc_trim(self, pad):
            calls.append(("trim", pad))

    monkeypatch.setattr(machine, "_glibc", Library)
    with pytest.raises(KeyError), keep_freed_memory():
        raise KeyError
    # A size that this glibc refuses is followed by one that all take.
    assert calls == [(-1, 2**31 - 1), (-3, 1 << 30), (-3, 32 << 20), (-3, 32 << 20), (-1, 64 << 20), ("trim", 0)]


def test_cores_are_counted_also_where_a_system_has_no_affinity(monkeypatch):
    assert usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()


def group(folder: Path, limit: str, used: int, cache: int | None = None, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    if cache is not None:
        name = "inactive_file" if version == 2 else "total_inactive_file"
        (folder / "memory.stat").write_text(f"anon 5\n{name} {cache}\n")


@pytest.fixture(name="proc")
def proc_(tmp_path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       1000 kB\nMemAvailable:    600 kB\n")
    return tmp_path / "proc"


@pytest.mark.parametrize(("limit", "expected"), [("max", 600 * 1024), ("300000", 200_000), ("90000", 0)])
def test_available_memory_heeds_the_limit_of_a_container(tmp_path, proc, limit, expected):
    group(tmp_path / "cgroup", limit, 100_000)
    assert available_bytes(proc, tmp_path / "cgroup") == expected


@pytest.mark.parametrize("where", ["", "slurm/", "slurm/job_7/", "slurm/job_7/step_0/"])
def test_the_limit_of_a_job_counts_wherever_above_the_process_it_is(tmp_path, proc, where):
    (proc / "self" / "cgroup").write_text("0::/slurm/job_7/step_0\n")
    for name in ("slurm/", "slurm/job_7/", "slurm/job_7/step_0/"):
        group(tmp_path / "cgroup" / name, "300000" if name == where else "max", 100_000)
    assert available_bytes(proc, tmp_path / "cgroup") == (200_000 if where else 600 * 1024)


def test_cached_files_do_not_count_as_used(tmp_path, proc):
    group(tmp_path / "cgroup", "300000", 290_000, cache=190_000)
    assert available_bytes(proc, tmp_path / "cgroup") == 200_000


def test_control_groups_of_version_1_are_read(tmp_path, proc):
    (proc / "self" / "cgroup").write_text("5:cpu,cpuacct:/other\n4:memory:/slurm/job_7\n0::/\n")
    group(tmp_path / "cgroup" / "memory", "9223372036854771712", 100_000, version=1)
    group(tmp_path / "cgroup" / "memory" / "slurm", "300000", 100_000, 50_000, version=1)
    assert available_bytes(proc, tmp_path / "cgroup") == 250_000


def test_half_of_the_memory_where_the_system_says_nothing(tmp_path):
    assert available_bytes(tmp_path / "none", tmp_path / "none") > 1 << 20


def test_an_nvidia_device_is_seen_without_torch(tmp_path):
    assert not has_nvidia_device(tmp_path, tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_nvidia_device(tmp_path / "none", tmp_path)
