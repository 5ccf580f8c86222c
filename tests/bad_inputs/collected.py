"""Small collections in the layouts that people have: what is in each folder, archive or table, and what is said."""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tests.bad_inputs.bench import encoded
from tests.pictures import make_picture
from tests.sources.imagenet import tar_of

Files = dict[str, bytes | str]
"""Content by name; of a link, where it leads."""

CLASSES = ("ant", "bee", "cat")
TWO = CLASSES[:2]
POSITIONS = ("0", "1", "2")


@dataclass(frozen=True)
class Run:
    """What `run` of two bands ends with."""

    code: int
    words: Sequence[str] = ()
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Collection:
    """What a collection holds, and what is said of it.

    Attributes:
        files: makes the content by name.
        code: the exit code of `split`.
        words: each is in what `split` says.
        counts: pictures to train, held out and reported.
        classes: what they are called.
        runs: calls of `run` on it.
        flags: what to add to every command.
        inside: what `--data` is, said in the collection; it itself, said from elsewhere, where this is empty.
    """

    files: Callable[[], Files]
    code: int
    words: Sequence[str] = ()
    counts: tuple[int, int, int] = (27, 9, 12)
    classes: Sequence[str] = CLASSES
    runs: Sequence[Run] = ()
    flags: Sequence[str] = ()
    inside: str = ""


def read(files: Callable[[], Files], *words: str, **options) -> Collection:
    return Collection(files, 0, words, **options)


def refused(files: Callable[[], Files], *words: str, **options) -> Collection:
    return Collection(files, 2, words, **options)


LACKS_REPORTED = Run(2, ["has no reported set, neither val nor test"])
UNSCORED = Run(0, flags=["--reported", "none"])


def photo(number: int, label: int = 0, form: str = "JPEG") -> bytes:
    """Return a picture of 48 x 40 pixels, another for every number."""
    return encoded(Image.fromarray(make_picture(label, number)[:40]), form)


def tree(
    folders: Mapping[str, int], name: str = "{:03d}.jpg", draw: Callable[[int, int], bytes] = photo, first: int = 0
) -> Files:
    """Return so many pictures in each folder, no two alike."""
    made: Files = {}
    for label, (folder, count) in enumerate(folders.items()):
        for index in range(first, first + count):
            made[f"{folder}/{name.format(index)}".removeprefix("./")] = draw(1000 * label + index, label)
    return made


def splits(classes: Iterable[str] = CLASSES, train: int = 12, val: int = 4, reported: str = "val") -> dict[str, int]:
    """Return how many pictures are in the folder of each class."""
    counts = {"train": train, reported: val}
    return {f"{split}/{name}": count for split, count in counts.items() for name in classes if count}


def tar(
    count: int,
    key: Callable[[int], str] = "{:06d}".format,
    picture: str = "jpg",
    label: str = "cls",
    says: Callable[[int], int] = int,
    first: int = 0,
) -> bytes:
    """Return a WebDataset shard; `says` turns the number of a class into a label."""
    members = {}
    for index in range(count):
        members[f"{key(index)}.{label}"] = b"%d" % says(index % 3)
        members[f"{key(index)}.{picture}"] = photo(first + index, index % 3)
    return tar_of(members)


def captioned(first: int) -> bytes:
    """Return a shard of pictures with a caption each and no label, as img2dataset writes them."""
    members = {}
    for index in range(12):
        key = f"{first + index:09d}"
        members |= {f"{key}.jpg": photo(first + index), f"{key}.json": b"{}", f"{key}.txt": b"a photograph"}
    return tar_of(members)


def table(
    count: int,
    image: str = "image",
    label: str = "label",
    names: Sequence[str] = (),
    says: Callable[[int], Any] = int,
    kind: pa.DataType | None = None,
    first: int = 0,
    plain: bool = False,
    by_path: bool = False,
) -> bytes:
    """Return a Parquet shard, with the names of the classes as the hub writes them where there are some.

    Args:
        count: pictures; their classes take turns.
        image: the column of the pictures.
        label: the column of the labels.
        names: of the classes.
        says: turns the number of a class into a label.
        kind: the type of the labels.
        first: number of the first picture.
        plain: bytes in place of a structure of bytes and path.
        by_path: no bytes in that structure.
    """
    contents = [photo(first + index, index % 3) for index in range(count)]
    parts = [{"bytes": None, "path": "a.jpg"} if by_path else {"bytes": each, "path": None} for each in contents]
    of_parts = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pictures = contents if plain else pa.array(parts, of_parts)
    made = pa.table({image: pictures, label: pa.array([says(index % 3) for index in range(count)], kind)})
    if names:
        features = {image: {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
        made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    pq.write_table(made, stream)
    return stream.getvalue()


def hub(**options: Any) -> Files:
    """Return the two shards of a set of the hub, 36 pictures to train and 12 to report on."""
    return {
        "train-00000-of-00001.parquet": table(36, **options),
        "validation-00000-of-00001.parquet": table(12, first=900, **options),
    }


def frames(**options: Any) -> Files:
    """Return the two files that a program for data frames wrote."""
    return {"train.parquet": table(36, **options), "val.parquet": table(12, first=900, **options)}


def wds(train: str = "train-000000.tar", val: str = "val-000000.tar", **options: Any) -> Files:
    """Return two WebDataset shards, 36 pictures to train and 12 to report on."""
    return {train: tar(36, **options), val: tar(12, first=900, **options)}


def grey(bits: int) -> Callable[[int, int], bytes]:
    """Return what draws grey pictures of 16 bits that use fewer."""
    return lambda number, _: encoded(
        Image.fromarray(np.random.default_rng(number).integers(0, 1 << bits, (40, 48), np.uint16)), "PNG"
    )


def white_icon(number: int, label: int) -> bytes:
    """Return a white drawing on a transparent ground."""
    pixels = np.full((40, 48, 4), 255, np.uint8)
    pixels[..., 3] = make_picture(label, number)[:40, :, 0]
    return encoded(Image.fromarray(pixels), "PNG")
