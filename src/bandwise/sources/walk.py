"""Walks class folders, two levels and no deeper, and collects everything that is not as it should be."""

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.sources.decoding.sniff import ARRAY_EXTENSIONS, PICTURE_EXTENSIONS, begins_like_a_picture, extension
from bandwise.sources.guidance import advice
from bandwise.sources.naming import examples
from bandwise.sources.reading import read_file

LAYOUT = "expected ROOT/train/CLASS/picture or ROOT/CLASS/picture"

_REMEDIES = {
    "denied": "may not be read; change their mode or owner",
    "outside": "are links that lead out of the folder; copy what they name, or follow them with --follow-symlinks",
    "repeated": "are links to a folder that is read already, so every picture in it would count twice; remove them",
    "irregular": "are dangling links or no regular files; remove them",
    "misplaced": f"lie outside class folders or deeper inside; {LAYOUT}",
}
_TABLES = (b".csv", b".tsv", b".jsonl")
_SNIFFED_BYTES = 16
# What macOS puts beside the files that it packs.
_JUNK = b"__MACOSX"


class Walk:
    """One walk through a root; paths are bytes, relative to it.

    Attributes:
        ignored: files in class folders that are no pictures.
        tables: files beside the class folders that may hold labels.
        hidden: folders that hold pictures and are not read, because their names begin with a dot.
    """

    def __init__(self, root: Path, follow_symlinks: bool) -> None:
        self.root = root
        self.ignored: list[bytes] = []
        self.hidden: list[bytes] = []
        self.tables: list[bytes] = []
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
            elif path.endswith(_TABLES) and path not in self.tables:
                self.tables.append(path)
        return folders

    def pictures(self, folder: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield name and size of each picture of a class folder; folders in it are misplaced.

        A file is a picture by its name or, where its name does not say, by its first bytes; an array of NumPy is one
        where the folder has no others. A folder that was read already under another name, by a link, is a problem too.
        """
        if not self._is_new(folder):
            self._found["repeated"].append(folder)
            return
        arrays, others = list[tuple[bytes, int]](), False
        for path, status in self._visible(folder):
            if stat.S_ISDIR(status.st_mode):
                self._found["misplaced"].append(path + b"/")
            elif not os.access(self._absolute(path), os.R_OK):
                self._found["denied"].append(path)
            elif extension(path) in PICTURE_EXTENSIONS or begins_like_a_picture(
                read_file(self._absolute(path), count=min(_SNIFFED_BYTES, status.st_size))
            ):
                others = True
                yield path, status.st_size
            elif extension(path) in ARRAY_EXTENSIONS:
                arrays.append((path, status.st_size))
            else:
                self.ignored.append(path)
        if others:
            self.ignored += [path for path, _ in arrays]
        else:
            yield from arrays

    def raise_first(self) -> None:
        """Report the most fundamental kind of problem that was met."""
        for kind, remedy in _REMEDIES.items():
            if paths := self._found.get(kind):
                raise UsageError(
                    f"{len(paths)} files or folders in {str(self.root)!r} {remedy}: {examples(paths)}"
                    f"{self.way_out() if kind == 'misplaced' else ''}"
                )

    def way_out(self) -> str:
        """Return an addition to a message about a layout that is not read: a table to give, or what else mends it."""
        if self.tables:
            return f"; where {examples(self.tables)} holds the labels, give it with --labels"
        return advice(self.root)

    def _visible(self, folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield the files and folders in `folder` whose names do not begin with a dot."""
        try:
            with os.scandir(self._absolute(folder)) as listing:
                found = sorted(listing, key=lambda entry: entry.name)
        except PermissionError:
            self._found["denied"].append(folder or b".")
            return
        for entry in found:
            path = folder + b"/" + entry.name if folder else entry.name
            if self._is_hidden(entry, path):
                continue
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

    def _is_hidden(self, entry: os.DirEntry[bytes], path: bytes) -> bool:
        """Say whether a name is not read, and note it where pictures lie under it."""
        if entry.name == _JUNK or not entry.name.startswith(b"."):
            return entry.name == _JUNK
        with contextlib.suppress(OSError):
            if any(extension(name) in PICTURE_EXTENSIONS for name in os.listdir(entry.path)):  # noqa: PTH208
                self.hidden.append(path)
        return True

    def _absolute(self, path: bytes) -> bytes:
        return os.fsencode(self.root) + b"/" + path

    def _inside(self, path: bytes) -> bool:
        root = os.fsencode(self.root)
        return os.path.commonpath([root, os.path.realpath(path)]) == root
