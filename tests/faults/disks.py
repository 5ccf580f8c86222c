"""A small disk of our own, where the machine lets us mount one."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

PAGE = 4096


def can_mount(folder: Path) -> bool:
    """Say whether this process may mount a file system."""
    try:
        with small_disk(folder, 16):
            return True
    except PermissionError:
        return False


@contextlib.contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[Path]:
    """Mount a disk of some pages of 4 KiB on `folder`.

    Raises:
        PermissionError: this process may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def used_pages(folder: Path) -> int:
    """Return how many pages of the disk are taken."""
    facts = os.statvfs(folder)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize // PAGE


def resize(folder: Path, pages: int) -> None:
    """Give the disk another size; what lies on it stays."""
    subprocess.run(["mount", "-o", f"remount,size={pages * PAGE}", folder], check=True)
