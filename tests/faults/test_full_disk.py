"""F5: a disk that is full at some point gives exit 6, keeps what was there, and the same command then ends as ever.

Real disks (tmpfs) where the machine lets us mount; elsewhere every write from the n-th on fails with ENOSPC.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.faults import disks, material
from tests.faults.disks import small_disk
from tests.faults.forkserver import Ended, ForkServer
from tests.training import tiny

from bandwise.checkpoints.folder import read_checkpoint, steps

pytestmark = pytest.mark.timeout(600)
SHARES = (0.25, 0.5, 0.75, 0.95, 0.99)
TARGETS = ("split", "train", "finish")


class FullDisk:
    """One kind of work on a disk of a given size, or with a given number of writes."""

    def __init__(self, server: ForkServer, target: str, scratch: Path, inputs: dict[str, Path]) -> None:
        self.server, self.target, self.inputs, self.scratch = server, target, inputs, scratch
        self.mounts = disks.can_mount(scratch / "probe")

    def arguments(self, root: Path) -> dict[str, Any]:
        """Return what the job needs, and put what was there before on the disk."""
        out = root / "out"
        if self.target == "split":
            return {"out": out}
        if self.target == "train":
            return {"store": self.inputs["train_store"], "out": out}
        shutil.copytree(self.inputs["run"], out, ignore=shutil.ignore_patterns("logits", "store", "preview", "*.jsonl"))
        for name in ("fusion.json", "results.json"):
            (out / name).unlink()
        return {"run": out, "store": self.inputs["run"] / "store"}

    def attempt(self, root: Path, size: int) -> tuple[Ended, dict[str, Any]]:
        """Run the work where only `size` pages (or writes) are left."""
        arguments = self.arguments(root)
        if self.mounts:
            return self.server.run("without_preflight", inner=self.target, arguments=_plain(arguments)), arguments
        fault = {"root": root / "out", "operation": "write", "number": size, "fault": "ENOSPC", "lasting": True}
        return self.server.run("injected", inner=self.target, arguments=_plain(arguments), **fault), arguments

    def held(self) -> int:
        """Return the pages that lie on the disk before the work starts."""
        root = self.scratch / "held"
        self.arguments(root)
        files = [path for path in root.rglob("*") if path.is_file()]
        shutil.rmtree(root, ignore_errors=True)
        return sum(-(-path_size // disks.PAGE) for path_size in map(os.path.getsize, files)) if files else 0


def _plain(arguments: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in arguments.items()}
