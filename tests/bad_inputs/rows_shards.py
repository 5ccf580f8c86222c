"""WebDataset and Parquet shards as people have them: nothing is lost unseen, and no shard is missing unseen."""

import io
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from tests.bad_inputs.bench import Bench, Case, Row, png
from tests.sources.imagenet import tar_of


def shards(content: Callable[[int], Mapping[str, bytes] | bytes], *names: str):
    """Return a preparation of these files; `content` returns what the shard of a number holds."""

    def prepare(bench: Bench) -> Sequence[str]:
        for number, name in enumerate(names):
            found = content(number)
            bench.put(name, found if isinstance(found, bytes) else tar_of(dict(found)))
        return bench.split("--json")

    return prepare


def keyed(key: str, picture: str = "png", label: str = "cls", count: int = 12) -> Callable[[int], dict[str, bytes]]:
    """Return the content of shards with this form of keys and fields."""

    def content(shard: int) -> dict[str, bytes]:
        members = {}
        for index in range(count):
            name = key.format(index)
            members[f"{name}.{picture}"] = png(index % 2, 100 * shard + index)
            members[f"{name}.{label}"] = b"%d" % (index % 2)
        return members

    return content


def some_with_dots(shard: int) -> dict[str, bytes]:
    """Return a shard in which four of twelve keys hold a dot and are one key to WebDataset."""
    return {name.replace("p08", "p.v2_08").replace("p09", "p.v2_09"): each for name, each in PLAIN(shard).items()}


def parquet(shard: int) -> bytes:
    """Return a shard as the Hugging Face hub has it."""
    pictures = [{"bytes": png(index % 2, 100 * shard + index), "path": None} for index in range(6)]
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": pictures, "label": [index % 2 for index in range(6)]}), stream)
    return stream.getvalue()


def all_there(train: int, val: int) -> Callable[[Bench], None]:
    def check(bench: Bench) -> None:
        assert (bench.result["train"], bench.result["val"], bench.result["skipped"]) == (train, val, 0)

    return check


PLAIN = keyed("p{:02d}")
PAIR = ("train-000000.tar", "val-000000.tar")

ROWS: dict[str, Row] = {
    "dots in keys": (
        Case(shards(keyed("{:06d}", "input.png", "output.cls"), *PAIR), 0, ["2 classes with 24"], all_there(12, 12)),
        Case(
            shards(some_with_dots, *PAIR),
            2,
            [
                "the sample 'p' has 2 pictures: 'p.v2_08.png', 'p.v2_09.png'",
                "The key of a sample ends at the first dot of its file names",
            ],
        ),
    ),
    "folders of shards": (
        Case(shards(PLAIN, "train/shard-0.tar", "train/shard-1.tar", "val/shard-0.tar"), 0, (), all_there(24, 12)),
        Case(shards(parquet, "Train/0000.parquet", "Validation/0000.parquet"), 0, (), all_there(6, 6)),
        Case(shards(parquet, "data/train-0.parquet", "data/test-0.parquet"), 0, (), all_there(6, 6)),
        Case(shards(PLAIN, "train/shard-0.tar", "train/shard-2.tar"), 2, ["but not shard-1.tar"]),
    ),
    # Every style of names is in `tests/sources/test_webdataset.py`.
    "missing shards": (
        Case(
            shards(PLAIN, "train-000000.tar", "train-000001.tar", "train-000003.tar"),
            2,
            ["but not train-000002.tar;", "fetch what is missing, or number the files without a gap"],
        ),
        Case(shards(PLAIN, "train-0.tar", "val-0.tar", "val-2.tar"), 2, ["but not val-1.tar;"]),
        Case(
            shards(parquet, "train-0000.parquet", "train-0001.parquet", "train-0003.parquet"),
            2,
            ["but not train-0002.par"],
        ),
        Case(shards(parquet, "train-00000-of-00002.parquet"), 2, ["has 1 of 2 files train-*; number 1 is missing"]),
        Case(shards(PLAIN, "train-node3-0.tar", "train-node7-0.tar", "val-0.tar"), 0, (), all_there(24, 12)),
    ),
    "merged sets": (
        Case(
            shards(parquet, "train-00000-of-00001.parquet", "train_extra-00000-of-00001.parquet"),
            2,
            ["train* (1 files), train_extra* (1 files); give a folder with only those that are meant"],
        ),
        Case(shards(parquet, "train-00000-of-00001.parquet", "train-0.parquet"), 2, ["holds shards of several sets"]),
        Case(shards(parquet, "train-00000-of-00001-3f2a.parquet", "validation-0.parquet"), 0, (), all_there(6, 6)),
    ),
}
