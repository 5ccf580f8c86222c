"""One writer for a folder: an advisory lock that names its holder and dies with it.

On one machine the kernel decides: it drops `flock` when the holder dies, however it dies, so a process number that is
used again means nothing. Between machines it decides too where the file system passes `flock` on (NFS since Linux
2.6.12, Lustre mounted with `flock`). Where it does not (`local_lock=flock`, `localflock`), the sign of life does: the
holder renews the time of its lock file, and the lock of another machine counts until it has been silent for a minute by
the clock of the file system.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bandwise.errors import LockedError, UsageError
from bandwise.files.atomic import temporary_path
from bandwise.progress import say

LOCK_NAME = ".lock"
RENEWED_S = 10.0
"""Seconds between signs of life."""
SILENT_S = 60.0
"""Seconds without one after which the lock of another machine is taken over."""

POLL_S = 0.5
"""Seconds between two looks of one that waits."""

_NO_LOCK_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO}
_READ_TRIES = 20
_READ_PAUSE_S = 0.05
_DEAD_HOLDER_S = 3.0


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the only writer's lock of `folder`, which must exist; the lock file is removed at the end.

    A `LockedError` names host, process and start time of the live process that holds it.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(path)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(descriptor, ended), daemon=True)
    try:
        os.ftruncate(descriptor, 0)
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        renewal.start()
        yield
    finally:
        ended.set()
        if renewal.ident is not None:
            renewal.join()
        # Unlinked while still held: a waiter that opened the old file sees another inode and tries again.
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def waiting_lock(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder_lock`, after waiting for whoever holds it; `what` is said to be waited for."""
    with contextlib.ExitStack() as stack:
        waiting = False
        while True:
            try:
                stack.enter_context(folder_lock(folder))
                break
            except LockedError as error:
                if not waiting:
                    say(f"{what}: waiting; {error}")
                    waiting = True
                time.sleep(POLL_S)
        yield


def _renew(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_S):
        # A disk that is full or gone for a moment must not end the work; the next beat tries again.
        with contextlib.suppress(OSError):
            os.utime(descriptor)


def _acquire(path: Path) -> int:
    deadline = time.monotonic() + _DEAD_HOLDER_S
    while True:
        descriptor = _open(path)
        try:
            held = _flock(path, descriptor)
            if held and _still_named(path, descriptor):
                _require_silence(path, descriptor)
                return descriptor
            if not held:
                holder = _holder(descriptor, tries=_READ_TRIES)
                if not _is_dead(holder) or time.monotonic() > deadline:
                    raise LockedError(
                        f"{path.parent} is being written by {_named(holder)}; wait for it, stop it, or choose another "
                        "folder"
                    )
                # A process that it had just started still has the descriptor, and is about to end too.
                time.sleep(_READ_PAUSE_S)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UsageError(f"{path.parent} lies on a file system without file locks: {error.strerror}") from error
    return True


def _open(path: Path) -> int:
    try:
        # A link would have us empty a file elsewhere; a pipe would have us wait.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno not in _NO_LOCK_FILE:
            raise
        raise UsageError(f"{path} is no lock file, but a link, folder, socket or device; remove it") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is no lock file, but a pipe or device; remove it")
    return descriptor


def _still_named(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _require_silence(path: Path, descriptor: int) -> None:
    """Refuse a lock file that another machine renewed lately: its `flock` may not reach us."""
    holder = _holder(descriptor, tries=1)
    if holder is None or holder["host"] == socket.gethostname():
        return
    silent = _time_there(path.parent) - os.fstat(descriptor).st_mtime
    if silent < SILENT_S:
        raise LockedError(
            f"{path.parent} is being written by {_named(holder)}, whose lock was renewed {max(0, silent):.0f} s ago; "
            f"wait for it, stop it, or choose another folder (should it be dead: its lock lapses after {SILENT_S:.0f} "
            f"s, or remove {path})"
        )


def _time_there(folder: Path) -> float:
    """Return the time by the clock that stamps files in `folder`, which may be that of a server."""
    probe = temporary_path(folder / "clock")
    try:
        with open(probe, "xb") as stream:
            # Not by its name: a live holder sweeps temporary files away.
            return os.fstat(stream.fileno()).st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _holder(descriptor: int, *, tries: int) -> dict[str, Any] | None:
    """Read who holds the lock; None where that is not written, or not yet after some tries."""
    for attempt in range(tries):
        if attempt:
            time.sleep(_READ_PAUSE_S)
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
        except ValueError:
            continue
        if isinstance(holder, dict) and {"host", "pid", "started"} <= holder.keys():
            return holder
    return None


def _is_dead(holder: dict[str, Any] | None) -> bool:
    """Return whether the holder was a process of this machine that has ended."""
    if holder is None or holder["host"] != socket.gethostname() or type(holder["pid"]) is not int:
        return False
    try:
        os.kill(holder["pid"], 0)
        # It may have ended and only its exit code was not asked for yet.
        return Path(f"/proc/{holder['pid']}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False


def _named(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another process"
    return f"process {holder['pid']} on {holder['host']}, started {holder['started']}"
