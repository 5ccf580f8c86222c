"""F5: a disk that is full at some point gives exit 6, keeps what was there, and the same command then ends as ever.

Real disks (tmpfs) where the machine lets us mount; elsewhere every write from the n-th on fails with ENOSPC.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults import disks, material
from tests.faults.forkserver import Ended, ForkServer
from tests.training import tiny

from bandwise.checkpoints.folder import read_checkpoint, steps

pytestmark = pytest.mark.timeout(600)
SHARES = (0.25, 0.5, 0.75, 0.95, 0.99)
LARGE = 65536
RESULTS = ("fusion.json", "results.json", "logits/holdout/branch-00.safetensors", "logits/val/branch-01.safetensors")


@dataclass(frozen=True)
class Inputs:
    """What the work reads; none of it lies on the small disk."""

    store: Path
    run: Path


@pytest.fixture(scope="module")
def inputs(train_store, run_folder) -> Inputs:
    return Inputs(train_store, run_folder)


def prepare(target: str, out: Path, inputs: Inputs) -> dict[str, str]:
    """Put on the disk what was there before the work, and return the arguments of the job."""
    if target == "split":
        return {"out": str(out)}
    if target == "train":
        return {"store": str(inputs.store), "out": str(out)}
    # A finished run whose results were lost.
    shutil.copytree(inputs.run, out, ignore=shutil.ignore_patterns("logits", "store", "fusion.json", "results.json"))
    return {"run": str(out), "store": str(inputs.run / "store")}


@contextlib.contextmanager
def work_with_little_space(
    server: ForkServer, target: str, root: Path, inputs: Inputs, space: int, broken: str | None = None
) -> Iterator[tuple[Ended, Any]]:
    """Run a job where `space` pages are free (or writes succeed); yield how it ended and how to run it again."""
    out = root / "disk" / "out"
    faulty = {} if broken is None else {"broken": broken}
    with contextlib.ExitStack() as stack:
        mounted = disks.can_mount(root / "probe")
        if mounted:
            stack.enter_context(disks.small_disk(root / "disk", LARGE))
        arguments = prepare(target, out, inputs)
        if mounted:
            disks.resize(root / "disk", disks.used_pages(root / "disk") + space)
            ended = server.run("without_preflight", inner=target, arguments={**arguments, **faulty})
            disks.resize(root / "disk", LARGE)
        else:
            fault = {"root": root / "disk", "operation": "write", "fault": "ENOSPC", "lasting": True}
            ended = server.run("injected", inner=target, arguments={**arguments, **faulty}, number=space + 1, **fault)
        yield ended, lambda: server.run(target, **arguments)
    shutil.rmtree(root)


def space_needed(server: ForkServer, target: str, root: Path, inputs: Inputs) -> int:
    """Find the least space with which the work ends well."""
    low, high = 0, 256
    while high - low > 1:
        middle = (low + high) // 2
        with work_with_little_space(server, target, root / str(middle), inputs, middle) as (ended, _):
            low, high = (low, middle) if ended.code == 0 else (middle, high)
    return high


def check_full(
    server: ForkServer, target: str, root: Path, inputs: Inputs, space: int, whole: Path, broken: str | None = None
) -> None:
    """One point: exit 6, what is there is whole, and the next run ends as if nothing had happened."""
    out = root / "disk" / "out"
    with work_with_little_space(server, target, root, inputs, space, broken) as (ended, again):
        assert ended.code == 6, f"exit code {ended.code}\n{ended.log}"
        assert "no space left while writing" in ended.log.lower()
        there = material.final_names(material.tree(out))
        if target == "split":
            assert there.items() <= material.tree(whole).items()
        elif target == "train":
            for path in steps(out):
                read_checkpoint(path)
        else:
            assert {there.get(name) for name in RESULTS} <= {None, *material.tree(inputs.run).values()}
        finished = again()
        assert finished.code == 0, finished.log
        if target == "split":
            assert material.tree(out) == material.tree(whole)
        elif target == "train":
            assert tiny.outcome(out)["tensors"] == tiny.outcome(undisturbed(server, inputs, root))["tensors"]
        else:
            there, complete = material.tree(out), material.tree(inputs.run)
            assert all(there[name] == complete[name] for name in RESULTS)


def undisturbed(server: ForkServer, inputs: Inputs, root: Path) -> Path:
    """Train on a disk with space."""
    assert server.run("train", store=inputs.store, out=root / "undisturbed").code == 0
    return root / "undisturbed"


@pytest.mark.parametrize("target", ["split", "train", "finish"])
def test_a_full_disk_is_exit_6_and_nothing_is_lost(server, whole, inputs, tmp_path, figure, target):
    need = space_needed(server, target, tmp_path / "search", inputs)
    points: list[int] = []
    for part in SHARES:
        # Where the work is small two shares may be the same page; then the next one below counts.
        points.append(next(space for space in range(int(need * part), -1, -1) if space not in points))
    for space in points:
        check_full(server, target, tmp_path / str(space), inputs, space, whole)
    how = "small disks, mounted" if disks.can_mount(tmp_path / "probe") else "injected, no right to mount"
    figure("disk-full points with exit 6", len(points), len(SHARES), how)


def test_a_hidden_full_disk_is_noticed(server, whole, inputs, tmp_path, control):
    with pytest.raises(AssertionError, match="exit code 70"):
        check_full(server, "split", tmp_path / "full", inputs, 20, whole, "full_disk_hidden")
    control()


def test_too_little_space_is_refused_before_the_first_picture(server, tmp_path):
    with disks.small_disk(tmp_path / "disk", 100) if disks.can_mount(tmp_path / "p") else pytest.skip("needs a mount"):
        ended = server.run("split", out=tmp_path / "disk" / "out")
        assert ended.code == 6
        assert "are needed" in ended.log
        assert not list((tmp_path / "disk" / "out").glob("band-*/*"))
