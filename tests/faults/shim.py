"""Makes the n-th change of a folder fail, inside the process that makes it: killed, input/output error, or disk full.

Counted are the calls below the folder that open a file for writing, write, sync, rename, make a folder or delete. What
Arrow writes without Python (the sample list) is counted where it is synced and renamed.
"""

import builtins
import contextlib
import errno
import io
import os
import signal
from pathlib import Path
from typing import Any

OPERATIONS = ("open", "write", "fsync", "rename", "mkdir", "delete")
FAULTS = {"kill": None, "EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
RETRIED = 90
"""Exit code of a process that trusted a file again after its fsync had failed."""
NOT_REACHED = "not reached"

_REAL = {name: getattr(os, name) for name in ("open", "rename", "mkdir", "unlink", "rmdir")}
_REAL_OPEN = io.open


class Shim:
    """Counts one kind of operation below a folder and fails the n-th one."""

    def __init__(self, root: Path, operation: str, number: int, fault: str) -> None:
        assert operation in OPERATIONS
        self._root, self._operation, self._number = os.fspath(root), operation, number
        self._code = FAULTS[fault]
        # A full disk stays full.
        self._lasting = fault == "ENOSPC" and operation == "write"
        self.seen = 0
        self._lost: set[int] = set()
        self._real_fsync = os.fsync

    @property
    def reached(self) -> bool:
        """Whether the fault has happened."""
        return self.seen >= self._number

    def install(self) -> None:
        """Replace the functions of this process, which should be a fork."""
        os.open, os.fsync, os.mkdir = self._open, self._fsync, self._mkdir
        os.rename = os.replace = self._rename
        os.unlink = os.remove = self._delete("unlink")
        os.rmdir = self._delete("rmdir")
        io.open = builtins.open = self._open_stream  # type: ignore[assignment]

    def count(self, operation: str, path: str) -> bool:
        """Count one operation; return whether it is the one that must fail by an error, or die here and now."""
        if operation != self._operation or not self._below(path):
            return False
        self.seen += 1
        if self.seen != self._number and not (self._lasting and self.seen > self._number):
            return False
        if self._code is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def error(self, path: str) -> OSError:
        """Return the error to raise."""
        assert self._code is not None
        return OSError(self._code, os.strerror(self._code), path)

    def _below(self, path: str) -> bool:
        return path == self._root or path.startswith(self._root + "/")

    def _check(self, operation: str, path: Any, dir_fd: int | None = None) -> None:
        text = _absolute(path) if dir_fd is None else f"{_name_of(dir_fd)}/{os.fspath(path)}"
        if self.count(operation, text):
            raise self.error(text)

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            self._check("open", path, dir_fd)
        return _REAL["open"](path, flags, mode, dir_fd=dir_fd)

    def _fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        inode = os.fstat(number).st_ino
        is_file = Path(_name_of(number)).is_file()
        if inode in self._lost:
            os._exit(RETRIED)
        try:
            self._check("fsync", _name_of(number))
        except OSError:
            if is_file:
                self._lost.add(inode)
            raise
        self._real_fsync(number)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._check("mkdir", path, dir_fd)
        _REAL["mkdir"](path, mode, dir_fd=dir_fd)

    def _rename(self, source: Any, target: Any, **folders: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            if Path(source).stat().st_ino in self._lost:
                os._exit(RETRIED)
        self._check("rename", target)
        _REAL["rename"](source, target, **folders)

    def _delete(self, name: str) -> Any:
        def delete(path: Any, *, dir_fd: int | None = None) -> None:
            self._check("delete", path, dir_fd)
            with contextlib.suppress(FileNotFoundError):
                # The number of a deleted file may be given to a new one, which is not lost.
                self._lost.discard(os.stat(path, dir_fd=dir_fd).st_ino)
            _REAL[name](path, dir_fd=dir_fd)

        return delete

    def _open_stream(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wxa+") or not self._below(_absolute(file)):
            return _REAL_OPEN(file, mode, buffering, *rest, **named)
        path = _absolute(file)
        if self.count("open", path):
            raise self.error(path)
        raw = _FailingFile(path, mode.replace("b", "").replace("t", ""), self)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding=named.get("encoding", "utf-8"))


class _FailingFile(io.FileIO):
    """A file whose failing write first puts half of the bytes on the disk, as a real one does."""

    def __init__(self, path: str, mode: str, shim: Shim) -> None:
        super().__init__(path, mode)
        self._path, self._shim = path, shim

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        if self._shim._operation == "write" and self._shim.seen + 1 >= self._shim._number and len(view) > 1:
            half = super().write(view[: len(view) // 2])
            if self._shim.count("write", self._path):
                raise self._shim.error(self._path)
            return half
        if self._shim.count("write", self._path):
            raise self._shim.error(self._path)
        return super().write(view)


def _name_of(descriptor: int) -> str:
    return os.fspath(Path(f"/proc/self/fd/{descriptor}").readlink())


def _absolute(path: Any) -> str:
    # Links stay as they are: what counts is the name that the program uses.
    return os.path.abspath(os.fspath(path))  # noqa: PTH100
