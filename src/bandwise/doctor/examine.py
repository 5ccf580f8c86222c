"""Everything `bandwise doctor` asks, put together: what is there, what works, what is not bit-repeatable."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bandwise.doctor.machine import describe_machine
from bandwise.doctor.probes import probe_folder
from bandwise.files.atomic import TEMPORARY_PREFIX
from bandwise.files.schema import plain
from bandwise.runs.provenance import environment

_LEAST_FREE = 64 << 20
_LEAST_SHARED = 64 << 20
_LIMIT_S = 300
_REMEDIES = {
    "rename_over": "a file could be seen half written here; choose a folder on a local disk, NFS or Lustre",
    "rename_folder": "a checkpoint could be seen half written here; choose a folder on a local disk, NFS or Lustre",
    "fsync_file": "a power cut could lose what was said to be saved; choose another folder",
    "fsync_folder": "a power cut could lose what was said to be saved; choose another folder",
    "exclusive_create": "two writers could take the same name; choose another folder",
    "lock": "two writers would not notice each other; mount the file system with locks (Lustre: -o flock), or start "
    "everything once only",
}


def examine(folder: Path) -> dict[str, Any]:
    """Look at this machine and at a folder, and rehearse a training that is killed and resumed.

    Args:
        folder: where stores and runs are to be; nothing is left in it.

    Returns:
        Ready for JSON: `ok`, `environment`, `machine`, `folder` with its probes, `self_test` by device,
        `not_repeatable` (what changes the last bits of a result here), `notes`, and `problems`, each with its remedy.

    Raises:
        UsageError: `folder` is no folder that can be written.
    """
    probes = probe_folder(folder)
    machine = describe_machine(folder)
    problems = [{"what": f"{name}: {what}", "remedy": _REMEDIES[name]} for name, what in probes.items() if what]
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
        "notes": _notes(machine),
        "problems": problems,
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
