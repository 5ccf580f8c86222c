"""A folder of pictures and a table of their labels: what is read, and what is wrong with a table, by its line."""

import json
from collections.abc import Callable, Mapping, Sequence

import pyarrow.parquet as pq
from tests.bad_inputs.bench import Bench, Case, Row, png

from bandwise.store.reading.store import open_store

HEAD = ("file_name", "label")


def table(rows: Sequence[Sequence[str]], name: str = "labels.csv", head: Sequence[str] = HEAD) -> Mapping[str, str]:
    """Return a table as a file by its name: commas, tabs or JSON lines by the extension."""
    if name.endswith(".jsonl"):
        return {name: "".join(json.dumps(dict(zip(head, row, strict=True))) + "\n" for row in rows)}
    between = "\t" if name.endswith(".tsv") else ","
    return {name: "\n".join(between.join(row) for row in (head, *rows)) + "\n"}


def pictures(*names: str, tables: Mapping[str, str], flags: Sequence[str] = (), encoding: str = "utf-8"):
    """Return a preparation of these pictures, all different, and tables."""

    def prepare(bench: Bench) -> Sequence[str]:
        for number, name in enumerate(names):
            bench.put(name, png(number % 2, number))
        for name, text in tables.items():
            bench.put(name, text.encode(encoding))
        return bench.split("--json", *flags)

    return prepare


def labelled(expected: Mapping[str, str]) -> Callable[[Bench], None]:
    """Return a check of the class of every picture in the store, by split and name."""

    def check(bench: Bench) -> None:
        store = open_store(bench.store)
        rows = pq.read_table(bench.store / "samples.parquet").to_pylist()
        assert {f"{row['split']} {row['path'].decode()}": store.classes[row["label"]] for row in rows} == expected

    return check


FLAT = [f"{number}.png" for number in range(4)]
ANT_AND_BEE = [(name, "ant" if number % 2 else "bee") for number, name in enumerate(FLAT)]
FLAT_READ = labelled({f"train {name}": label for name, label in ANT_AND_BEE})
PARTS = [*(f"train/{name}" for name in FLAT), *(f"val/{name}" for name in FLAT)]
PARTS_READ = labelled({f"{split} {split}/{name}": label for split in ("train", "val") for name, label in ANT_AND_BEE})
WITH_SPLIT = [(name, label, "valid" if name in FLAT[2:] else "TRAIN") for name, label in ANT_AND_BEE]


def linked(*flags: str, far: bool = True):
    """Return a preparation whose pictures are links to others in the folder, or out of it."""

    def prepare(bench: Bench) -> Sequence[str]:
        argv = pictures(*(f"store/{name}" for name in FLAT), tables=table(ANT_AND_BEE), flags=flags)(bench)
        store = bench.pictures / "store"
        store = store.rename(bench.path / "far") if far else store.rename(bench.pictures / ".store")
        for name in FLAT:
            (bench.pictures / name).symlink_to(store / name)
        return argv

    return prepare


def json_lines(*labels: object) -> Mapping[str, str]:
    return {
        "metadata.jsonl": "".join(
            json.dumps({"file_name": name, "label": label, "width": 0.5}) + "\n"
            for name, label in zip(FLAT, labels, strict=True)
        )
    }


LATE_SPLIT = '{"file_name": "0.png", "label": "ant"}\n{"file_name": "1.png", "label": "ant", "split": "val"}'


def read(
    tables: Mapping[str, str],
    *flags: str,
    names: Sequence[str] = FLAT,
    words: Sequence[str] = (),
    after: Callable[[Bench], None] = FLAT_READ,
    encoding: str = "utf-8",
) -> Case:
    return Case(pictures(*names, tables=tables, flags=flags, encoding=encoding), 0, ["2 classes", *words], after)


def refused(rows: Sequence[Sequence[str]], *words: str, head: Sequence[str] = HEAD, flags: Sequence[str] = ()) -> Case:
    return Case(pictures(*FLAT, tables=table(rows, head=head), flags=flags), 2, words)


_LINES = [f"{name},{label}" for name, label in ANT_AND_BEE]
AS_PROGRAMS_WRITE_THEM = {
    "labels.csv": "\n".join(["file_name, label ", *(line.replace(",", " , ") for line in _LINES), ",", ""]),
    "metadata.csv": "\n".join(["id,file_name,label", *(f"{number},{line}" for number, line in enumerate(_LINES))]),
    "metadata.jsonl": "\n".join(
        json.dumps({"file_name": name, "label": label, "said": "a\u2028b\x85c"}, ensure_ascii=False)
        for name, label in ANT_AND_BEE
    ),
}
"""Blanks and empty rows of a spreadsheet, a number before the name, ends of lines within a text."""

ROWS: dict[str, Row] = {
    "tables of labels": (
        *(
            read(table(ANT_AND_BEE, name), words=["2 classes with 4 pictures"])
            for name in ("labels.csv", "metadata.csv", "metadata.jsonl")
        ),
        read(table(ANT_AND_BEE, "train.csv", ("image_id", "class")), "--labels", "train.csv"),
        read(table(ANT_AND_BEE, "a.tsv", ("Image", "Category")), "--labels", "a.tsv"),
        read(table(ANT_AND_BEE, "b.jsonl"), "--labels", "b.jsonl"),
        read(
            table(ANT_AND_BEE, "x.csv", ("which", "what")),
            *("--labels", "x.csv", "--name-column", "which", "--label-column", "what"),
        ),
        read(
            {**table(ANT_AND_BEE, "train/metadata.csv"), **table(ANT_AND_BEE, "val/metadata.csv")},
            names=PARTS,
            after=PARTS_READ,
        ),
        read(
            table([(f"{part}/{name}", label) for part in ("train", "val") for name, label in ANT_AND_BEE]),
            names=PARTS,
            after=PARTS_READ,
        ),
        read(
            table(WITH_SPLIT, head=(*HEAD, "split")),
            words=["2 to train, 0 held out, 2 reported"],
            after=labelled({"train 0.png": "bee", "train 1.png": "ant", "val 2.png": "bee", "val 3.png": "ant"}),
        ),
        read(
            table(WITH_SPLIT, head=(*HEAD, "split")),
            *("--reported", "none"),
            words=["2 to train, 0 held out, 0 reported", "2 pictures of", "are not in the table, or not read"],
            after=labelled({"train 0.png": "bee", "train 1.png": "ant"}),
        ),
        read(
            table([("0", "10"), ("1", "9")]),
            *("--source", "table"),
            names=["images/a/0.png", "images/b/1.png"],
            after=labelled({"train images/a/0.png": "10", "train images/b/1.png": "9"}),
        ),
        read(
            table(ANT_AND_BEE),
            names=[*FLAT, "5.png"],
            words=["note: 1 pictures of", "are not in the table, or not read: '5.png'"],
        ),
        *(read({name: text}, words=["2 classes with 4 pictures"]) for name, text in AS_PROGRAMS_WRITE_THEM.items()),
        # Two class folders: the table is not read.
        read(table([("0.png", "x")]), names=["a/0.png", "b/0.png"], words=["2 classes"], after=lambda bench: None),
    ),
    "tables of spreadsheets": (
        read(table(ANT_AND_BEE), encoding="utf-8-sig"),
        read(table(ANT_AND_BEE), encoding="utf-16"),
        read(table(ANT_AND_BEE, "t.tsv"), "--labels", "t.tsv", encoding="utf-16"),
    ),
    "numbers in JSON": (
        Case(pictures(*FLAT, tables=json_lines(0.0, 1.0, 0, 1)), 0, ["2 classes with 4 pictures, '0' (2) to '1' (2)"]),
        Case(pictures(*FLAT, tables=json_lines(True, False, True, False)), 0, ["'False' (2) to 'True' (2)"]),
        Case(
            pictures(*FLAT, tables=json_lines(1, 1.0, 0.25, 0)),
            2,
            ["metadata.jsonl, line 3: the column 'label' holds 0.25; whole numbers or words are needed"],
        ),
        Case(
            pictures(*FLAT, tables=json_lines(1, 0, float("nan"), 0)),
            2,
            ["metadata.jsonl, line 3: the column 'label' holds nan; whole numbers or words are needed"],
        ),
    ),
    "pictures elsewhere": (
        Case(linked(far=False), 0, ["2 classes with 4 pictures"], FLAT_READ),
        Case(linked("--follow-symlinks"), 0, ["2 classes with 4 pictures"], FLAT_READ),
        Case(linked(), 2, ["line 2: '0.png' is a link that leads out of", "or follow it with --follow-symlinks"]),
        *(
            refused([(f"{scheme}://host/0.png", "ant")], f"line 2: '{scheme}://host/0.png' is an address, and nothing")
            for scheme in ("https", "s3")
        ),
    ),
    "bad tables of labels": (
        refused([*ANT_AND_BEE, ("4.png", "ant")], "labels.csv, line 6: there is no picture '4.png' in"),
        refused([*ANT_AND_BEE, ("0.png", "ant")], "line 6: '0.png' is labelled already in", "line 2; remove one row"),
        refused([*ANT_AND_BEE[:3], ("3.png", " ")], "line 5: '3.png' has no label in the column 'label'"),
        refused([*ANT_AND_BEE[:3], ("3.png",)], "line 5: there is nothing in the column 'label'"),
        refused([*ANT_AND_BEE[:3], ("3.png", "ant", "x")], "line 5: more values than the 2 columns"),
        refused([*ANT_AND_BEE[:3], ("3.png", "Ant ")], "differ only in case, blanks or Unicode form: 'Ant', 'ant'"),
        refused(
            ANT_AND_BEE,
            "has the columns when, what; say which one holds the name with --name-column",
            head=("when", "what"),
        ),
        refused(
            [(*row, "x") for row in ANT_AND_BEE],
            "has two columns that are called 'label'; rename one of them",
            head=(*HEAD, "label"),
        ),
        Case(
            pictures(*FLAT, tables={"metadata.jsonl": LATE_SPLIT}),
            2,
            ["metadata.jsonl, line 2: 'split' is not in the rows before; give it in every row"],
        ),
        Case(
            pictures(*FLAT, tables={"metadata.jsonl": '{"file_name": "\\ud800.png", "label": "ant"}'}),
            2,
            ["metadata.jsonl, line 1: there is no picture '\\ud800.png'"],
        ),
        refused(ANT_AND_BEE, "say which one holds the label with --label-column", head=("id", "answer")),
        refused(ANT_AND_BEE, "say which one holds the name with --name-column", flags=["--name-column", "x"]),
        refused(
            [(name, label, "some") for name, label in ANT_AND_BEE],
            "line 2: the split is 'some'; it must be one of train, val",
            head=(*HEAD, "split"),
        ),
        refused(
            [(name, label, "val") for name, label in ANT_AND_BEE],
            "names no training pictures, only pictures of val",
            head=(*HEAD, "split"),
        ),
        refused([("../pictures/0.png", "ant")], "there is no picture '../pictures/0.png'"),
        refused(ANT_AND_BEE, "--reported val:", "has no pictures of that split", flags=["--reported", "val"]),
        refused(ANT_AND_BEE, "there is no --labels none.csv, here or in", flags=["--labels", "none.csv"]),
        refused(
            ANT_AND_BEE, "auto or table with a table of labels", flags=["--labels", "labels.csv", "--source", "folder"]
        ),
        Case(
            pictures(*FLAT, tables={"metadata.jsonl": '{"file_name": "0.png"'}), 2, ["metadata.jsonl, line 1: no JSON"]
        ),
        Case(
            pictures("a/0.png", "b/0.png", tables=table([("0.png", "x")], "t.csv"), flags=["--labels", "t.csv"]),
            2,
            [
                "line 2: 2 pictures have the name '0.png'",
                "give the folder that the names of the column 'file_name' are about",
            ],
        ),
    ),
}
