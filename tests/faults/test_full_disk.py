"""F5: a disk that is full at some point gives exit 6, keeps what was there, and the same command then ends as ever.

Real disks (tmpfs) where the machine lets us mount; elsewhere every write from the n-th on fails with ENOSPC.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.processes import Ended, Server
from tests.faults.targets import Target

pytestmark = pytest.mark.timeout(600)
SHARES = (0.25, 0.5, 0.75, 0.95, 0.99)
PAGE, LARGE = 4096, 65536


def mount(folder: Path, pages: int, *, again: str = "") -> bool:
    """Mount a disk of some pages of 4 KiB, or give it another size; return whether this machine lets us."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"{again}size={pages * PAGE}", "tmpfs", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[bool]:
    """Mount such a disk for the length of a block, and say whether that was possible."""
    mounted = mount(folder, pages)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)


def used_pages(folder: Path) -> int:
    facts = os.statvfs(folder)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize // PAGE


@contextlib.contextmanager
def with_little_space(
    server: Server, target: Target, root: Path, space: int, **broken: str
) -> Iterator[tuple[Ended, dict]]:
    """Run a job where `space` pages are free (or writes succeed); yield how it ended and how to run it again."""
    disk = root / "disk"
    with small_disk(disk, LARGE) as mounted:
        arguments = target.prepare(disk / "out")
        if mounted:
            mount(disk, used_pages(disk) + space, again="remount,")
            ended = server.run("without_preflight", inner=target.job, arguments={**arguments, **broken})
            mount(disk, LARGE, again="remount,")
        else:
            fault = {"root": disk, "operation": "write", "fault": "ENOSPC", "lasting": True, "number": space + 1}
            ended = server.run("injected", inner=target.job, arguments={**arguments, **broken}, **fault)
        yield ended, arguments
    shutil.rmtree(root)


def space_needed(server: Server, target: Target, root: Path) -> int:
    """Find the least space with which the work ends well."""
    low, high = 0, 256
    while high - low > 1:
        middle = (low + high) // 2
        with with_little_space(server, target, root / str(middle), middle) as (ended, _):
            low, high = (low, middle) if ended.code == 0 else (middle, high)
    return high


def check_full(server: Server, target: Target, root: Path, space: int, **broken: str) -> None:
    """One point: exit 6, what is there is whole, and the next run ends as if nothing had happened."""
    with with_little_space(server, target, root, space, **broken) as (ended, arguments):
        assert ended.code == 6, f"exit code {ended.code}\n{ended.log}"
        assert "no space left while writing" in ended.log.lower()
        target.intact(root / "disk" / "out")
        finished = server.run(target.job, **arguments)
        assert finished.code == 0, finished.log
        target.finished(root / "disk" / "out")


@pytest.mark.parametrize("target", ["split", "half a training", "results"])
def test_a_full_disk_is_exit_6_and_nothing_is_lost(server, targets, tmp_path, target):
    need = space_needed(server, targets[target], tmp_path / "search")
    points: list[int] = []
    for part in SHARES:
        # Where the work is small two shares may be the same page; then the next one below counts.
        points.append(next(space for space in range(int(need * part), -1, -1) if space not in points))
    for space in points:
        check_full(server, targets[target], tmp_path / str(space), space)


def test_a_hidden_full_disk_is_noticed(server, targets, tmp_path):
    with pytest.raises(AssertionError, match="exit code 70"):
        check_full(server, targets["split"], tmp_path / "full", 20, broken="full_disk_hidden")


def test_too_little_space_is_refused_before_the_first_picture(server, tmp_path):
    with small_disk(tmp_path / "disk", 100) as mounted:
        if not mounted:
            pytest.skip("needs the right to mount")
        ended = server.run("split", out=tmp_path / "disk" / "out")
        assert ended.code == 6
        assert "are needed" in ended.log
        assert not list((tmp_path / "disk" / "out").glob("band-*/*"))
