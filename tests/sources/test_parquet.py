"""Parquet shards of the Hugging Face hub: every layout of pages that writers make, and one error for each fault."""

import json
import pickle

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sources import imagenet
from tests.sources.imagenet import IDS

from bandwise.config import DataConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.archives import parquet
from bandwise.sources.archives.parquet import open_parquet
from bandwise.sources.archives.parquetpages import NotPlain, plain_values
from bandwise.sources.folder import open_folder
from bandwise.sources.reading import open_archive
from bandwise.sources.resolve import open_source

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PLAIN = {"compression": "none", "use_dictionary": False}


def named(names=IDS):
    """Return the metadata by which the hub knows class names."""
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def table_of(pictures, labels, metadata=None):
    rows = [None if content is None else {"bytes": content, "path": "x.jpg"} for content in pictures]
    kind = pa.string() if labels and isinstance(labels[0], str) else pa.int64()
    schema = pa.schema([("image", IMAGE), ("label", kind)], metadata=metadata)
    return pa.Table.from_arrays([pa.array(rows, IMAGE), pa.array(labels, kind)], schema=schema)


def write(path, pictures, labels, metadata=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table_of(pictures, labels, metadata), path, **options)


def pictures_of(folders, split):
    """Return content and label of the pictures of one split."""
    paths = sorted((folders / split).glob("*/*"))
    return [path.read_bytes() for path in paths], [IDS.index(path.parent.name) for path in paths]


def make(folders, root, metadata=None, **options):
    pictures, labels = pictures_of(folders, "train")
    for number, part in enumerate((slice(0, 15), slice(15, None))):
        write(root / f"train-{number:05d}-of-00002.parquet", pictures[part], labels[part], metadata, **options)
    write(root / "validation-00000-of-00001.parquet", *pictures_of(folders, "val"), metadata, **options)
    return root


@pytest.mark.parametrize(
    ("options", "alone"),
    [
        (PLAIN, True),
        ({**PLAIN, "row_group_size": 4}, True),
        ({**PLAIN, "data_page_version": "2.0", "row_group_size": 7}, True),
        ({**PLAIN, "data_page_size": 2000, "write_batch_size": 2}, True),
        ({**PLAIN, "use_content_defined_chunking": True, "write_page_index": True}, True),
        ({"compression": "snappy", "row_group_size": 8}, False),
        ({"compression": "zstd", "use_dictionary": False, "data_page_version": "2.0"}, False),
        ({"compression": "none"}, False),
        ({**PLAIN, "column_encoding": {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY"}}, False),
    ],
)
def test_every_layout_gives_the_same_pictures(folders, tmp_path, options, alone):
    source = open_parquet(make(folders, tmp_path / "set", named(), **options))
    assert np.count_nonzero(source.entries().sizes) == (56 if alone else 0), "a size means that it is read alone"
    assert source.classes == tuple(IDS)
    expected = {"train": pictures_of(folders, "train"), "val": pictures_of(folders, "val")}
    for split, (pictures, labels) in expected.items():
        entries = [entry for entry in source.entries() if entry.split == split]
        assert [entry.label for entry in entries] == labels
        assert [source.read(entry.path) for entry in entries] == pictures
        assert [entry.size for entry in entries] == ([len(each) for each in pictures] if alone else [0] * len(pictures))
    assert source.entries()[15].path == b"train-00001-of-00002/0000000"
    assert len(pickle.dumps(source)) < 3000
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read(b"train-00001-of-00002/0000000") == expected["train"][0][15]


def test_the_pictures_are_those_of_the_image_folder(folders, tmp_path):
    source = open_source(DataConfig(data=str(make(folders, tmp_path / "set" / "data", named()).parent)))
    assert imagenet.contents(source) == imagenet.contents(open_folder(folders))
    assert source.fingerprint == {"kind": "parquet", "name": "set", "reported": "val"}


def test_what_datasets_writes(folders, tmp_path):
    """An outside writer, with its own metadata: class names, order and pictures come back."""
    pictures, labels = pictures_of(folders, "train")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=IDS)})
    rows = {"image": [{"bytes": content, "path": None} for content in pictures], "label": labels}
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "set/train-00000-of-00001.parquet"))
    source = open_parquet(tmp_path / "set")
    assert source.classes == tuple(IDS)
    assert source.fingerprint["reported"] is None
    assert [source.read(entry.path) for entry in source.entries()] == pictures
    assert source.entries().labels.tolist() == labels


def test_missing_pictures_are_bad_images(folders, tmp_path):
    pictures, labels = pictures_of(folders, "train")
    write(tmp_path / "set/train-0.parquet", [None, b"", *pictures[2:]], labels, named(), **PLAIN)
    source = open_parquet(tmp_path / "set")
    store = imagenet.split(source, tmp_path / "store")
    found = sorted((bad.path, bad.reason, bad.detail.split(": ")[1]) for bad in store.manifest.bad)
    assert found == [(f"train-0/000000{row}", "unidentified", "the file is empty") for row in (0, 1)]


def test_names_that_stand_twice_get_their_number(folders, tmp_path):
    write(tmp_path / "set/train.parquet", *pictures_of(folders, "val"), named(["crane", *"abcd", "crane", "e", "f"]))
    assert open_parquet(tmp_path / "set").classes == ("crane (0)", "a", "b", "c", "d", "crane (5)", "e", "f")


FIRST, SECOND, VAL = "train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "validation-00000-of-00001.parquet"


def replaced(name, table):
    """Return a damage: a shard is what `table` returns of it."""

    def damage(root):
        path = root / name
        pq.write_table(table(pq.read_table(path)), path)

    return damage


def one_row(label, metadata=None):
    return lambda _: table_of([b"x"], [label], metadata or named())


CASES = {
    "cut": (
        lambda root: (root / SECOND).write_bytes((root / SECOND).read_bytes()[:-100]),
        f"{SECOND} is cut off or no Parquet file",
    ),
    "no-parquet": (lambda root: (root / SECOND).write_bytes(b"version 1"), f"{SECOND} is cut off or no Parquet file"),
    "folder": (lambda root: (root / SECOND).unlink() or (root / SECOND).mkdir(), f"{SECOND} is no regular file"),
    "columns": (
        replaced(SECOND, lambda _: pa.table({"img": [1], "label": [1]})),
        rf"{SECOND} has the columns img \(int64\), label \(int64\); none called 'image' that may be it: name the one",
    ),
    "other-names": (
        replaced(VAL, lambda table: table.replace_schema_metadata(named(reversed(IDS)))),
        f"{VAL} names other classes than {FIRST}",
    ),
    "names-no-text": (
        replaced(FIRST, one_row(0, {"huggingface": '{"info": {"features": {"label": {"names": [1]}}}}'})),
        "its huggingface metadata name classes that are no text",
    ),
    "metadata": (replaced(FIRST, one_row(0, {"huggingface": "{"})), "its huggingface metadata are damaged"),
    "label-range": (replaced(VAL, one_row(8)), "has the label 8; there are 8 classes"),
    "label-missing": (replaced(VAL, one_row(None)), "labels are of type int64, 1 are missing"),
    "label-kind": (
        replaced(FIRST, lambda table: table.set_column(1, "label", pa.array([0.5] * len(table)))),
        r"has the label 0.5; whole numbers or words are needed",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_one_clear_error_and_nothing_is_written(case, folders, tmp_path):
    root = make(folders, tmp_path / "set", named())
    assert len(open_parquet(root).entries()) == 56
    damage, words = CASES[case]
    damage(root)
    written = sorted((tmp_path / "home").rglob("*"))
    with pytest.raises(UsageError, match=words):
        open_parquet(root)
    assert sorted((tmp_path / "home").rglob("*")) == written


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ([0, 1, 2], [3], "training labels run to 2 and reported ones to 3: the classes differ"),
        (["cat", "dog"], ["cat", "cow"], "only in train/: 'dog'; only in reported/: 'cow'"),
    ],
)
def test_labels_that_do_not_fit(train, test, words, tmp_path):
    write(tmp_path / "train.parquet", [b"x"] * len(train), train)
    write(tmp_path / "test.parquet", [b"x"] * len(test), test)
    with pytest.raises(UsageError, match=words):
        open_parquet(tmp_path)


def blanked(shard):
    shard.write_bytes(bytes(shard.stat().st_size))


def damaged_page(shard):
    start = pq.read_metadata(shard).row_group(0).column(0).data_page_offset
    content = bytearray(shard.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (PLAIN, blanked),
        ({}, lambda shard: shard.write_bytes(b"short")),
        ({}, lambda shard: shard.unlink()),
        ({"compression": "snappy", "use_dictionary": False}, damaged_page),
    ],
)
def test_a_shard_that_changes_under_us(options, change, folders, tmp_path):
    source = open_parquet(make(folders, tmp_path / "set", named(), **options))
    change(source.files[0])
    with pytest.raises(IncompatibleError, match=f"{FIRST} has changed since it was indexed"):
        source.read(b"train-00000-of-00002/0000003")


def test_neighbours_share_one_reading(folders, tmp_path, monkeypatch):
    source = open_parquet(make(folders, tmp_path / "set", named(), row_group_size=8))
    opened = []
    original = pq.ParquetFile
    monkeypatch.setattr(parquet.pq, "ParquetFile", lambda path: opened.append(path) or original(path))
    for row in range(8):
        source.read(b"train-00000-of-00002/%07d" % row)
    assert len(opened) == 1


def test_damaged_pages_are_never_believed(tmp_path):
    """Whatever a changed header says: an array of the right length, or NotPlain, and no other exception."""
    pictures = [np.random.default_rng(number).bytes(50 + number) for number in range(12)]
    write(tmp_path / "x.parquet", pictures, [0] * 12, **PLAIN, data_page_size=300, write_batch_size=3)
    facts = pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0)
    start, stop = facts.data_page_offset, facts.data_page_offset + facts.total_compressed_size
    content = (tmp_path / "x.parquet").read_bytes()
    with open_archive(tmp_path / "x.parquet") as region:
        offsets, sizes = plain_values(region, start, stop, 12, 2)
    assert [content[at : at + size] for at, size in zip(offsets, sizes, strict=True)] == pictures
    random = np.random.default_rng(1)
    outcomes = {"fine": 0, "refused": 0}
    for _ in range(400):
        changed = bytearray(content)
        changed[int(random.integers(start, stop))] = int(random.integers(256))
        (tmp_path / "y.parquet").write_bytes(changed)
        with open_archive(tmp_path / "y.parquet") as region:
            try:
                offsets, sizes = plain_values(region, start, stop, 12, 2)
            except NotPlain:
                outcomes["refused"] += 1
                continue
        assert len(offsets) == len(sizes) == 12
        assert (offsets + sizes <= stop).all()
        outcomes["fine"] += 1
    assert min(outcomes.values()) > 20
