"""Who made a number: versions of the libraries, the machine, and the commit of our source."""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bandwise.machine import usable_cores
from bandwise.version import __version__

_PACKAGES = ("torch", "timm", "lightning-fabric", "torchmetrics", "numpy", "pyarrow", "pillow", "safetensors")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The machine that a number was made on."""

    machine: str
    processor: str
    cores: int
    accelerator: str | None
    """Its name, and where it shortens the factors of float32 products to TF32."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a number was made with: versions of the libraries, the machine, and the commit of our source."""

    versions: dict[str, str]
    hardware: Hardware
    commit: str | None


def environment() -> Environment:
    """Return what a number that is made here and now is made with."""
    return Environment(
        versions={"bandwise": __version__, "python": platform.python_version(), **_installed(_PACKAGES)},
        hardware=Hardware(
            machine=platform.machine(),
            processor=_processor(),
            cores=usable_cores(),
            accelerator=_accelerator(),
        ),
        commit=source_commit(),
    )


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _processor() -> str:
    name = processor_fact("model name")
    return platform.processor() if name is None else name or "unknown"


def processor_fact(name: str) -> str | None:
    """Return what the kernel says of the first processor, such as its `flags`; None where it lists no processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _accelerator() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return None
    kinds = {"products": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
    shortened = " and ".join(name for name, allowed in kinds.items() if allowed) or "nothing"
    return f"{torch.cuda.get_device_name(0)}, TF32 in {shortened}"


def source_commit() -> str | None:
    """Return the commit of the checkout that holds this file, with `+` when it has uncommitted changes."""
    here = Path(__file__).resolve().parents[1]
    try:
        # The ceiling keeps an installed package from reporting the commit of a project that merely surrounds it.
        ceiling = {**os.environ, "GIT_CEILING_DIRECTORIES": os.fspath(here.parents[2])}
        command = ["git", "-C", os.fspath(here)]
        head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, env=ceiling)
        dirty = subprocess.run(
            [*command, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True, env=ceiling
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
