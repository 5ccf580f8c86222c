"""A folder of class folders: `ROOT/train/CLASS/*.jpg` beside `ROOT/val/CLASS/*.jpg` or `ROOT/test/CLASS/*.jpg`."""

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.columns import TableBuilder
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS, SUPPORTED_EXTENSIONS, extension
from bandwise.sources.naming import examples, require_distinct, require_same
from bandwise.sources.reading import read_file
from bandwise.sources.source import Listing

Reported = Literal["auto", "val", "test"]

_LAYOUT = "expected ROOT/train/CLASS/picture or ROOT/CLASS/picture"
_LAYOUT_AND_KINDS = f"{_LAYOUT}, with " + ", ".join(f".{name.decode()}" for name in SUPPORTED_EXTENSIONS)
_REMEDIES = {
    "denied": "may not be read; change their mode or owner",
    "outside": "are links that lead out of the folder; copy what they name, or follow them with --follow-symlinks",
    "repeated": "are links to a folder that is read already, so every picture in it would count twice; remove them",
    "irregular": "are dangling links or no regular files; remove them",
    "misplaced": f"lie outside class folders or deeper inside; {_LAYOUT}",
}


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Pictures in class folders, as `open_folder` found them; the pictures themselves are listed by `entries`.

    Attributes:
        labels: the label of each class folder, by its name.
        train_folder: folder of the training images below the root; empty where the root holds the class folders.
        reported_folder: folder of the reported images, or None.
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    labels: dict[str, int]
    train_folder: bytes
    reported_folder: bytes | None
    follow_symlinks: bool
    fingerprint: dict[str, Any]
    channels: Literal[1, 3] = 3

    def entries(self) -> Listing:
        """List every picture, sorted by name."""
        walk = _Walk(self.root, self.follow_symlinks)
        found = TableBuilder({"labels": np.int32, "sizes": np.int32, "val": np.bool_})
        for folder in dict.fromkeys((self.train_folder, self.reported_folder)):
            for class_folder in [] if folder is None else walk.class_folders(folder):
                pictures = list(walk.pictures(class_folder))
                names, sizes = [path for path, _ in pictures], [size for _, size in pictures]
                label = self.labels[_class_of(class_folder)]
                found.add(names, labels=label, sizes=sizes, val=folder == self.reported_folder)
        walk.raise_first()
        if not len(found):
            raise UsageError(f"{self.root} holds no pictures; {_LAYOUT_AND_KINDS}")
        if walk.ignored:
            say(f"note: {len(walk.ignored)} files of {self.root} are no pictures by name: {examples(walk.ignored)}")
        names, columns = found.sorted_by_name()
        return Listing(names, **columns)

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; `reading.read_file` says what it raises."""
        return read_file(os.fsencode(self.root) + b"/" + path)


def open_folder(
    root: Path, reported: Reported = "auto", name: str = "", *, follow_symlinks: bool = False
) -> FolderSource:
    """Scan a folder for its class folders.

    `train/` holds the training images; `val/`, else `test/`, is the reported set and becomes the split `val`. A root
    that holds class folders directly is all training images. A class is a folder name; labels follow the sorted names.
    Names that begin with a dot, and files whose extension is no picture's, are not read.

    Raises:
        UsageError: the folder is missing or empty; `val` and `test` both exist and `reported` is auto; the reported
            folder is missing; the class sets differ or two class names differ only in case or Unicode form; pictures
            lie beside the class folders; links lead out of the root.
    """
    try:
        resolved = root.expanduser().resolve(strict=True)
    except OSError as error:
        raise UsageError(f"the folder {root} cannot be opened: {error.strerror}") from error
    if not resolved.is_dir():
        raise UsageError(f"{root} is a file; give a folder of class folders, or the name of a set")
    root = resolved
    train_folder, reported_folder = _layout(root, reported, follow_symlinks)
    classes = sorted(_class_names(root, train_folder, follow_symlinks))
    reported_name = None if reported_folder is None else os.fsdecode(reported_folder)
    if reported_folder is not None:
        require_same(str(root), classes, reported_folder.decode(), _class_names(root, reported_folder, follow_symlinks))
    return FolderSource(
        root=root,
        name=name or root.name,
        classes=tuple(classes),
        labels={folder: label for label, folder in enumerate(classes)},
        train_folder=train_folder,
        reported_folder=reported_folder,
        follow_symlinks=follow_symlinks,
        fingerprint={"kind": "folder", "name": name or root.name, "reported": reported_name},
    )


def _layout(root: Path, reported: Reported, follow_symlinks: bool) -> tuple[bytes, bytes | None]:
    """Find the folder of the training images and that of the reported set, relative to the root."""
    top = _folders(root, b"", follow_symlinks)
    found = [name for name in (b"val", b"test") if name in top]
    if b"train" not in top:
        if found:
            raise UsageError(f"{root} has {os.fsdecode(found[0])}/ but no train/; put the training images there")
        if reported != "auto":
            raise UsageError(f"--reported {reported}: {root} has no train/ and no {reported}/, only class folders")
        return b"", None
    if reported != "auto":
        if reported.encode() not in found:
            raise UsageError(f"--reported {reported}: {root} has no folder {reported}/")
        found = [reported.encode()]
    if len(found) == 2:
        raise UsageError(
            f"{root} has both val/ and test/; name the reported set with --reported val or --reported test"
        )
    unread = sorted(set(top) - {b"train", *found})
    if unread:
        say(f"note: not read in {root}: {examples(unread)}")
    return b"train", found[0] if found else None


def _class_names(root: Path, folder: bytes, follow_symlinks: bool) -> list[str]:
    names = [_class_of(path) for path in _folders(root, folder, follow_symlinks)]
    require_distinct(str(root / os.fsdecode(folder)), names)
    return names


def _class_of(folder: bytes) -> str:
    """Return the name of a class folder as text; bytes that are no UTF-8 become escapes such as `\\xe9`."""
    return folder.rpartition(b"/")[2].decode("utf-8", "backslashreplace")


def _folders(root: Path, folder: bytes, follow_symlinks: bool) -> list[bytes]:
    walk = _Walk(root, follow_symlinks)
    folders = walk.class_folders(folder)
    walk.raise_first()
    if not folders:
        where = root / os.fsdecode(folder) if folder else root
        raise UsageError(f"{where} holds no class folders; {_LAYOUT_AND_KINDS}")
    return folders


class _Walk:
    """Walks class folders, two levels and no deeper, and collects everything that is not as it should be.

    Paths are bytes, relative to the root. Nothing is ever opened, so a FIFO cannot block.
    """

    def __init__(self, root: Path, follow_symlinks: bool) -> None:
        self.ignored: list[bytes] = []
        self._root = os.fsencode(root)
        self._follow_symlinks = follow_symlinks
        self._found: dict[str, list[bytes]] = defaultdict(list)
        self._read: set[tuple[int, int]] = set()

    def class_folders(self, folder: bytes) -> list[bytes]:
        """Return the visible folders in `folder`, sorted; pictures beside them are misplaced."""
        folders = []
        for path, status in self._visible(folder):
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            elif extension(path) in PICTURE_EXTENSIONS:
                self._found["misplaced"].append(path)
        return folders

    def pictures(self, folder: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield name and size of each picture of a class folder; folders in it are misplaced.

        A folder that was read already under another name, by a link, is a problem too.
        """
        if not self._is_new(folder):
            self._found["repeated"].append(folder)
            return
        for path, status in self._visible(folder):
            if stat.S_ISDIR(status.st_mode):
                self._found["misplaced"].append(path + b"/")
            elif extension(path) not in PICTURE_EXTENSIONS:
                self.ignored.append(path)
            elif not os.access(self._absolute(path), os.R_OK):
                self._found["denied"].append(path)
            else:
                yield path, status.st_size

    def raise_first(self) -> None:
        """Report the most fundamental kind of problem that was met."""
        for kind, remedy in _REMEDIES.items():
            if paths := self._found.get(kind):
                raise UsageError(
                    f"{len(paths)} files or folders in {os.fsdecode(self._root)!r} {remedy}: {examples(paths)}"
                )

    def _visible(self, folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield the files and folders in `folder` whose names do not begin with a dot."""
        try:
            with os.scandir(self._absolute(folder)) as listing:
                found = sorted((entry for entry in listing if not entry.name.startswith(b".")), key=lambda e: e.name)
        except PermissionError:
            self._found["denied"].append(folder or b".")
            return
        for entry in found:
            path = folder + b"/" + entry.name if folder else entry.name
            if entry.is_symlink() and not self._follow_symlinks and not self._inside(entry.path):
                self._found["outside"].append(path)
                continue
            try:
                status = entry.stat()
            except PermissionError:
                self._found["denied"].append(path)
                continue
            except OSError:
                status = None
            if status and (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
                yield path, status
            else:
                self._found["irregular"].append(path)

    def _is_new(self, folder: bytes) -> bool:
        try:
            status = os.stat(self._absolute(folder))  # noqa: PTH116
        except OSError:
            return True
        known = len(self._read)
        self._read.add((status.st_dev, status.st_ino))
        return len(self._read) > known

    def _absolute(self, path: bytes) -> bytes:
        return self._root + b"/" + path

    def _inside(self, path: bytes) -> bool:
        return os.path.commonpath([self._root, os.path.realpath(path)]) == self._root
