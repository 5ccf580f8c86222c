"""Parquet shards whose columns have other names and types than those of the hub, and columns that are not certain."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sources.test_parquet import IMAGE, PLAIN

from bandwise.errors import UsageError
from bandwise.sources.archives.parquet import open_parquet


def columns(labels, image="image", label="label", kind=None, **more):
    """Return a table of so many pictures with other columns."""
    rows = [{"bytes": b"picture %d" % number, "path": None} for number in range(len(labels))]
    return pa.table({image: pa.array(rows, IMAGE), label: pa.array(labels, kind), **more})


WORDS = ["ant", "bee", "ant"]
OF_TEXT = pa.dictionary(pa.int8(), pa.string())


@pytest.mark.parametrize(
    ("table", "options", "classes", "labels"),
    [
        (columns(WORDS, "img"), {}, ("ant", "bee"), [0, 1, 0]),
        (columns([0, 1, 0], "photo", "labels"), {}, ("0", "1"), [0, 1, 0]),
        (columns([0, 1, 0], label="fine_label"), {}, ("0", "1"), [0, 1, 0]),
        (columns([0, 1, 0], label="fine", coarse=[0, 0, 0]), {"label_column": "fine"}, ("0", "1"), [0, 1, 0]),
        (
            columns(WORDS, "a", b=pa.array([{"bytes": b"mask", "path": None}] * 3, IMAGE)),
            {"image_column": "a"},
            ("ant", "bee"),
            [0, 1, 0],
        ),
        (columns(WORDS, kind=OF_TEXT), {}, ("ant", "bee"), [0, 1, 0]),
        (columns(WORDS, kind=pa.dictionary(pa.uint32(), pa.large_string())), {}, ("ant", "bee"), [0, 1, 0]),
        (columns(WORDS, kind=pa.large_string()), {}, ("ant", "bee"), [0, 1, 0]),
        (columns([True, False, True]), {}, ("False", "True"), [1, 0, 1]),
        (columns([0.0, 1.0, 0.0]), {}, ("0", "1"), [0, 1, 0]),
        (
            columns(WORDS).set_column(0, "image", pa.array([b"picture %d" % n for n in range(3)])),
            {},
            ("ant", "bee"),
            [0, 1, 0],
        ),
    ],
)
@pytest.mark.parametrize("options_of_writer", [PLAIN, {}])
def test_columns_of_other_names_and_kinds(tmp_path, table, options, classes, labels, options_of_writer):
    pq.write_table(table, tmp_path / "train.parquet", **options_of_writer)
    source = open_parquet(tmp_path, **options)
    assert source.classes == classes
    assert source.entries().labels.tolist() == labels
    assert [source.read(entry.path) for entry in source.entries()] == [b"picture %d" % number for number in range(3)]


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (
            columns([0, 1], label="fine", coarse=[0, 0]),
            {},
            "fine .int64., coarse .int64.; 2 that may be it: .* --label-column",
        ),
        (
            columns([0, 1]),
            {"label_column": "labels"},
            "none called 'labels' that may be it: name the one that holds the label",
        ),
        (
            columns([0, 1]),
            {"image_column": "label"},
            "none called 'label' that may be it: name the one that holds the image",
        ),
        (
            pa.table({"image": ["a.jpg", "b.jpg"], "label": [0, 1]}),
            {},
            "none that may be it: name the one that holds the image",
        ),
        (columns([[0], [1]]), {}, "none that may be it: name the one that holds the label"),
    ],
)
def test_columns_that_are_not_certain(tmp_path, table, options, words):
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(UsageError, match=words):
        open_parquet(tmp_path, **options)


def test_paths_in_place_of_pictures(tmp_path):
    rows = pa.array([{"bytes": None, "path": f"{number}.jpg"} for number in range(3)], IMAGE)
    pq.write_table(pa.table({"image": rows, "label": [0, 1, 0]}), tmp_path / "train.parquet")
    with pytest.raises(UsageError, match=r"train.parquet holds paths of pictures and not the pictures; write it again"):
        open_parquet(tmp_path)
