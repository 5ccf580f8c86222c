"""What this machine has: processors, memory, accelerators, shared memory, free space."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from bandwise.machine import available_bytes

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_FAST_BF16 = {"avx512_bf16", "amx_bf16"}


def describe_machine(folder: Path) -> dict[str, Any]:
    """Return processors, threads, memory, devices, shared memory and the space left in `folder`, ready for JSON.

    `shared_memory_bytes` is None where the system has no `/dev/shm`.
    """
    usage = shutil.disk_usage(folder)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_available_bytes": available_bytes(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "fast_bf16_on_cpu": bool(_FAST_BF16 & _processor_flags()),
        "devices": [_device(index) for index in range(torch.cuda.device_count())],
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32),
        "shared_memory_bytes": shutil.disk_usage(_SHARED_MEMORY).total if _SHARED_MEMORY.is_dir() else None,
        "free_bytes": usage.free,
    }


def _device(index: int) -> dict[str, Any]:
    facts = torch.cuda.get_device_properties(index)
    return {"name": facts.name, "memory_bytes": facts.total_memory}


def _processor_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
