"""Write-then-rename: a file of ours is either absent, complete and old, or complete and new.

Order of operations: temporary name in the same folder, write, fsync of the file, rename, fsync of the folder. An error
of `fsync` is final for that file (the kernel may have dropped the dirty pages): the temporary file is removed and the
caller starts again from the source. A full disk is a `NoSpaceError`.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from bandwise.errors import NoSpaceError, UsageError

TEMPORARY_PREFIX = ".tmp-"
_RESERVE_BYTES = 64 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def temporary_path(path: Path) -> Path:
    """Return an unused name beside `path`; always the same folder, so that the rename cannot cross a file system."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def fsync_file(path: Path) -> None:
    """Force the contents of one file to the disk."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(folder: Path) -> None:
    """Force the names in one folder to the disk, so that a rename survives a power cut."""
    _fsync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explain_full_disk(what: Path) -> Iterator[None]:
    """Turn "no space", "over quota" and torch's own words for them into `NoSpaceError`; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpaceError(
                f"no space left while writing {what}: {error.strerror}; "
                "free some space or choose another folder, then run the same command again to resume"
            ) from error
        raise
    except RuntimeError as error:
        text = str(error)
        if "No space left" in text or "Disk quota exceeded" in text:
            raise NoSpaceError(f"no space left while writing {what}: {text}") from error
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file there becomes `path` when the block ends well, else it is removed."""
    temporary = temporary_path(path)
    with explain_full_disk(path):
        try:
            yield temporary
            fsync_file(temporary)
            temporary.replace(path)
            fsync_folder(path.parent)
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if isinstance(error, OSError) and error.filename == os.fspath(temporary):
                # Nobody has asked for a file of that name.
                error.filename = os.fspath(path)
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write one whole file atomically."""
    with replacing(path) as temporary, open(temporary, "xb") as stream:
        stream.write(content)


def create_bytes(path: Path, content: bytes) -> bool:
    """Write one whole file atomically where there is none, however many processes try at the same moment.

    A rename would put it in the place of the one that another process has just written; a link is refused then. Where
    the file system has no links, only what is there before the rename is seen. Returns whether it was written.
    """
    temporary = temporary_path(path)
    with explain_full_disk(path):
        try:
            with open(temporary, "xb") as stream:
                stream.write(content)
            fsync_file(temporary)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if path.exists():
                    return False
                temporary.rename(path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return True


def write_text(path: Path, text: str) -> None:
    """Write one UTF-8 text file atomically, with `\\n` line ends."""
    write_bytes(path, text.encode("utf-8"))


def remove_temporaries(folder: Path) -> list[Path]:
    """Delete what an interrupted writer left in `folder`; call it only while holding the lock of that folder."""
    stale = sorted(folder.glob(f"{TEMPORARY_PREFIX}*"))
    for path in stale:
        # A file system that shows deletions late may list what is gone already.
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return stale


def require_space(folder: Path, needed_bytes: int) -> None:
    """Check before the work that `needed_bytes` and a reserve fit on the file system of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + _RESERVE_BYTES:
        raise NoSpaceError(
            f"{folder} has {free / 1e9:.2f} GB free, about {needed_bytes / 1e9:.2f} GB are needed "
            f"(and {_RESERVE_BYTES / 1e9:.2f} GB in reserve); free some space or choose another folder"
        )


def require_writable(folder: Path) -> None:
    """Create `folder` if need be and prove that a file can be written and renamed there, else raise a `UsageError`."""
    if os.fsencode(folder).decode("utf-8", "replace") != os.fspath(folder):
        # Parquet files are opened by names in UTF-8.
        raise UsageError(f"the name of the folder {os.fspath(folder)!a} is not UTF-8; choose another with --out")
    probe, other = (temporary_path(folder / "probe") for _ in range(2))
    try:
        with explain_full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                probe.write_bytes(b"bandwise")
                other.write_bytes(b"")
                os.rename(probe, other)  # noqa: PTH104
                if other.read_bytes() != b"bandwise":
                    raise OSError(errno.ENOTSUP, "a renamed file does not take the place of another")
            except FileNotFoundError:
                # Whoever holds the lock of the folder has just swept our probe away; the lock tells us in a moment.
                if not folder.is_dir():
                    raise
            finally:
                probe.unlink(missing_ok=True)
                other.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write in {folder}: {error.strerror}; choose another folder with --out") from error


def commit_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a temporary folder by `write`, and rename it to `folder`, which must not exist, or leave nothing behind."""
    temporary = temporary_path(folder)
    with explain_full_disk(folder):
        try:
            temporary.mkdir()
            write(temporary)
            for path in sorted(temporary.rglob("*")):
                (fsync_folder if path.is_dir() else fsync_file)(path)
            fsync_folder(temporary)
            temporary.rename(folder)
            fsync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
