"""A folder of class folders: `ROOT/train/CLASS/*.jpg` beside `ROOT/val/CLASS/*.jpg` or `ROOT/test/CLASS/*.jpg`."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.decoding.sniff import MULTIBAND_EXTENSIONS, SUPPORTED_EXTENSIONS, extension
from bandwise.sources.naming import SPLIT_WORDS, Reported, examples, require_distinct, require_same, split_like
from bandwise.sources.reading import read_file
from bandwise.sources.source import Listing, ListingBuilder
from bandwise.sources.walk import LAYOUT, Walk

_LAYOUT = f"{LAYOUT}, with " + ", ".join(f".{name.decode()}" for name in SUPPORTED_EXTENSIONS)
_MOST_LEFT_OUT = 0.05


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
    channels: int = 3

    def entries(self) -> Listing:
        """List every picture, sorted by name."""
        walk = Walk(self.root, self.follow_symlinks)
        found = ListingBuilder()
        for folder in dict.fromkeys((self.train_folder, self.reported_folder)):
            for class_folder in [] if folder is None else walk.class_folders(folder):
                pictures = list(walk.pictures(class_folder))
                names, sizes = [path for path, _ in pictures], [size for _, size in pictures]
                label = self.labels[_class_of(class_folder)]
                found.add(names, labels=label, sizes=sizes, val=folder == self.reported_folder)
        walk.raise_first()
        if not len(found):
            raise UsageError(f"{self.root} holds no pictures; {_LAYOUT}")
        if walk.hidden:
            say(
                f"WARNING: {len(walk.hidden)} folders of {self.root} hold pictures and are not read, for their names "
                f"begin with a dot: {examples(walk.hidden)}; rename them if they are meant"
            )
        if ignored := len(walk.ignored):
            share = ignored / (ignored + len(found))
            how_many = f"WARNING: {share:.0%} of the files" if share > _MOST_LEFT_OUT else f"note: {ignored} files"
            say(f"{how_many} of {self.root} are no pictures by name or content: {examples(walk.ignored)}")
        return found.listing()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; `reading.read_file` says what it raises."""
        return read_file(os.fsencode(self.root) + b"/" + path)


def open_folder(
    root: Path, reported: Reported = "auto", name: str = "", *, follow_symlinks: bool = False
) -> FolderSource:
    """Scan a folder for its class folders.

    `train/` holds the training images; `val/` (or `valid/`, `validation/`), else `test/`, is the reported set and
    becomes the split `val`; case does not matter. A root that holds class folders directly is all training images. A
    class is a folder name; labels follow the sorted names. Names that begin with a dot are not read, nor files that are
    no pictures by name or content.

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
    walk = Walk(root, follow_symlinks)
    folders = _layout(walk, reported)
    train_folder = folders["train"]
    classes = sorted(_class_names(walk, train_folder))
    if len(classes) == 1 and walk.tables:
        say(f"WARNING: {root} has one class folder{walk.way_out()}")
    reported_split = next((split for split in ("val", "test") if split in folders), None)
    reported_folder = folders.get(reported_split or "")
    if reported_folder is not None:
        require_same(str(root), classes, os.fsdecode(reported_folder), _class_names(walk, reported_folder))
    return FolderSource(
        root=root,
        name=name or root.name,
        classes=tuple(classes),
        labels={folder: label for label, folder in enumerate(classes)},
        train_folder=train_folder,
        reported_folder=reported_folder,
        follow_symlinks=follow_symlinks,
        fingerprint={"kind": "folder", "name": name or root.name, "reported": reported_split},
        channels=_channels(root, train_folder, follow_symlinks),
    )


def _channels(root: Path, folder: bytes, follow_symlinks: bool) -> int:
    """Return the channels of the first training picture where it is an array or a TIFF of several bands, or else 3."""
    walk = Walk(root, follow_symlinks)
    first = next((path for place in walk.class_folders(folder) for path, _ in walk.pictures(place)), b"")
    if extension(first) not in MULTIBAND_EXTENSIONS:
        return 3
    from bandwise.sources.decoding.multiband import channels_of

    return channels_of(read_file(os.fsencode(root) + b"/" + first)) or 3


def _layout(walk: Walk, reported: Reported) -> dict[str, bytes]:
    """Find the folder of the training images, `train`, and of the reported set, `val` or `test`, relative to the root.

    The training images are in the root itself where it has no `train/`.
    """
    root = walk.root
    by_split: dict[str, list[bytes]] = defaultdict(list)
    for name in _folders(walk, b""):
        by_split[SPLIT_WORDS.get(_class_of(name).lower(), "")].append(name)
    unread = by_split.pop("", [])
    for split, names in by_split.items():
        if len(names) > 1:
            raise UsageError(
                f"{root} has {examples(names)}, which are all called like {split}; leave one of them there"
            )
    folders = {split: names[0] for split, names in by_split.items()}
    if "train" not in folders:
        if folders:
            shown = os.fsdecode(min(folders.values()))
            raise UsageError(
                f"{root} has {shown}/ but no train/; put the training images there, in class folders; if {shown} is a "
                "class, put all class folders into a folder train/"
            )
        if reported not in ("auto", "none"):
            raise UsageError(f"--reported {reported}: {root} has no train/ and no {reported}/, only class folders")
        if like := [name for name in unread if split_like(_class_of(name))]:
            raise UsageError(
                f"{root} has no train/, so its folders would be classes, and these are called like splits: "
                f"{examples(like)}; put the class folders of a split into ROOT/train/ and ROOT/val/, or, if these are "
                f"classes, put all class folders into ROOT/train/{walk.way_out()}"
            )
        return {"train": b""}
    if reported != "auto":
        if reported not in ("none", *folders):
            raise UsageError(f"--reported {reported}: {root} has no folder {reported}/")
        unread += [folders.pop(split) for split in ("val", "test") if split in folders and split != reported]
    if len(folders) == 3:
        raise UsageError(
            f"{root} has both val/ and test/; name the reported set with --reported val or --reported test"
        )
    if unread:
        say(f"note: not read in {root}: {examples(unread)}")
    return folders


def _class_names(walk: Walk, folder: bytes) -> list[str]:
    names = [_class_of(path) for path in _folders(walk, folder)]
    require_distinct(str(walk.root / os.fsdecode(folder)), names)
    return names


def _class_of(folder: bytes) -> str:
    """Return the name of a class folder as text; bytes that are no UTF-8 become escapes such as `\\xe9`."""
    return folder.rpartition(b"/")[2].decode("utf-8", "backslashreplace")


def _folders(walk: Walk, folder: bytes) -> list[bytes]:
    folders = walk.class_folders(folder)
    walk.raise_first()
    if not folders:
        where = walk.root / os.fsdecode(folder) if folder else walk.root
        raise UsageError(f"{where} holds no class folders; {_LAYOUT}{walk.way_out()}")
    return folders
