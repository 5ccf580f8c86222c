"""Walks class folders, two levels and no deeper, and collects everything that is not as it should be."""

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

from bandwise.errors import UsageError
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS, extension

_EXAMPLES = 5

_REMEDIES = {
    "denied": "may not be read; change their mode or owner",
    "outside": "are links that lead out of the folder; copy what they name, or follow them with --follow-symlinks",
    "repeated": "are links to a folder that is read already, so every picture in it would count twice; remove them",
    "irregular": "are dangling links or no regular files; remove them",
    "misplaced": "lie outside class folders or deeper inside; expected ROOT/train/CLASS/picture or ROOT/CLASS/picture",
}


class Scan:
    """One walk through a root; paths are bytes, relative to it. Nothing is ever opened, so a FIFO cannot block."""

    def __init__(self, root: bytes, *, follow_symlinks: bool = False) -> None:
        self.root = root
        self.follow_symlinks = follow_symlinks
        self.ignored: list[bytes] = []
        self._found: dict[str, list[bytes]] = defaultdict(list)
        self._read: set[tuple[int, int]] = set()

    def class_folders(self, folder: bytes) -> list[bytes]:
        """Return the visible folders in `folder`, sorted; pictures beside them are misplaced."""
        folders = []
        for path, name, kind, _ in self._visible(folder):
            if kind == "folder":
                folders.append(path)
            elif kind == "file" and extension(name) in PICTURE_EXTENSIONS:
                self._found["misplaced"].append(path)
        return folders

    def pictures(self, folder: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield name and size in bytes of each picture of a class folder; folders in it are misplaced.

        A folder that was read already under another name, by a link, is a problem too.
        """
        if not self._is_new(folder):
            self._found["repeated"].append(folder)
            return
        for path, name, kind, size in self._visible(folder):
            if kind == "folder":
                self._found["misplaced"].append(path + b"/")
            elif kind == "file" and extension(name) not in PICTURE_EXTENSIONS:
                self.ignored.append(path)
            elif kind == "file" and not os.access(self._absolute(path), os.R_OK):
                self._found["denied"].append(path)
            elif kind == "file":
                yield path, size

    def raise_first(self) -> None:
        """Report the most fundamental kind of problem that was met."""
        for kind, remedy in _REMEDIES.items():
            if paths := self._found.get(kind):
                raise UsageError(
                    f"{len(paths)} files or folders in {os.fsdecode(self.root)!r} {remedy}: {examples(paths)}"
                )

    def _visible(self, folder: bytes) -> Iterator[tuple[bytes, bytes, Literal["folder", "file"], int]]:
        try:
            with os.scandir(self._absolute(folder)) as listing:
                found = sorted((entry for entry in listing if not entry.name.startswith(b".")), key=lambda e: e.name)
        except PermissionError:
            self._found["denied"].append(folder or b".")
            return
        for entry in found:
            path = folder + b"/" + entry.name if folder else entry.name
            if entry.is_symlink() and not self.follow_symlinks and not self._inside(entry.path):
                self._found["outside"].append(path)
                continue
            try:
                status = entry.stat()
            except PermissionError:
                self._found["denied"].append(path)
                continue
            except OSError:
                self._found["irregular"].append(path)
                continue
            if stat.S_ISDIR(status.st_mode):
                yield path, entry.name, "folder", 0
            elif stat.S_ISREG(status.st_mode):
                yield path, entry.name, "file", status.st_size
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
        return self.root + b"/" + path

    def _inside(self, path: bytes) -> bool:
        return os.path.commonpath([self.root, os.path.realpath(path)]) == self.root


def examples(paths: list[bytes]) -> str:
    """Name up to five of the paths, printable whatever their bytes are."""
    shown = ", ".join(repr(os.fsdecode(path)) for path in sorted(paths)[:_EXAMPLES])
    return shown + (", ..." if len(paths) > _EXAMPLES else "")
