"""Walks class folders, two levels and no deeper, collects all that is not as it should be, and says what mends it."""

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.sources.decoding.sniff import ARRAY_EXTENSIONS, PICTURE_EXTENSIONS, begins_like_a_picture, extension
from bandwise.sources.naming import SPLIT_WORDS, examples
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
# As far as one looks for what is meant: so many folders of a level, so many levels down.
_LOOKED_AT, _DEPTH = 300, 4


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
        return _advice(self.root)

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


def _advice(root: Path) -> str:
    """Return the one command or rename that mends a layout, where it can be seen, as an addition to a message."""
    looks = (_saved_to_disk, _backslashes, _packed, _unnamed_shards, _nested, _without_classes, _deeper)
    return next((f"; {text}" for look in looks if (text := look(root))), "")


def _nested(root: Path) -> str:
    """Find the folder that is meant further down, as archives and repositories have one around theirs."""
    if _splits(root):
        return ""
    level = [root]
    for _ in range(_DEPTH):
        level = list(islice((child for folder in level for child in _folders(folder)), _LOOKED_AT))
        if found := [folder for folder in level if "train" in _splits(folder) or _has_train_shards(folder)]:
            return f"did you mean --data {found[0]}?"
    alone = _folders(root)
    if len(alone) == 1 and len(_folders(alone[0])) > 1:
        return f"did you mean --data {alone[0]}?"
    return ""


def _deeper(root: Path) -> str:
    """Find class folders that lie in folders of their own."""
    top = _splits(root).get("train", root)
    groups = [folder for folder in _folders(top) if _folders(folder) and not _has_pictures(folder)]
    if not groups or not any(_has_pictures(child) for child in _folders(groups[0])):
        return ""
    places = sorted(_splits(root).values()) or [root]
    return f"class folders lie one level too deep: {' && '.join(f'mv {place}/*/* {place}/' for place in places)}"


def _without_classes(root: Path) -> str:
    """Find pictures of a split that lie in no class folder."""
    splits = _splits(root)
    if "train" not in splits:
        return ""
    if _has_pictures(splits["train"]) and not _folders(splits["train"]):
        beside = [folder.name for folder in _folders(root) if folder not in splits.values() and _has_pictures(folder)]
        if beside:
            return f"if train is a class as {beside[0]!r} is, put all class folders into a folder {root}/train/"
        return "pictures of one class belong into a folder of its name, or a table into the folder (see --labels)"
    if flat := [folder for split, folder in splits.items() if split != "train" and _has_pictures(folder)]:
        return (
            f"the pictures in {flat[0]} have no class, so nothing can be scored on them: move that folder out of "
            f"{root} (`bandwise predict` classifies its pictures), or put them into class folders"
        )
    return ""


def _backslashes(root: Path) -> str:
    if not any("\\" in path.name for path in _children(root)):
        return ""
    return "names hold backslashes, as an archive packed on Windows gives them: unpack it with `7z x` or `bsdtar -xf`"


def _packed(root: Path) -> str:
    ends = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
    if not any(path.name.endswith(ends) for path in _children(root)):
        return ""
    return f"compressed shards are not read: decompress them once, for example with gunzip {root}/*.tar.gz"


def _unnamed_shards(root: Path) -> str:
    first = next((path.name for path in _children(root) if path.suffix in (".tar", ".parquet")), "")
    if not first:
        return ""
    return (
        f"shards are found by the split in their names: call those to train on as train-{first}, and others val-{first}"
    )


def _saved_to_disk(root: Path) -> str:
    if not any((root / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return ""
    return (
        "this is what `save_to_disk` of `datasets` writes; write shards in place of it: "
        f'load_from_disk("{root}")["train"].to_parquet("shards/train-00000-of-00001.parquet"), and so on'
    )


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in islice(folder.iterdir(), 100 * _LOOKED_AT) if not path.name.startswith("."))
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if path.is_dir()]


def _splits(folder: Path) -> dict[str, Path]:
    return {SPLIT_WORDS[path.name.lower()]: path for path in _folders(folder) if path.name.lower() in SPLIT_WORDS}


def _has_pictures(folder: Path) -> bool:
    return any(extension(bytes(path)) in PICTURE_EXTENSIONS for path in _children(folder))


def _has_train_shards(folder: Path) -> bool:
    shards = [path for place in (folder, folder / "data") for path in _children(place)]
    return any(path.suffix in (".parquet", ".tar") and path.name.startswith("train") for path in shards)
