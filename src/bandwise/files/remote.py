"""Files at an address such as `s3://bucket/folder`: copied to the disk whole, and only then read.

Any address that fsspec knows: object stores (`s3://`, `gs://`, `az://`), the hub (`hf://`), `sftp://`, `file://`.
Nothing that reads a store or a run knows of addresses.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bandwise.errors import BandwiseError, CorruptionError, Preempted, UsageError
from bandwise.files.atomic import explain_full_disk, fsync_file, fsync_folder
from bandwise.files.regular import sha256_file
from bandwise.progress import progress

_PIECE_BYTES = 1 << 20
_TRIES = 3
_PAUSE_S = 1.0
_AT_ONCE = 4
_PART = ".part-"

Value = TypeVar("Value")


class Expected(NamedTuple):
    """What a file must be once it has arrived."""

    bytes: int
    sha256: str | None = None
    """None where the file is checked by what is in it."""


def is_address(place: object) -> bool:
    """Say whether a place is an address and no path of this machine."""
    return "://" in str(place)


class Remote:
    """A folder at an address."""

    def __init__(self, address: str) -> None:
        """Connect; an address that cannot be used is a `UsageError`."""
        import fsspec

        self.address = address.rstrip("/")
        try:
            self._system, self._root = fsspec.core.url_to_fs(self.address)
        except ImportError as error:
            raise UsageError(f"{address}: {error}; pip install 'bandwise[remote]' brings what s3:// needs") from error
        except ValueError as error:
            raise UsageError(f"{address}: {error}; give an address such as s3://bucket/folder") from error

    def sizes(self, *folders: str) -> dict[str, int]:
        """Return the bytes of each file below some folders, all when none is named, by name relative to the address."""
        found: dict[str, int] = {}
        for folder in folders or ("",):
            place = f"{self._root}/{folder}".rstrip("/")
            with contextlib.suppress(FileNotFoundError):
                listed: Any = _trying(place, lambda place=place: self._system.find(place, detail=True))
                found |= {path.removeprefix(self._root).lstrip("/"): facts["size"] for path, facts in listed.items()}
        return found

    def read(self, name: str) -> bytes:
        """Return the content of a small file; one that is not there is a `UsageError`."""
        try:
            return _trying(f"{self.address}/{name}", lambda: self._system.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError as error:
            raise UsageError(f"{self.address} has no {name}; look at the address") from error

    def fetch(self, names: Mapping[str, Expected], folder: Path, what: str) -> int:
        """Bring files into a folder, under their names, several at a time, and return how many bytes were fetched.

        A file that is there with its size was checked when it came. One that was broken off goes on where it ended; one
        of another content is a `CorruptionError`. `what` is the word for it in the progress.
        """
        missing = {
            name: expected
            for name, expected in names.items()
            if not ((folder / name).is_file() and (folder / name).stat().st_size == expected.bytes)
        }
        if not missing:
            return 0
        total = sum(expected.bytes for expected in missing.values())
        with (
            explain_full_disk(folder),
            progress(what, total, "bytes") as advance,
            ThreadPoolExecutor(_AT_ONCE) as workers,
        ):
            coming = [workers.submit(self._fetch_one, *item, folder, advance) for item in missing.items()]
            for one in coming:
                one.result()
        return total

    def push(self, folder: Path, names: Iterable[str], what: str, *, replace: Callable[[str], bool]) -> int:
        """Copy files of a folder to the address in the order of their names; return how many bytes were sent.

        A file that is there with its size is left, unless `replace` says of its name that it may have changed.
        """
        ordered = list(names)
        there = self.sizes(*{name.partition("/")[0] for name in ordered})
        sent = [name for name in ordered if replace(name) or there.get(name) != (folder / name).stat().st_size]
        total = sum((folder / name).stat().st_size for name in sent)
        with progress(what, total, "bytes") as advance:
            for name in sent:
                file, target = folder / name, f"{self._root}/{name}"
                _trying(f"{self.address}/{name}", lambda file=file, target=target: self._put(file, target))
                advance(file.stat().st_size)
        return total

    def _put(self, file: Path, target: str) -> None:
        self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._system.put_file(os.fspath(file), target)

    def _fetch_one(self, name: str, expected: Expected, folder: Path, advance: Callable[[int], None]) -> None:
        target = folder / name
        part = target.with_name(f"{_PART}{target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _trying(f"{self.address}/{name}", lambda: self._append(name, part, expected.bytes, advance))
        except FileNotFoundError as error:
            raise CorruptionError(f"{self.address} lacks {name}; copy the whole folder there") from error
        digest, size = sha256_file(part), part.stat().st_size
        if size != expected.bytes or expected.sha256 not in (None, digest):
            part.unlink()
            raise CorruptionError(
                f"{self.address}/{name} is not the file that was written: {size} bytes of {expected.bytes}, SHA-256 "
                f"{digest[:16]}... in place of {str(expected.sha256)[:16]}...; copy a good one there"
            )
        fsync_file(part)
        part.replace(target)
        fsync_folder(target.parent)

    def _append(self, name: str, part: Path, size: int, advance: Callable[[int], None]) -> None:
        if part.exists() and part.stat().st_size > size:
            part.unlink()
        with open(part, "ab") as out, self._system.open(f"{self._root}/{name}", "rb") as stream:
            stream.seek(out.tell())
            # One byte more than it should have tells a file that has grown.
            while out.tell() <= size and (piece := stream.read(_PIECE_BYTES)):
                out.write(piece)
                advance(len(piece))


def _trying(what: str, act: Callable[[], Value]) -> Value:
    """Do something over a network, a few times where it fails; a last failure leaves what has come, and says so."""
    for left in reversed(range(_TRIES)):
        try:
            return act()
        except (BandwiseError, FileNotFoundError):
            raise
        except PermissionError as error:
            raise UsageError(f"{what}: this user may not use it ({error}); look at the credentials") from error
        except Exception as error:
            # Each library has its own errors, few of which are an OSError.
            if isinstance(error, OSError) and error.filename is not None:
                raise
            if not left:
                raise Preempted(
                    f"{what}: {type(error).__name__}: {error}; what has arrived is kept, and the same command goes on"
                ) from error
            time.sleep(_PAUSE_S)
    raise AssertionError


def tree_names(folder: Path) -> Iterator[str]:
    """Yield the names of the files below a folder, in order, without those that begin with a dot."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix()
