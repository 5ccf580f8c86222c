"""A tar of class tars, or a folder of them: `n01440764.tar` holds the pictures of class n01440764."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandwise.errors import UsageError
from bandwise.progress import progress, say
from bandwise.sources.archives.tar import members
from bandwise.sources.columns import Names
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS, extension
from bandwise.sources.naming import examples
from bandwise.sources.reading import Region, open_archive

MAX_PICTURE_BYTES = 256 << 20

_CLASS_TAR = re.compile(rb"(?:.*/)?(n[0-9]{8})\.tar")


@dataclass(frozen=True, slots=True)
class ClassTar:
    """A class, the file that its tar lies in or is, and where it begins and ends there."""

    wordnet_id: str
    path: Path
    start: int
    stop: int


@dataclass(frozen=True, eq=False, slots=True)
class Pictures:
    """The pictures of one tar, sorted by their names without folders: offsets int64 `(N,)`, sizes int32 `(N,)`."""

    names: Names
    offsets: np.ndarray
    sizes: np.ndarray


def class_tar_files(path: Path) -> tuple[Path, ...]:
    """Return the files that class tars lie in: the tar itself, or those of a folder."""
    if not path.is_dir():
        return (path,)
    return tuple(sorted(file for file in path.iterdir() if _CLASS_TAR.fullmatch(os.fsencode(file.name))))


def find_class_tars(path: Path) -> list[ClassTar]:
    """List the class tars in a tar or a folder, sorted by class."""
    others: list[bytes] = []
    if path.is_dir():
        found = [ClassTar(file.stem, file, 0, file.stat().st_size) for file in class_tar_files(path)]
    else:
        found = []
        with open_archive(path) as region:
            for member in members(region):
                if match := _CLASS_TAR.fullmatch(member.name):
                    found.append(ClassTar(match[1].decode(), path, member.offset, member.offset + member.size))
                else:
                    others.append(member.name)
    if not found:
        held = f"; it holds {examples(others)}" if others else ""
        raise UsageError(f"{path} holds no class tars such as n01440764.tar{held}")
    if others:
        say(f"note: not read in {path}: {examples(others)}")
    repeated = [name for name, count in Counter(tar.wordnet_id for tar in found).items() if count > 1]
    if repeated:
        raise UsageError(
            f"{path} holds {len(repeated)} class tars twice: {', '.join(sorted(repeated)[:5])}; remove one of each"
        )
    return sorted(found, key=lambda tar: tar.wordnet_id)


def scan_class_tars(tars: Sequence[ClassTar]) -> Iterator[tuple[ClassTar, Pictures]]:
    """Yield the pictures of each class; only headers are read."""
    passed_over: Counter[str] = Counter()
    ignored: list[bytes] = []
    with progress("index", len(tars), "classes") as advance:
        for path, in_file in itertools.groupby(tars, key=lambda tar: tar.path):
            with open_archive(path) as opened:
                for tar in in_file:
                    whole = (tar.start, tar.stop) == (opened.start, opened.stop)
                    where = opened.where if whole else f"{tar.wordnet_id}.tar at byte {tar.start} of {opened.where}"
                    region = Region(opened.read_at, tar.start, tar.stop, where)
                    yield tar, find_pictures(region, passed_over, ignored)
                    advance(1)
    say_passed_over(passed_over, ignored)


def say_passed_over(passed_over: Counter[str], ignored: list[bytes]) -> None:
    """Print what an archive holds besides pictures, if anything but folders."""
    if ignored:
        say(f"note: {len(ignored)} members are no pictures by name: {examples(ignored)}")
    del passed_over["folders"]
    if passed_over:
        say(f"note: passed over: {', '.join(f'{count} {kind}' for kind, count in sorted(passed_over.items()))}")


def find_pictures(region: Region, passed_over: Counter[str], ignored: list[bytes]) -> Pictures:
    """Return the pictures of a flat tar, whose folders do not matter."""
    found: list[tuple[bytes, int, int]] = []
    for name, offset, size in members(region, passed_over):
        base = name.rpartition(b"/")[2]
        if base.startswith(b".") or extension(base) not in PICTURE_EXTENSIONS:
            ignored.append(name)
            continue
        require_picture_size(region.where, name, size)
        found.append((base, offset, size))
    found.sort()
    repeated = [first[0] for first, second in itertools.pairwise(found) if first[0] == second[0]]
    if repeated:
        raise UsageError(f"{region.where} holds {len(repeated)} names twice: {examples(repeated)}; remove one of each")
    return Pictures(
        names=Names.of(name for name, _, _ in found),
        offsets=np.array([offset for _, offset, _ in found], np.int64),
        sizes=np.array([size for _, _, size in found], np.int32),
    )


def require_picture_size(where: str, name: bytes, size: int) -> None:
    """Refuse a member that is larger than any photograph."""
    if size > MAX_PICTURE_BYTES:
        raise UsageError(
            f"{where}: {examples([name])} has {size} bytes; a picture may have {MAX_PICTURE_BYTES}: "
            "remove it from the archive"
        )
