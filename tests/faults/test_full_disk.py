"""F5: a disk that is full at some point gives exit 6, keeps what was there, and the same command then ends as ever.

On real disks, where the machine lets us mount them; `test_injection` has a disk that stays full from any write on.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.processes import Server
from tests.faults.scale import share
from tests.faults.targets import Target

pytestmark = pytest.mark.timeout(600)
SHARES = (0.25, 0.5, 0.75, 0.95, 0.99)[:: share(1, 2)]
PAGE, LARGE = 4096, 65536


def mount(folder: Path, pages: int, *options: str) -> int:
    command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={pages * PAGE}"]), "tmpfs", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode


@contextlib.contextmanager
def small_disk(folder: Path, pages: int = LARGE) -> Iterator[Path]:
    """Mount a disk of some pages of 4 KiB for the length of a block."""
    folder.mkdir()
    if mount(folder, pages):
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def used_pages(folder: Path) -> int:
    facts = os.statvfs(folder)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize // PAGE


def pages_written(server: Server, target: Target, root: Path) -> int:
    """Return what the work leaves on a disk; with less there must be no end."""
    with small_disk(root) as disk:
        arguments = target.prepare(disk / "out")
        before = used_pages(disk)
        assert server.run(target.job, **arguments).code == 0
        return used_pages(disk) - before


def check_full(server: Server, target: Target, root: Path, space: int, **broken: str) -> None:
    """With some pages free: exit 6, what is there is whole, and the next run ends as if nothing had happened."""
    with small_disk(root) as disk:
        arguments = target.prepare(disk / "out")
        mount(disk, used_pages(disk) + space, "remount")
        ended = server.run("without_preflight", inner=target.job, arguments={**arguments, **broken})
        mount(disk, LARGE, "remount")
        assert ended.code == 6, f"exit code {ended.code}\n{ended.log}"
        assert "no space left while writing" in ended.log.lower()
        target.intact(disk / "out")
        finished = server.run(target.job, **arguments)
        assert finished.code == 0, finished.log
        target.finished(disk / "out")
    shutil.rmtree(root)


@pytest.mark.parametrize("target", ["split", "half a training", "results"])
def test_a_full_disk_is_exit_6_and_nothing_is_lost(server, targets, tmp_path, target):
    need = pages_written(server, targets[target], tmp_path / "whole")
    for space in {int(need * part) for part in SHARES}:
        check_full(server, targets[target], tmp_path / str(space), space)


def test_a_hidden_full_disk_is_noticed(server, targets, tmp_path):
    with pytest.raises(AssertionError, match="exit code 70"):
        check_full(server, targets["split"], tmp_path / "full", 20, broken="full_disk_hidden")


def test_too_little_space_is_refused_before_the_first_picture(server, tmp_path):
    with small_disk(tmp_path / "disk", 100) as disk:
        ended = server.run("split", out=disk / "out")
        assert ended.code == 6
        assert "are needed" in ended.log
        assert not list((disk / "out").glob("band-*/*"))
