"""F2, F3: the first, second, ... operation of each kind fails until a run gets through without meeting the fault.

After every one: what was committed before is as it was, nothing half done stands under a final name, no file is trusted
again after its fsync has failed, and the same command ends with the same bytes.
"""

import shutil
import signal
from pathlib import Path

import pytest
from tests.faults.processes import CRASHED, Server
from tests.faults.scale import FULL, share
from tests.faults.shim import FAULTS, NOT_REACHED, OPERATIONS, RETRIED
from tests.faults.targets import Target

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


def inject(server: Server, target: Target, base: Path, operation: str, fault: str, broken: str | None = None) -> int:
    """Go through all points of one operation and fault; return how many there were."""
    stride = STRIDE if broken is None else 1
    number, passed = 1 - stride, 0
    while True:
        number += stride
        root = base / f"{operation}-{fault}-{number}"
        root.mkdir()
        arguments = target.prepare(root / "out")
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


@pytest.mark.parametrize(("operation", "fault"), POINTS)
@pytest.mark.parametrize("target", ["small split", "half a training", "half a training by time", "results"])
def test_every_point_is_survived(server, targets, tmp_path, target, operation, fault):
    points = inject(server, targets[target], tmp_path, operation, fault)
    if operation not in ("delete", "mkdir"):
        assert points >= share(2, 1)


@pytest.mark.parametrize(
    ("broken", "target", "operation", "fault"),
    [
        ("no_temporary_name", "small split", "write", "kill"),
        ("no_temporary_name", "half a training", "write", "kill"),
        ("no_temporary_name", "results", "write", "EIO"),
        ("fsync_tried_again", "small split", "fsync", "EIO"),
        ("index_on_exception", "small split", "write", "EIO"),
        ("full_disk_hidden", "small split", "write", "ENOSPC"),
    ],
)
def test_the_points_notice_a_broken_line(server, targets, tmp_path, broken, target, operation, fault):
    with pytest.raises((AssertionError, CorruptionError)) as caught:
        inject(server, targets[target], tmp_path, operation, fault, broken)
    if broken == "full_disk_hidden":
        assert f"exit code {CRASHED}" in str(caught.value)
