"""What a file system must do for our promises to hold, tried out in a folder."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.files.atomic import TEMPORARY_PREFIX, fsync_file, fsync_folder


class ProbeError(Exception):
    """The file system did something else than it must."""


def probe_folder(folder: Path) -> dict[str, str]:
    """Try every operation that our files rely on, in a temporary folder inside `folder`, which is removed again.

    Returns:
        For each probe an empty text where it went well, else what went wrong.

    Raises:
        UsageError: `folder` is no folder, or cannot be written.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; make it, or name another with --folder")
    try:
        with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY_PREFIX}doctor-", dir=folder) as name:
            return {probe: _result(work, Path(name)) for probe, work in PROBES.items()}
    except OSError as error:
        raise UsageError(f"cannot write in {folder}: {error.strerror}; name another with --folder") from error


def _result(work: Callable[[Path], None], folder: Path) -> str:
    try:
        work(folder)
    except (ProbeError, OSError) as error:
        return str(error)
    return ""


def _rename_over(folder: Path) -> None:
    """A reader must find the old file or the new one, never none."""
    new, old = folder / "new", folder / "old"
    new.write_bytes(b"new")
    old.write_bytes(b"old")
    new.replace(old)
    if old.read_bytes() != b"new" or new.exists():
        raise ProbeError("a renamed file did not take the place of the other")


def _rename_folder(folder: Path) -> None:
    (folder / "whole").mkdir()
    (folder / "whole" / "file").write_bytes(b"1")
    (folder / "whole").rename(folder / "renamed")
    if not (folder / "renamed" / "file").is_file():
        raise ProbeError("a renamed folder lost its files")


def _fsync_file(folder: Path) -> None:
    path = folder / "synced"
    path.write_bytes(b"1")
    fsync_file(path)


def _exclusive_create(folder: Path) -> None:
    path = folder / "exclusive"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(path, flags))
    try:
        os.close(os.open(path, flags))
    except FileExistsError:
        return
    raise ProbeError("O_EXCL created a file that was there already")


def _lock(folder: Path) -> None:
    path = folder / "lock"
    path.touch()
    first, second = (os.open(path, os.O_RDWR) for _ in range(2))
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        raise ProbeError("two holders got the same lock")
    finally:
        os.close(first)
        os.close(second)


PROBES: dict[str, Callable[[Path], None]] = {
    "rename_over": _rename_over,
    "rename_folder": _rename_folder,
    "fsync_file": _fsync_file,
    "fsync_folder": fsync_folder,
    "exclusive_create": _exclusive_create,
    "lock": _lock,
}
"""The probes by name."""
