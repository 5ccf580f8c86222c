"""Freed memory stays with the process inside, and goes back outside; looked at in a process of its own."""

import ctypes
import json
import subprocess
import sys

import pytest

from bandwise import memory as freedmemory
from bandwise.memory import keep_freed_memory

# Blocks above 32 MiB: outside, glibc maps each of them anew whatever was freed before.
PROGRAM = """
import ctypes, json, resource
from bandwise.memory import keep_freed_memory

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
    monkeypatch.setattr(freedmemory, "_glibc", lambda: None)
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

    monkeypatch.setattr(freedmemory, "_glibc", Library)
    with pytest.raises(KeyError), keep_freed_memory():
        raise KeyError
    # A size that this glibc refuses is followed by one that all take.
    assert calls == [(-1, 2**31 - 1), (-3, 1 << 30), (-3, 32 << 20), (-3, 32 << 20), (-1, 64 << 20), ("trim", 0)]
