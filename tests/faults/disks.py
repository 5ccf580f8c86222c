"""A small disk of our own, where the machine lets us mount one."""

import contextlib
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
def small_disk(folder: Path, pages: int, inodes: int = 0) -> Iterator[Path]:
    """Mount a disk of some pages of 4 KiB on `folder`.

    Raises:
        PermissionError: this process may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={pages * PAGE}" + (f",nr_inodes={inodes}" if inodes else "")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def grow(folder: Path) -> None:
    """Make the disk large enough for everything."""
    subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=100000", folder], check=True)
