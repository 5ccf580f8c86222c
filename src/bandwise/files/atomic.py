"""Write-then-rename: a file of ours is either absent, complete and old, or complete and new.

Reading never waits: what stands in the place of a file of ours and is a pipe, socket or device is refused.

Order of operations: temporary name in the same folder, write, fsync of the file, rename, fsync of the folder. An error
of `fsync` is final for that file (the kernel may have dropped the dirty pages): the temporary file is removed and the
caller starts again from the source.
"""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bandwise.errors import CorruptionError, NoSpaceError, UsageError

TEMPORARY_PREFIX = ".tmp-"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_CHUNK_BYTES = 1 << 20


def temporary_path(path: Path) -> Path:
    """Return an unused name beside `path`; always the same folder, so that the rename cannot cross a file system."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def fsync_file(path: Path) -> None:
    """Force the contents of one file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(folder: Path) -> None:
    """Force the names in one folder to the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
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
    """Yield a temporary path; when the block ends well, the file there becomes `path`.

    On an exception the temporary file is removed and `path` is untouched.

    Raises:
        NoSpaceError: the disk is full.
    """
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


def write_text(path: Path, text: str) -> None:
    """Write one UTF-8 text file atomically, with `\\n` line ends."""
    write_bytes(path, text.encode("utf-8"))


def json_bytes(value: Any) -> bytes:
    """Serialise to the one JSON form that we hash and compare: sorted keys, two blanks, a final newline, no NaN.

    Raises:
        ValueError: `value` holds NaN or infinity, which JSON cannot express.
    """
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically in the form of `json_bytes`."""
    write_bytes(path, json_bytes(value))


def read_json(path: Path, *, max_bytes: int = 256 << 20) -> Any:
    """Read a JSON file of ours.

    Raises:
        CorruptionError: the file is missing, no file, larger than `max_bytes`, not UTF-8, not JSON, or repeats a key.
    """
    return parse_json(read_bytes(path, max_bytes=max_bytes), path)


def parse_json(content: bytes, what: object) -> Any:
    """Parse the content of a JSON file of ours.

    Args:
        content: the bytes.
        what: where they come from, for messages.

    Raises:
        CorruptionError: it is not UTF-8, not JSON, or repeats a key.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_refuse_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(f"{what} is damaged: {error}") from error


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def open_regular(path: Path) -> BinaryIO:
    """Open a file of ours for reading; never waits, whatever stands in its place.

    Raises:
        CorruptionError: it is missing, or no regular file but a folder, pipe, socket or device.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise CorruptionError(f"{path} is missing") from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):
            raise CorruptionError(f"{path} is no file, but a socket, a device or a link to itself") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptionError(f"{path} is no file, but a folder, pipe or device")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file of ours.

    Raises:
        CorruptionError: as `open_regular`, or the file is larger than `max_bytes`.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise CorruptionError(f"{path} has {size} bytes; at most {max_bytes} are read")
        return stream.read()


def append_line(path: Path, line: str) -> None:
    """Add a line to a log that nobody relies on; a pipe in its place is an `OSError`, not a wait."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "a", encoding="ascii") as stream:
        stream.write(line + "\n")


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file of ours as 64 hexadecimal digits, read in pieces of 1 MiB.

    Raises:
        CorruptionError: as `open_regular`.
    """
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


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


def require_space(folder: Path, needed_bytes: int, *, reserve_bytes: int = 64 << 20) -> None:
    """Check before the work that `needed_bytes` and a reserve fit on the file system of `folder`.

    Raises:
        NoSpaceError: they do not fit.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + reserve_bytes:
        raise NoSpaceError(
            f"{folder} has {free / 1e9:.2f} GB free, about {needed_bytes / 1e9:.2f} GB are needed "
            f"(and {reserve_bytes / 1e9:.2f} GB in reserve); free some space or choose another folder"
        )


def require_writable(folder: Path) -> None:
    """Create `folder` if need be and prove that a file can be written and renamed there, before any work starts.

    Raises:
        UsageError: the folder cannot be created or written, or its file system cannot put a file in another's place.
        NoSpaceError: the disk is full.
    """
    if os.fsencode(folder).decode("utf-8", "replace") != os.fspath(folder):
        # Parquet files are opened by names in UTF-8.
        raise UsageError(f"the name of the folder {os.fspath(folder)!a} is not UTF-8; choose another with --out")
    probe, other = (folder / f"{TEMPORARY_PREFIX}probe.{os.getpid()}.{secrets.token_hex(4)}" for _ in range(2))
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
    """Fill a temporary folder by `write`, force all that lies in it to disk, and rename it to `folder`.

    `folder` must not exist.

    Raises:
        NoSpaceError: the disk is full; nothing is left behind.
    """
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
