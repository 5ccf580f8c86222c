"""A folder of class folders: `ROOT/train/CLASS/*.jpg` beside `ROOT/val/CLASS/*.jpg` or `ROOT/test/CLASS/*.jpg`."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.columns import TableBuilder
from bandwise.sources.decoding.sniff import SUPPORTED_EXTENSIONS
from bandwise.sources.folders.scan import Scan, examples
from bandwise.sources.reading import read_file
from bandwise.sources.source import Listing

Reported = Literal["auto", "val", "test"]

_LAYOUT = "expected ROOT/train/CLASS/picture or ROOT/CLASS/picture, with " + ", ".join(
    f".{name.decode()}" for name in SUPPORTED_EXTENSIONS
)


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
        scan = Scan(os.fsencode(self.root), follow_symlinks=self.follow_symlinks)
        reported = {self.train_folder: False}
        if self.reported_folder is not None:
            reported[self.reported_folder] = True
        found = TableBuilder({"labels": np.int32, "sizes": np.int32, "val": np.bool_})
        for folder, val in reported.items():
            for class_folder in scan.class_folders(folder):
                pictures = list(scan.pictures(class_folder))
                names, sizes = [path for path, _ in pictures], [size for _, size in pictures]
                found.add(names, labels=self.labels[_class_of(class_folder)], sizes=sizes, val=val)
        scan.raise_first()
        if not len(found):
            raise UsageError(f"{self.root} holds no pictures; {_LAYOUT}")
        if scan.ignored:
            say(f"note: {len(scan.ignored)} files of {self.root} are no pictures by name: {examples(scan.ignored)}")
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
    root = _existing(root)
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


def require_distinct(where: str, names: Iterable[str]) -> None:
    """Refuse names that some file systems or people cannot tell apart: equal but for case or Unicode form."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_folded(name)].append(name)
    for same in alike.values():
        if len(same) > 1:
            raise UsageError(
                f"{where} has class folders that differ only in case or Unicode form: "
                f"{', '.join(ascii(name) for name in sorted(same))}; merge or rename them"
            )


def require_same(where: str, train: Iterable[str], reported_folder: str, reported: Iterable[str]) -> None:
    """Check that the training and the reported images have the same classes."""
    only_train, only_reported = set(train) - set(reported), set(reported) - set(train)
    if not only_train and not only_reported:
        return
    folded = {_folded(name): name for name in only_train}
    for name in sorted(only_reported):
        if twin := folded.get(_folded(name)):
            raise UsageError(
                f"{where}: class {twin!a} of train/ is spelled {name!a} in {reported_folder}/ "
                "(case or Unicode form); rename one"
            )
    raise UsageError(
        f"{where}: the classes of train/ and {reported_folder}/ differ; "
        f"only in train/: {_listed(only_train)}; only in {reported_folder}/: {_listed(only_reported)}"
    )


def _existing(root: Path) -> Path:
    try:
        resolved = root.expanduser().resolve(strict=True)
    except OSError as error:
        raise UsageError(f"the folder {root} cannot be opened: {error.strerror}") from error
    if not resolved.is_dir():
        raise UsageError(f"{root} is a file; give a folder of class folders, or the name of a set")
    return resolved


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
    scan = Scan(os.fsencode(root), follow_symlinks=follow_symlinks)
    folders = scan.class_folders(folder)
    scan.raise_first()
    if not folders:
        where = root / os.fsdecode(folder) if folder else root
        raise UsageError(f"{where} holds no class folders; {_LAYOUT}")
    return folders


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _listed(names: set[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:10])
    return (shown or "none") + (", ..." if len(names) > 10 else "")
