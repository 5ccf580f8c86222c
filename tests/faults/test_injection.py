"""F2, F3: the first, second, ... operation of each kind fails until a run gets through without meeting the fault.

After every one: what was committed before is as it was, nothing half done stands under a final name, no file is trusted
again after its fsync has failed, and the same command ends with the same bytes.
"""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults import material
from tests.faults.forkserver import CRASHED, ForkServer
from tests.faults.scale import FULL, share
from tests.faults.shim import FAULTS, NOT_REACHED, OPERATIONS, RETRIED
from tests.training import tiny

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.errors import CorruptionError

pytestmark = pytest.mark.timeout(1800)

# A small share takes each operation with one fault, all of it each with every fault.
POINTS = [
    (operation, fault)
    for number, operation in enumerate(OPERATIONS)
    for index, fault in enumerate(FAULTS)
    if FULL or (number + index) % 3 == 0
]
STRIDE = share(1, 5)
_CODES = {"kill": {-signal.SIGKILL}, "EIO": {0, 1, 2}, "ENOSPC": {0, 6}}


@dataclass(frozen=True)
class Target:
    """One kind of work: how to start it, and what must hold after a fault and at the end."""

    job: str
    prepare: Callable[[Path], dict[str, Any]]
    intact: Callable[[Path], None]
    finished: Callable[[Path], None]


def inject(
    server: ForkServer, target: Target, base: Path, operation: str, fault: str, broken: str | None = None
) -> int:
    """Go through all points of one operation and fault; return how many there were."""
    stride = STRIDE if broken is None else 1
    number, passed = 1 - stride, 0
    while True:
        number += stride
        root = base / f"{operation}-{fault}-{number}"
        arguments = {key: str(value) for key, value in target.prepare(root).items()}
        point = {"root": root / "out", "operation": operation, "number": number, "fault": fault}
        faulty = arguments if broken is None else {**arguments, "broken": broken}
        ended = server.run("injected", inner=target.job, arguments=faulty, **point)
        if ended.code is None:
            # No assertion: a control must not take a trial that hangs for one that has failed as it must.
            raise TimeoutError(f"{point}: no end\n{ended.log}")
        assert ended.code != RETRIED, f"{point}: a file was trusted again after its fsync had failed"
        if NOT_REACHED in ended.log:
            assert ended.code == 0, ended.log
            return passed
        assert ended.code in _CODES[fault], f"{point}: exit code {ended.code}\n{ended.log}"
        target.intact(root / "out")
        again = server.run(target.job, **arguments)
        assert again.code == 0, f"{point}: not resumable\n{again.log}"
        target.finished(root / "out")
        passed += 1
        shutil.rmtree(root)


@pytest.fixture
def split_target(small) -> Target:
    reference = material.tree(small)

    def prepare(root: Path) -> dict[str, Any]:
        return {"out": root / "out", "small": "yes"}

    def intact(out: Path) -> None:
        assert material.final_names(material.tree(out)).items() <= reference.items()

    def finished(out: Path) -> None:
        assert material.tree(out) == reference

    return Target("split", prepare, intact, finished)


@pytest.fixture
def train_target(server, train_store, tmp_path) -> Target:
    half, whole = tmp_path / "half", tmp_path / "whole"
    for folder, number in ((half, 4), (whole, 0)):
        code = server.run("train_steps", store=train_store, out=folder / "out", stop_after=number).code
        assert code == (75 if number else 0)
    reference = tiny.outcome(whole / "out")

    def prepare(root: Path) -> dict[str, Any]:
        """Step 4 of 6 is saved; what follows is a checkpoint, the pruning of an old one, metrics and summary."""
        shutil.copytree(half, root)
        return {"store": train_store, "out": root / "out", "config": "one_epoch"}

    def intact(out: Path) -> None:
        found = steps(out)
        assert found
        for path in found:
            read_checkpoint(path)

    def finished(out: Path) -> None:
        assert tiny.outcome(out) == reference
        assert not [path for path in out.iterdir() if path.name.startswith((".", "damaged"))]

    return Target("train", prepare, intact, finished)


@pytest.fixture
def finish_target(run_folder) -> Target:
    """The logits, the fusion and the results of a run, written over older ones of other bytes."""
    logits = (f"logits/{split}/branch-0{branch}.safetensors" for split in ("holdout", "val") for branch in (0, 1))
    names = ("fusion.json", "results.json", *logits)
    new = {name: (run_folder / name).read_bytes() for name in names}

    def prepare(root: Path) -> dict[str, Any]:
        shutil.copytree(run_folder, root / "out", ignore=shutil.ignore_patterns("logits", "store"))
        for name in ("fusion.json", "results.json"):
            (root / "out" / name).write_bytes(b"old")
        return {"run": root / "out", "store": run_folder / "store"}

    def intact(out: Path) -> None:
        for name in names:
            content = (out / name).read_bytes() if (out / name).exists() else b"absent"
            assert content in (new[name], b"old", b"absent"), name
        assert (out / "fusion.json").exists()
        assert (out / "results.json").exists()

    def finished(out: Path) -> None:
        assert {name: (out / name).read_bytes() for name in names} == new

    return Target("finish", prepare, intact, finished)


@pytest.mark.parametrize(("operation", "fault"), POINTS)
@pytest.mark.parametrize("target", ["split_target", "train_target", "finish_target"])
def test_every_point_is_survived(server, request, tmp_path, figure, target, operation, fault):
    points = inject(server, request.getfixturevalue(target), tmp_path, operation, fault)
    if operation not in ("delete", "mkdir"):
        assert points >= share(2, 1)
    figure("systematic injection points", points, points, "split, checkpoints, logits, fusion and results")


@pytest.mark.parametrize(
    ("broken", "target", "operation", "fault"),
    [
        ("no_temporary_name", "split_target", "write", "kill"),
        ("no_temporary_name", "train_target", "write", "kill"),
        ("no_temporary_name", "finish_target", "write", "EIO"),
        ("fsync_tried_again", "split_target", "fsync", "EIO"),
        ("index_on_exception", "split_target", "write", "EIO"),
        ("full_disk_hidden", "split_target", "write", "ENOSPC"),
    ],
)
def test_the_points_notice_a_broken_line(server, request, tmp_path, control, broken, target, operation, fault):
    # Made before: what fails while it is prepared is not the broken line that is to be noticed.
    prepared = request.getfixturevalue(target)
    with pytest.raises((AssertionError, CorruptionError)) as caught:
        inject(server, prepared, tmp_path, operation, fault, broken)
    if broken == "full_disk_hidden":
        assert f"exit code {CRASHED}" in str(caught.value)
    control()
