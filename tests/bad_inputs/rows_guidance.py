"""Layouts that are not read: one error that says what was seen, and the one command or rename that mends it."""

from collections.abc import Callable, Sequence

from tests.bad_inputs.bench import Bench, Case, Row, png
from tests.bad_inputs.rows_shards import PLAIN, keyed, parquet, shards
from tests.sources.imagenet import tar_of


def files(*folders: str, also: Sequence[str] = (), name: str = "{}.png"):
    """Return a preparation of two pictures in each of these folders, and of other files."""

    def prepare(bench: Bench) -> Sequence[str]:
        bench.pictures.mkdir()
        for number, folder in enumerate(folders):
            for index in range(2):
                bench.put(f"{folder}/{name.format(index)}", png(number, index))
        for other in also:
            bench.put(other, b"x")
        return bench.split()

    return prepare


def said(*words: str, prepare: Callable[[Bench], Sequence[str]]) -> Case:
    return Case(prepare, 2, words)


def one_based(shard: int) -> dict[str, bytes]:
    return {
        name: b"%d" % (int(content) + 1) if name.endswith("cls") else content for name, content in PLAIN(shard).items()
    }


def codes(shard: int) -> dict[str, bytes]:
    return {name: b"205" if name == "p00.cls" else content for name, content in PLAIN(shard).items()}


NESTED = ("birds-master/train/ant", "birds-master/train/bee")

ROWS: dict[str, Row] = {
    "layouts that are not read": (
        said("/pictures/birds-master?", "did you mean --data ", prepare=files(*NESTED)),
        said(
            "did you mean --data ", "/pictures/a/b/birds?", prepare=files("a/b/birds/Train/ant", "a/b/birds/Train/bee")
        ),
        said("/pictures/images?", prepare=files("images/ant", "images/bee", also=["classes.txt"])),
        said("/pictures/default?", prepare=shards(parquet, "default/train/0.parquet", "default/val/0.parquet")),
        said("/pictures/snapshots/abc?", prepare=shards(parquet, "snapshots/abc/data/train-0.parquet")),
        said(
            "class folders lie one level too deep: mv ",
            "/pictures/train/*/* ",
            "&& mv ",
            prepare=files("train/a/abbey", "train/b/bakery", "val/a/abbey", "val/b/bakery"),
        ),
        said(
            "if train is a class as 'bus' is, put all class folders into a folder", prepare=files("bus", "car", "train")
        ),
        said("pictures of one class belong into a folder of its name, or a table", prepare=files("Train", "Test")),
        said(
            "/pictures/test have no class, so nothing can be scored on them: move that folder out of",
            prepare=files("train/ant", "train/bee", "test"),
        ),
        said("names hold backslashes", "unpack it with `7z x`", prepare=files(".", name="train\\ant\\{}.png")),
        said(
            "compressed shards are not read: decompress them once, for example with gunzip ",
            prepare=shards(PLAIN, "train-0.tar.gz"),
        ),
        said(
            "shards are found by the split in their names: call those to train on as train-00000.tar",
            prepare=shards(PLAIN, "00000.tar", "00001.tar"),
        ),
        said(
            "this is what `save_to_disk` of `datasets` writes",
            'to_parquet("shards/train-00000-of-00001.parquet")',
            prepare=files("train", also=["dataset_dict.json", "train/data-00000-of-00001.arrow"], name="{}.arrow"),
        ),
    ),
    "labels that are no positions": (
        said("(labels seem to begin at 1, and are positions from 0)", prepare=shards(one_based, "train-0.tar")),
        said(
            "labels run to 205, but there are only 12 pictures; a label is the position",
            prepare=shards(codes, "train-0.tar"),
        ),
        Case(shards(keyed("{}"), "train-0.tar"), 0, ["2 classes with 12 pictures"]),
        Case(
            shards(
                lambda shard: tar_of({"0.png": png(0, 0), "0.cls": b"code 205", "1.png": png(1, 1), "1.cls": b"7a"}),
                "train-0.tar",
            ),
            0,
            ["2 classes with 2 pictures"],
        ),
    ),
}
