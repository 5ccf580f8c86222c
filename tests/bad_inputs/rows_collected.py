"""Collections as people have them, by the names they were filed under: what `split` says, and what `run` makes of them.

Layouts that are only read or refused are in the other rows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.bad_inputs.bench import encoded
from tests.pictures import make_picture

Files = dict[str, bytes]
"""Content by name."""

CLASSES = ("ant", "bee", "cat")
TWO = CLASSES[:2]
NUMBERED = "{}.jpg"
FISH = ("n01443537 goldfish", "n01629819 European fire salamander")
CSV = {"train.csv": b"image_id,label\n" + b"".join(b"%d.jpg,%s\n" % (n, TWO[n % 2].encode()) for n in range(24))}
NO_HOLDOUT = ("--holdout", "0", "--holdout-min", "0")


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
        words: each is in what `split` says.
        code: the exit code of `split`.
        counts: pictures to train, held out and reported.
        classes: what they are called.
        runs: calls of `run` on it.
        flags: what to add to every command.
        inside: what `--data` is, said in the collection; it itself, said from elsewhere, where this is empty.
    """

    files: Callable[[], Files]
    words: Sequence[str] = ()
    code: int = 0
    counts: tuple[int, int, int] = (27, 9, 12)
    classes: Sequence[str] = CLASSES
    runs: Sequence[Run] = ()
    flags: Sequence[str] = ()
    inside: str = ""


def photo(number: int, label: int = 0, form: str = "JPEG") -> bytes:
    """Return a picture of 48 x 40 pixels, another for every number."""
    return encoded(make_picture(label, number)[:40], form)


def tree(folders: Mapping[str, int], name: str = "{:03d}.jpg", form: str = "JPEG", first: int = 0) -> Files:
    """Return so many pictures in each folder, no two alike."""
    return {
        f"{folder}/{name.format(index)}": photo(1000 * label + index, label, form)
        for label, (folder, count) in enumerate(folders.items())
        for index in range(first, first + count)
    }


def splits(classes: Iterable[str] = CLASSES, train: int = 12, val: int = 4) -> dict[str, int]:
    """Return how many pictures are in the folder of each class."""
    return {f"{split}/{name}": count for split, count in (("train", train), ("val", val)) for name in classes}


def kaggle() -> Files:
    """Return ImageNet-1K as Kaggle unpacks it, with two classes."""
    ids = [name.partition(" ")[0] for name in FISH]
    made = tree({f"ILSVRC/Data/CLS-LOC/train/{each}": 8 for each in ids}, "picture_{}.JPEG")
    made |= tree({"ILSVRC/Data/CLS-LOC/val": 6}, "ILSVRC2012_val_{:08d}.JPEG", first=1)
    rows = [f"ILSVRC2012_val_{number:08d},{ids[number % 2]} 1 2 3 4 " for number in range(1, 7)]
    made["LOC_val_solution.csv"] = "\n".join(["ImageId,PredictionString", *rows, ""]).encode()
    made["LOC_synset_mapping.txt"] = "\n".join(f"{name}, and other words" for name in FISH).encode()
    return made


COLLECTIONS = {
    "00-base": Collection(
        lambda: tree(splits()),
        ["3 classes with 48 pictures, 'ant' (16) to 'cat' (16); 27 to train, 9 held out, 12 reported"],
        runs=[Run(2, ["the fusion 'learned' of 2 branches"], NO_HOLDOUT)],
    ),
    "12-macosx-flat": Collection(
        lambda: (
            tree(dict.fromkeys(CLASSES, 12), NUMBERED)
            | {f"__MACOSX/{name}/._0.jpg": b"\0\5\x16\7".ljust(80, b"\0") for name in CLASSES}
        ),
        ["WARNING: 12-macosx-flat has no reported set"],
        counts=(27, 9, 0),
        runs=[Run(2, ["has no reported set, neither val nor test"]), Run(0, flags=["--reported", "none"])],
    ),
    "14-nested": Collection(
        lambda: tree({f"birds-dataset-master/{folder}": n for folder, n in splits().items()}),
        ["did you mean --data ", "/14-nested/birds-dataset-master?"],
        code=2,
    ),
    "17-val-misses": Collection(
        lambda: tree(splits() | {"val/bee": 0}) | {"val/bee/.keep": b""},
        ["1 of 3 classes have no images in val: 'bee'"],
        code=2,
    ),
    "126-numeric": Collection(
        lambda: tree(splits(sorted(map(str, range(11))), 6, 2)),
        ["11 classes with 88 pictures, '0' (8) to '9' (8)"],
        counts=(33, 33, 22),
        classes=sorted(map(str, range(11))),
    ),
    "172-bad-val": Collection(
        lambda: tree(splits()) | {f"val/ant/{n:03d}.jpg": b"no picture" + bytes([n]) for n in (1, 2)},
        ["WARNING: 2 pictures were skipped, in every band: 2 unidentified; most in class 'ant' (2 of 16)"],
        counts=(27, 9, 10),
        runs=[Run(3, ["WARNING: 2 pictures were skipped"])],
    ),
    "18-csv-flat": Collection(
        lambda: tree({"train_images": 24}, NUMBERED) | CSV,
        counts=(18, 6, 0),
        classes=TWO,
        flags=["--labels", "train.csv"],
    ),
    "one folder beside a table": Collection(
        lambda: tree({"pictures": 24}, NUMBERED) | CSV,
        ["has one class folder; where 'train.csv' holds the labels, give it with --labels"],
        counts=(20, 4, 0),
        classes=["pictures"],
    ),
    "22-kaggle-imagenet": Collection(
        kaggle,
        ["imagenet1k: 2 classes with 22 pictures, 'n01443537 goldfish' (11)"],
        counts=(10, 6, 6),
        classes=FISH,
    ),
    "22-kaggle-imagenet, from within": Collection(
        kaggle, ["2 classes with 22 pictures"], counts=(10, 6, 6), classes=FISH, inside="ILSVRC/Data/CLS-LOC"
    ),
    "24-one-each": Collection(
        lambda: tree(splits(train=1, val=1)),
        ["WARNING: nothing of 24-one-each is held out, for no class has two pictures to train on"],
        counts=(3, 0, 3),
        runs=[Run(2, ["has 3 images to train on"])],
    ),
    "25-one-class": Collection(
        lambda: tree(splits(["ant"])),
        ["WARNING: 25-one-class has one class; a classifier needs at least 2"],
        counts=(9, 3, 4),
        classes=["ant"],
        runs=[Run(2, ["has one class"])],
    ),
    "90-cwd": Collection(
        lambda: tree({f"photos/{folder}": n for folder, n in splits().items()}),
        ["--data 'photos' is the name of a set, and ./photos is in this folder too: give --data ./photos for what"],
        code=2,
        inside="photos",
    ),
    "96-gtsrb-ppm": Collection(
        lambda: tree(splits(["00000", "00001"]), "{:05d}.ppm", "PPM"), counts=(18, 6, 8), classes=("00000", "00001")
    ),
    "170-no-holdout, the mean": Collection(
        lambda: tree(splits()), counts=(36, 0, 12), flags=NO_HOLDOUT, runs=[Run(0, flags=["--fusion", "mean"])]
    ),
    "171-no-holdout, one branch": Collection(
        lambda: tree(splits()), counts=(36, 0, 12), flags=NO_HOLDOUT, runs=[Run(0, flags=["--branches", "3"])]
    ),
}
