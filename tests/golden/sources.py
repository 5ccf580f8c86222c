"""Cases: sources of every shape, whole and damaged: what is listed, what is refused, and in which words."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.golden.cases import case
from tests.golden.inputs import CLASSES, WORDNET, bmp, make_imagenet1k, tar_of, write
from tests.golden.work import Work


def small_folder(root: Path) -> None:
    """Write two classes with a reported set."""
    for label, name in enumerate(CLASSES[:2]):
        for index in range(5):
            write(root / "train" / name / f"{index}.bmp", bmp(label, index, side=8))
        write(root / "val" / name / "0.bmp", bmp(label, 1000, side=8))


def linked(root: Path) -> None:
    """Add a link to a picture inside, and one that leads out."""
    write(root.parent / "outside.bmp", bmp(0, 50, side=8))
    (root / "train/ash/inside.bmp").symlink_to("0.bmp")
    (root / "train/ash/outside.bmp").symlink_to((root.parent / "outside.bmp").resolve())


FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "plain": (lambda root: None, ""),
    "links": (linked, ""),
    "links-followed": (linked, "--follow-symlinks"),
    "empty-class": (lambda root: [(root / part / "yew").mkdir() for part in ("train", "val")], ""),
    "empty-class-allowed": (
        lambda root: [(root / part / "yew").mkdir() for part in ("train", "val")],
        "--allow-empty-class",
    ),
    "other-classes": (lambda root: (root / "val/ash").rename(root / "val/elm"), ""),
    "case": (lambda root: shutil.copytree(root / "train/ash", root / "train/Ash"), ""),
    "nested": (lambda root: write(root / "train/ash/more/0.bmp", bmp(0, 9, side=8)), ""),
    "beside": (lambda root: write(root / "train/0.bmp", bmp(0, 9, side=8)), ""),
    "hidden": (lambda root: write(root / "train/ash/.hidden.bmp", bmp(0, 9, side=8)), ""),
    "upper": (lambda root: write(root / "train/ash/LOUD.BMP", bmp(0, 9, side=8)), ""),
    "unsupported": (lambda root: write(root / "train/ash/scan.tiff", b"II*\0"), ""),
    "both": (lambda root: shutil.copytree(root / "val", root / "test"), ""),
    "both-chosen": (lambda root: shutil.copytree(root / "val", root / "test"), "--reported test"),
    "no-train": (lambda root: shutil.rmtree(root / "train"), ""),
    "no-pictures": (lambda root: [path.unlink() for path in root.rglob("*.bmp")], ""),
    "one-class": (lambda root: [shutil.rmtree(root / part / "ash") for part in ("train", "val")], ""),
    "folder-as-picture": (lambda root: (root / "train/ash/9.bmp").mkdir(), ""),
    "large": (lambda root: write(root / "train/ash/9.bmp", b"BM" + bytes(70_000)), "--max-bad 0"),
}


@case("sources/folders")
def folders(work: Work) -> None:
    """Class folders with one thing changed each."""
    for name, (change, flags) in FOLDERS.items():
        small_folder(Path("folders", name))
        change(Path("folders", name))
        _split(work, f"folders/{name}", flags)


def _split(work: Work, root: str, flags: str = "") -> None:
    out = f"from-{root}"
    command = f"split --data {root} --out {out} --canvas 8 --bands 0 --holdout-min 1 HERE {flags} --json"
    if work.cli(command, f"$ split {root}") == 0:
        rows = pq.read_table(f"{out}/samples.parquet").to_pylist()
        work.data(f"samples of {root}", [[row["path"].hex(), row["label"], row["split"], row["size"]] for row in rows])
        found = {path.name: np.frombuffer(path.read_bytes(), np.uint8) for path in sorted(Path(out).glob("band-00/*"))}
        work.arrays(f"files of {root}", {"MANIFEST": np.fromfile(f"{out}/MANIFEST.json", np.uint8), **found})


def shard_members(label_as: str = "cls", count: int = 12) -> dict[str, bytes]:
    """Return the members of one shard."""
    members: dict[str, bytes] = {}
    for index in range(count):
        label = index % 2
        content = {"cls": b"%d\n" % label, "word": CLASSES[label].encode(), "json": b'{"label": %d, "a": [1]}' % label}
        members[f"{index:03d}.bmp"] = bmp(label, index, side=8)
        members[f"{index:03d}.{'json' if label_as == 'json' else 'cls'}"] = content[label_as]
    return members


def broken(content: bytes, at: int, what: bytes) -> bytes:
    """Return bytes with some of them replaced."""
    return content[:at] + what + content[at + len(what) :]


def shards() -> dict[str, dict[str, bytes]]:
    """Return folders of shards by name: file name to content."""
    whole = tar_of(shard_members())
    words, text = tar_of(shard_members("word")), b"birch\nash"
    beside = {**shard_members(), "../up.bmp": bmp(0, 50, side=8), "../up.cls": b"0"}
    both = {**shard_members(), "000.png": bmp(0, 51, side=8)}
    unlabelled = {**shard_members(), "zzz.bmp": bmp(0, 52, side=8)}
    return {
        "whole": {"train-0.tar": whole, "val-0.tar": whole},
        "json": {"train-0.tar": tar_of(shard_members("json"))},
        "words": {"train-0.tar": words},
        "words-named": {"train-0.tar": words, "classes.txt": text},
        "words-unnamed": {"train-0.tar": words, "classes.txt": b"birch\noak"},
        "numbers-named": {"train-0.tar": whole, "classes.txt": b"one"},
        "missing-shard": {"train-00000-of-00002.tar": whole},
        "other-names": {"train-0.tar": whole, "notes.tar": whole},
        "cut-in-picture": {"train-0.tar": whole[:2000]},
        "cut-in-header": {"train-0.tar": whole[: 5 * 1024 + 100]},
        "no-end": {"train-0.tar": whole.rstrip(b"\0")},
        "short-end": {"train-0.tar": whole[: (len(whole.rstrip(b"\0")) + 511) // 512 * 512]},
        "second-header": {"train-0.tar": broken(whole, 1024 + 148, b"9")},
        "later-header": {"train-0.tar": broken(whole, 6 * 1024 + 10, b"\xff\xff")},
        "empty": {"train-0.tar": b""},
        "zeros": {"train-0.tar": bytes(10_240)},
        "no-tar": {"train-0.tar": b"this is no archive" * 100},
        "packed": {"train-0.tar": b"\x1f\x8b\x08" + bytes(2000)},
        "up": {"train-0.tar": tar_of(beside)},
        "two-pictures": {"train-0.tar": tar_of(both)},
        "unlabelled": {"train-0.tar": tar_of(unlabelled)},
        "bad-label": {"train-0.tar": tar_of({**shard_members(), "000.cls": b"-1"})},
        "long-names": {"train-0.tar": tar_of({f"{'x' * 120}/{name}": c for name, c in shard_members().items()})},
        "long-names-pax": {"train-0.tar": tar_of({f"{'x' * 300}/{n}": c for n, c in shard_members().items()}, 2)},
        "not-ascii": {"train-0.tar": tar_of({f"\u00e9{name}": c for name, c in shard_members().items()}, 2)},
        "only-test": {"test-0.tar": whole},
        "val-and-test": {"train-0.tar": whole, "val-0.tar": whole, "test-0.tar": whole},
    }


@case("sources/shards")
def webdatasets(work: Work) -> None:
    """WebDataset shards, whole and damaged."""
    for name, files in shards().items():
        for file, content in files.items():
            write(Path("shards", name, file), content)
        _split(work, f"shards/{name}", "--source webdataset")


def table(kind: pa.DataType, labels: list[Any], pictures: list[Any] | None = None) -> pa.Table:
    """Return a table of pictures and labels."""
    content = pictures or [{"bytes": bmp(n % 2, n, side=8), "path": None} for n in range(len(labels))]
    image = pa.struct([("bytes", kind), ("path", pa.string())])
    return pa.table({"image": pa.array(content, image), "label": pa.array(labels)})


@case("sources/parquet")
def parquet(work: Work) -> None:
    """Parquet shards of several forms."""
    numbers = [n % 2 for n in range(12)]
    words = [CLASSES[n % 2] for n in range(12)]
    lost = [None if n == 3 else {"bytes": bmp(n % 2, n, side=8), "path": None} for n in range(12)]
    plain = {"compression": "NONE", "use_dictionary": False}
    forms: dict[str, tuple[pa.Table, dict[str, Any]]] = {
        "plain": (table(pa.binary(), numbers), plain),
        "large": (table(pa.large_binary(), numbers), plain),
        "words": (table(pa.binary(), words), {}),
        "dictionary": (table(pa.binary(), numbers), {"compression": "NONE"}),
        "pages": (table(pa.binary(), numbers), {**plain, "data_page_size": 300, "row_group_size": 5}),
        "pages-2": (table(pa.binary(), numbers), {**plain, "data_page_version": "2.0"}),
        "snappy": (table(pa.binary(), numbers), {"compression": "SNAPPY"}),
        "missing-picture": (table(pa.binary(), numbers, lost), plain),
        "missing-label": (table(pa.binary(), [None, *numbers[1:]]), plain),
        "negative": (table(pa.binary(), [-1, *numbers[1:]]), plain),
        "no-label": (table(pa.binary(), numbers).drop_columns("label"), plain),
    }
    for name, (content, options) in forms.items():
        Path("tables", name, "data").mkdir(parents=True)
        pq.write_table(content, f"tables/{name}/data/train-0.parquet", **options)
        _split(work, f"tables/{name}")
    raw = Path("tables/plain/data/train-0.parquet").read_bytes()
    for name, damaged in {"cut": raw[:-100], "page": broken(raw, 30, b"\xff\xff\xff\xff"), "empty": b""}.items():
        write(Path("tables", name, "train-0.parquet"), damaged)
        _split(work, f"tables/{name}", "--source parquet")


@case("sources/imagenet1k")
def imagenet1k(work: Work) -> None:
    """The archives of ImageNet-1K with one thing changed each."""
    whole = Path("archives/whole")
    make_imagenet1k(whole)
    first = next(iter(WORDNET))
    train, val, kit = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
    changes: dict[str, Callable[[Path], Any]] = {
        "whole": lambda root: None,
        "no-val": lambda root: (root / val).unlink(),
        "no-kit": lambda root: (root / kit).unlink(),
        "cut-kit": lambda root: (root / kit).write_bytes((root / kit).read_bytes()[:500]),
        "cut-train": lambda root: (root / train).write_bytes((root / train).read_bytes()[:9000]),
        "class-header": lambda root: (root / train).write_bytes(broken((root / train).read_bytes(), 512, b"\xff" * 4)),
        "empty-class": lambda root: (root / train).write_bytes(tar_of({f"{first}.tar": tar_of({})})),
        "other-val": lambda root: (root / val).write_bytes(tar_of({"ILSVRC2012_val_00000009.JPEG": bmp(0, 1)})),
    }
    for name, change in changes.items():
        root = Path("archives") / name
        if root != whole:
            shutil.copytree(whole, root)
        change(root)
        _split(work, f"archives/{name}")
