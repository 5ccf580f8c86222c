"""Everything `bandwise doctor` asks: what is there, what the file system does, what is not bit-repeatable."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bandwise.errors import UsageError
from bandwise.files.atomic import TEMPORARY_PREFIX, fsync_file, fsync_folder
from bandwise.files.schema import plain
from bandwise.machine import available_bytes, usable_cores
from bandwise.runs.provenance import environment, processor_fact
from bandwise.training.determinism import explain_device

_LEAST_FREE = 64 << 20
_LEAST_SHARED = 64 << 20
_LIMIT_S = 300
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_FAST_BF16 = {"avx512_bf16", "amx_bf16"}


def examine(folder: Path) -> dict[str, Any]:
    """Look at this machine and at a folder, in which nothing is left; rehearse a training that is killed and resumed.

    What is found is ready for JSON; `not_repeatable` is what changes the last bits of a result here.
    """
    probes = probe_folder(folder)
    machine = describe_machine(folder)
    problems = [{"what": f"{name}: {what}", "remedy": PROBES[name][1]} for name, what in probes.items() if what]
    if machine["free_bytes"] < _LEAST_FREE:
        problems.append({"what": f"{folder} has {machine['free_bytes']} bytes free", "remedy": "free some space"})
    devices = ["cpu", *(["cuda"] if machine["devices"] else [])]
    self_test = {device: _rehearse(folder, device) for device in devices}
    for device, found in self_test.items():
        problems += _problems_of(device, found)
    return {
        "ok": not problems,
        "environment": plain(environment()),
        "machine": machine,
        "folder": {"path": str(folder.resolve()), "probes": {name: what or "ok" for name, what in probes.items()}},
        "self_test": self_test,
        "not_repeatable": not_repeatable(self_test),
        "notes": [explain_device("auto"), *_notes(machine)],
        "problems": problems,
    }


def describe_machine(folder: Path) -> dict[str, Any]:
    """Return processors, threads, memory, devices, shared memory and the space left in `folder`, ready for JSON.

    `shared_memory_bytes` is None where the system has no `/dev/shm`.
    """
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_available_bytes": available_bytes(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "fast_bf16_on_cpu": bool(_FAST_BF16 & set((processor_fact("flags") or "").split())),
        "devices": [{"name": device.name, "memory_bytes": device.total_memory} for device in devices],
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32),
        "shared_memory_bytes": shutil.disk_usage(_SHARED_MEMORY).total if _SHARED_MEMORY.is_dir() else None,
        "free_bytes": shutil.disk_usage(folder).free,
    }


def not_repeatable(self_test: dict[str, dict[str, Any]]) -> list[str]:
    """Name everything that changes the last bits of a result on this machine, measured where that is possible."""
    measured: dict[bool | None, str] = {
        False: "measured here: other bits",
        True: "the same bits in this small test, but not promised",
    }
    threads = self_test["cpu"].get("same_on_two_threads")
    found = [
        f"another number of threads ({measured.get(threads, 'not measured')})",
        "another version of torch or of its libraries (not measured)",
        "another kind of processor (not measured)",
    ]
    if "cuda" in self_test:
        repeated = self_test["cuda"].get("repeatable")
        found.append(
            "a training on CUDA: the fast algorithms are used (" + measured.get(repeated, "not measured") + ")"
        )
        found.append("CUDA in the place of the CPU, or another model of GPU (not measured)")
    return found


def _rehearse(folder: Path, device: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY_PREFIX}doctor-", dir=folder) as name:
        command = [sys.executable, "-m", "bandwise.doctor.rehearsal", name, device]
        # The rehearsal forks: a pool of OpenMP threads in the parent would leave its children waiting for ever.
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, env=surroundings
            )
        except subprocess.TimeoutExpired:
            return {
                "error": f"it did not end within {_LIMIT_S} s",
                "remedy": "run it again when the machine is less busy",
            }
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"code {done.returncode}"}
    return json.loads(done.stdout)


def _problems_of(device: str, found: dict[str, Any]) -> list[dict[str, str]]:
    if "error" in found:
        remedy = found.get("remedy", "training does not work here; install again with the pinned constraints.txt")
        return [{"what": f"the self-test on {device} failed: {found['error']}", "remedy": remedy}]
    # On CUDA neither is promised.
    wrong = [name for name in ("repeatable", "resume_exact") if device == "cpu" and not found[name]]
    remedy = "results depend on interruptions here; install the pinned versions, and test the memory of this machine"
    return [{"what": f"the self-test on {device} is not {name}", "remedy": remedy} for name in wrong]


def _notes(machine: dict[str, Any]) -> list[str]:
    notes = []
    shared = machine["shared_memory_bytes"]
    if shared is not None and shared < _LEAST_SHARED:
        notes.append(
            f"the shared memory has only {shared / 1e6:.0f} MB: use --loader-workers 0, or give the container more "
            "(--shm-size)"
        )
    if not machine["fast_bf16_on_cpu"]:
        notes.append("bf16 on this CPU is slow: keep --precision 32-true for training on it")
    if machine["tf32"] and machine["devices"]:
        notes.append("TF32 is on: float32 products on CUDA keep 10 bits of the mantissa")
    return notes


class ProbeError(Exception):
    """The file system did something else than it must."""


def probe_folder(folder: Path) -> dict[str, str]:
    """Try every operation that our files rely on, in a temporary folder inside `folder`, which is removed again.

    Returns for each probe an empty text where it went well, else what went wrong.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; make it, or name another with --folder")
    try:
        with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY_PREFIX}doctor-", dir=folder) as name:
            return {probe: _result(work, Path(name)) for probe, (work, _) in PROBES.items()}
    except OSError as error:
        raise UsageError(f"cannot write in {folder}: {error.strerror}; name another with --folder") from error


def _result(work: Callable[[Path], None], folder: Path) -> str:
    try:
        work(folder)
    except (ProbeError, OSError) as error:
        return str(error)
    return ""


def _rename_over(folder: Path) -> None:
    """A reader must find the old file or the new one, never none."""
    new, old = folder / "new", folder / "old"
    new.write_bytes(b"new")
    old.write_bytes(b"old")
    new.replace(old)
    if old.read_bytes() != b"new" or new.exists():
        raise ProbeError("a renamed file did not take the place of the other")


def _rename_folder(folder: Path) -> None:
    (folder / "whole").mkdir()
    (folder / "whole" / "file").write_bytes(b"1")
    (folder / "whole").rename(folder / "renamed")
    if not (folder / "renamed" / "file").is_file():
        raise ProbeError("a renamed folder lost its files")


def _fsync_file(folder: Path) -> None:
    path = folder / "synced"
    path.write_bytes(b"1")
    fsync_file(path)


def _exclusive_create(folder: Path) -> None:
    path = folder / "exclusive"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(path, flags))
    try:
        os.close(os.open(path, flags))
    except FileExistsError:
        return
    raise ProbeError("O_EXCL created a file that was there already")


def _lock(folder: Path) -> None:
    path = folder / "lock"
    path.touch()
    first, second = (os.open(path, os.O_RDWR) for _ in range(2))
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise ProbeError("two holders got the same lock")
    finally:
        os.close(first)
        os.close(second)


_HALF_WRITTEN = "could be seen half written here; choose a folder on a local disk, NFS or Lustre"
_LOST = "a power cut could lose what was said to be saved; choose another folder"
_UNNOTICED = (
    "two writers would not notice each other; mount the file system with locks (Lustre: -o flock), or start "
    "everything once only"
)
PROBES: dict[str, tuple[Callable[[Path], None], str]] = {
    "rename_over": (_rename_over, f"a file {_HALF_WRITTEN}"),
    "rename_folder": (_rename_folder, f"a checkpoint {_HALF_WRITTEN}"),
    "fsync_file": (_fsync_file, _LOST),
    "fsync_folder": (fsync_folder, _LOST),
    "exclusive_create": (_exclusive_create, "two writers could take the same name; choose another folder"),
    "lock": (_lock, _UNNOTICED),
}
"""The probes by name, and what to do where one fails."""
