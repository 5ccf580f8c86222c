"""The kinds of work that are disturbed: how each is started, and what must hold after a fault and at the end."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import material
from tests.faults.processes import Server
from tests.training import tiny

from bandwise.checkpoints.folder import read_checkpoint, steps


@dataclass(frozen=True)
class Target:
    """One kind of work."""

    job: str
    prepare: Callable[[Path], dict[str, Any]]
    """Lays out in a folder what was there before the work, and returns the arguments of the job."""
    intact: Callable[[Path], None]
    finished: Callable[[Path], None]


def split_target(whole: Path, **options: str) -> Target:
    """A split; every file that has its name has its final bytes."""
    reference = material.tree(whole)

    def intact(out: Path) -> None:
        there = material.final_names(material.tree(out))
        assert there.items() <= reference.items(), sorted(n for n in there if there[n] != reference.get(n))

    def finished(out: Path) -> None:
        assert material.tree(out) == reference

    return Target("split", lambda out: {"out": str(out), **options}, intact, finished)


def train_target(server: Server, store: Path, folder: Path, config: str, *, done: int = 0) -> Target:
    """A training, which goes on after some steps; every checkpoint is whole."""
    arguments = {"store": str(store), "config": config}
    assert server.run("train", out=folder / "whole", **arguments).code == 0
    reference = tiny.outcome(folder / "whole")
    if done:
        assert server.run("train", out=folder / "half", stop_after=done, **arguments).code == 75

    def prepare(out: Path) -> dict[str, Any]:
        if done:
            shutil.copytree(folder / "half", out)
        return {**arguments, "out": str(out)}

    def intact(out: Path) -> None:
        found = steps(out)
        assert found or not done
        for path in found:
            read_checkpoint(path)

    def finished(out: Path) -> None:
        assert tiny.outcome(out) == reference
        assert not [path for path in out.iterdir() if path.name.startswith((".", "damaged"))]

    return Target("train", prepare, intact, finished)


def finish_target(run: Path) -> Target:
    """The logits, the fusion and the results of a run, written over older ones of other bytes."""
    logits = (f"logits/{split}/branch-0{branch}.safetensors" for split in ("holdout", "val") for branch in (0, 1))
    names = ("fusion.json", "results.json", *logits)
    new = {name: (run / name).read_bytes() for name in names}

    def prepare(out: Path) -> dict[str, Any]:
        shutil.copytree(run, out, ignore=shutil.ignore_patterns("logits", "store"))
        for name in ("fusion.json", "results.json"):
            (out / name).write_bytes(b"old")
        return {"run": str(out), "store": str(run / "store")}

    def intact(out: Path) -> None:
        for name in names:
            content = (out / name).read_bytes() if (out / name).exists() else b"absent"
            assert content in (new[name], b"old", b"absent"), name
        assert (out / "fusion.json").exists()
        assert (out / "results.json").exists()

    def finished(out: Path) -> None:
        assert {name: (out / name).read_bytes() for name in names} == new

    return Target("finish", prepare, intact, finished)
