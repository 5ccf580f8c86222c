"""Payloads that make a file appear when something executes them, in every form in which weights and data travel."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Opens:
    """Opens the canary for writing as soon as it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = os.fspath(canary)

    def __reduce__(self) -> tuple[Any, ...]:
        return io.open, (self._canary, "w")


def payloads(canary: Path) -> dict[str, bytes]:
    """Return files that execute code in a loader that is careless enough."""
    trap = Opens(canary)
    plain = pickle.dumps(trap)
    saved = {}
    for name, legacy in (("torch", False), ("torch, old format", True)):
        stream = io.BytesIO()
        torch.save({"weight": trap}, stream, _use_new_zipfile_serialization=not legacy)
        saved[name] = stream.getvalue()
    array = io.BytesIO()
    np.save(array, np.array([trap], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    np.savez(archive, weight=np.array([trap], dtype=object))
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as content:
        content.writestr("archive/data.pkl", plain)
        content.writestr("archive/__init__.py", f"open({os.fspath(canary)!r}, 'w')")
        content.writestr("archive/version", "3\n")
    length = len(plain).to_bytes(8, "little")
    script = f"#!/bin/sh\ntouch '{canary}'\n".encode()
    yaml = f"!!python/object/apply:builtins.open ['{canary}', 'w']\n".encode()
    return {
        "pickle": plain,
        "pickle of protocol 0": pickle.dumps(trap, protocol=0),
        **saved,
        "npy": array.getvalue(),
        "npz": archive.getvalue(),
        "torch.package": package.getvalue(),
        "pickle behind a header's length": length + plain,
        "pickle in a header": length + plain + b"{}",
        "YAML": yaml,
        "shell": script,
        "python": f"open({os.fspath(canary)!r}, 'w')\n".encode(),
    }
