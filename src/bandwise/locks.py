"""One writer for a folder: an advisory lock that names its holder and dies with it."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from bandwise.errors import LockedError, UsageError

LOCK_NAME = ".lock"


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the only writer's lock of `folder`, which must exist; the lock file is removed at the end.

    The kernel drops the lock when its holder dies, however it dies, so the file of a dead holder is simply taken over.

    Raises:
        LockedError: another live process holds it; the message names host, process and start time.
        UsageError: the file system has no working `flock`.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(path)
    try:
        os.ftruncate(descriptor, 0)
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        # Unlinked while still held: a waiter that opened the old file sees another inode and tries again.
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockedError(
                f"{path.parent} is being written by {holder}; wait for it, stop it, or choose another folder"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise UsageError(f"{path.parent} lies on a file system without file locks: {error.strerror}") from error
        if _still_named(path, descriptor):
            return descriptor
        os.close(descriptor)


def _still_named(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']}, started {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
