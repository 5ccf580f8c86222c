"""Folders as people have them: what is read of each, what is said of it, and what is refused with the way out."""

import json
from collections.abc import Callable, Sequence

from tests.bad_inputs.bench import Bench, Case, Row, png

from bandwise.store.reading.store import open_store


def layout(*folders: str, tables: Sequence[str] = (), each: int = 4, flags: Sequence[str] = ()):
    """Return a preparation that puts pictures, all different, into these folders, and a table of labels beside."""

    def prepare(bench: Bench) -> Sequence[str]:
        bench.pictures.mkdir()
        for number, folder in enumerate(folders):
            for index in range(each):
                bench.put(f"{folder}/{index}.png", png(number, index))
        for table in tables:
            bench.put(table, b"image_id,label\n0.png,ant\n")
        return bench.split("--json", *flags)

    return prepare


def counts(train: int, val: int, *classes: str) -> Callable[[Bench], None]:
    """Return a check of how many pictures of which classes are in the store."""

    def check(bench: Bench) -> None:
        assert (bench.result["train"], bench.result["val"]) == (train, val)
        assert open_store(bench.store).classes == classes

    return check


def both(split: str, reported: str) -> tuple[str, ...]:
    return tuple(f"{part}/{name}" for part in (split, reported) for name in ("ant", "bee"))


def renamed(*names: str):
    """Return a preparation whose class folder `ant` has files of these names, among them no picture by its name."""

    def prepare(bench: Bench) -> Sequence[str]:
        argv = layout(*both("train", "val"))(bench)
        for number, name in enumerate(names):
            bench.put(f"train/ant/{name}", png(0, 50 + number))
        return argv

    return prepare


def beside(*files: tuple[str, bytes]):
    """Return a preparation that puts files that are no pictures into a sound folder."""

    def prepare(bench: Bench) -> Sequence[str]:
        argv = layout(*both("train", "val"))(bench)
        for name, content in files:
            bench.put(name, content)
        return argv

    return prepare


def named_set(*flags: str, data: str = "photos"):
    """Return a preparation with a folder `photos` in the folder where the command runs."""

    def prepare(bench: Bench) -> Sequence[str]:
        layout(*both("train", "val"))(bench)
        bench.pictures.rename(bench.path / "photos")
        bench.patch.chdir(bench.path)
        return bench.split("--json", *flags, data=data)

    return prepare


NOT_READ = "hold pictures and are not read, for their names begin with a dot"
LIKE_SPLITS = "has no train/, so its folders would be classes, and these are called like splits"

ROWS: dict[str, Row] = {
    "names of splits": (
        *(
            Case(layout(*both(train, reported)), 0, ["2 classes with 16 pictures"], counts(8, 8, "ant", "bee"))
            for train, reported in (("train", "valid"), ("train", "validation"), ("Train", "Val"), ("TRAIN", "Test"))
        ),
        Case(
            layout(*both("train", "valid"), *both("test", "more"), flags=["--reported", "val"]),
            0,
            ["not read in", "'more', 'test'"],
            counts(8, 8, "ant", "bee"),
        ),
        Case(layout(*both("train", "valid"), *both("test", "more")), 2, ["has both val/ and test/; name the reported"]),
        Case(
            layout(*both("train", "valid"), *both("train", "val")), 2, ["'val', 'valid', which are all called like val"]
        ),
        Case(layout(*both("train", "Train")), 2, ["'Train', 'train', which are all called like train"]),
    ),
    "what a run will lack": (
        Case(layout("train/ant", "val/ant"), 0, ["WARNING: pictures has one class; a classifier needs at least 2"]),
        Case(
            layout("train/ant", "train/bee", flags=["--reported", "none"]),
            0,
            ["2 classes"],
            lambda bench: no_words(bench, "WARNING"),
        ),
        Case(
            layout("train/ant", "train/bee"), 0, ["WARNING: pictures has no reported set", "not scored; put one into"]
        ),
        Case(
            layout(*both("train", "val"), each=1, flags=["--holdout", "0.2"]),
            0,
            ["WARNING: nothing of pictures is held out, for no class has two pictures to train on"],
        ),
    ),
    "folders called like splits": (
        *(
            Case(layout(*folders), 2, [LIKE_SPLITS, *map(repr, folders), "put all class folders into ROOT/train/"])
            for folders in (("train_images", "test_images"), ("Training", "Testing"), ("train-set", "validation data"))
        ),
        Case(
            layout("train_images", tables=["train.csv"]),
            2,
            [LIKE_SPLITS, "where 'train.csv' holds the labels, give it with --labels"],
        ),
        Case(
            layout("exam", "quiz", "test"), 2, ["has test/ but no train/", "if test is a class, put all class folders"]
        ),
        Case(
            layout("trains", "tests", "value", "training camp"),
            0,
            (),
            counts(16, 0, *sorted(("trains", "tests", "value", "training camp"))),
        ),
        Case(layout("train/train", "train/bus", "train/test"), 0, ["3 classes"], counts(12, 0, "bus", "test", "train")),
    ),
    "pictures without class folders": (
        *(
            Case(
                layout(*folders, tables=tables),
                2,
                ["lie outside class folders", "; where ", repr(tables[0]), " holds the labels, give it with --labels"],
            )
            for folders, tables in (
                (["."], ["table.csv"]),
                (["train", "test"], ["train.csv", "test.csv"]),
                (["Train", "Test"], ["Train/labels.tsv"]),
                (["train"], ["answers.jsonl"]),
            )
        ),
        Case(layout("Train", "Test"), 2, ["4 files or folders in", "lie outside class folders"]),
    ),
    "hidden folders": (
        *(
            Case(
                layout(*both("train", "val"), *hidden),
                0,
                ["WARNING: ", NOT_READ, *map(repr, hidden)],
                counts(8, 8, "ant", "bee"),
            )
            for hidden in (["train/.cat", "val/.cat"], ["train/ant/.ipynb_checkpoints"], ["val/.thumbnails"])
        ),
        Case(
            beside(("train/.git/config", b"x"), ("train/ant/.DS_Store", b"x")),
            0,
            (),
            lambda bench: no_words(bench, NOT_READ),
        ),
        Case(layout("ant", "bee", "__MACOSX/ant"), 0, ["2 classes"], counts(8, 0, "ant", "bee")),
    ),
    "class names": (
        *(
            Case(
                layout("train/bee", *(f"train/{name}" for name in names)),
                2,
                ["differ only in case, blanks or Unicode", *map(repr, names)],
            )
            for names in (("ant", "ant "), ("red ant", "Red  Ant"), (" ant", "ant"), ("ant\u00a0lion", "ant lion"))
        ),
        Case(
            layout("train/ant", "val/ant "),
            2,
            ["class 'ant' of train/ is spelled 'ant ' in val/ (case, blanks or Unicode"],
        ),
        Case(layout("blackbird", "black bird"), 0, ["2 classes"], counts(8, 0, "black bird", "blackbird")),
    ),
    "a set of the same name": (
        Case(
            named_set(),
            2,
            ["--data 'photos' is the name of a set, and ./photos is in this folder too: give --data ./ph"],
        ),
        Case(named_set("--source", "folder"), 0, ["2 classes"], counts(8, 8, "ant", "bee")),
        Case(named_set(data="./photos"), 0, ["photos: 2 classes"], counts(8, 8, "ant", "bee")),
    ),
    "pictures by their content": (
        *(
            Case(
                renamed(*names),
                0,
                ["16 pictures" if not names else f"{16 + len(names)} pictures"],
                counts(8 + len(names), 8, "ant", "bee"),
            )
            for names in (
                (),
                ("9.jpg_large", "8.jpg?w=200"),
                ("4.JPG.1", "7"),
                ("photo.png~", "photo.image", "IMG_0001"),
            )
        ),
        Case(
            beside(("train/ant/notes.txt", b"BMW, and other cars"), ("train/bee/list", b"P1 is a street")),
            0,
            [
                "WARNING: 11% of the files of",
                "are no pictures by name or content: 'train/ant/notes.txt', 'train/bee/li",
            ],
            counts(8, 8, "ant", "bee"),
        ),
        Case(beside(("train/ant/1.png", b"BM"), ("train/ant/x", b"\xff\xd8\xff")), 0, ["2 pictures were skipped"]),
    ),
}


def no_words(bench: Bench, words: str) -> None:
    assert json.loads(bench.out)["skipped"] == 0
    assert words not in bench.err
