"""ImageNet-21K: the filter at its edges, the draw of the validation pictures, the audit, and a split from the tar."""

import hashlib
import pickle
import shutil

import pytest
from tests.sources import imagenet
from tests.sources.imagenet import IDS, WORDS, tar_of

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.archives.imagenet21k import PUBLISHED, Audit, Count, Published, open_imagenet21k
from bandwise.sources.resolve import open_source

SMALL = {"min_images": 10, "val_images": 2}


def pictures(label, count):
    """Return members of a class tar; every name has its own bytes, and they lie out of order."""
    names = [f"{IDS[label]}_{7919 * index % 10007}.JPEG" for index in range(count)]
    return {name: imagenet.jpeg(label, index) if count < 20 else name.encode() for index, name in enumerate(names)}


def outer(counts, folder=""):
    """Return a tar of class tars with so many pictures each."""
    tars = {f"{folder}{IDS[label]}.tar": tar_of(pictures(label, count)) for label, count in enumerate(counts)}
    return tar_of(dict(reversed(tars.items())))


def counts_of(source):
    """Return train and val images of each class."""
    listing = source.entries()
    return {
        name: tuple(sum(1 for e in listing if e.label == label and e.split == split) for split in ("train", "val"))
        for label, name in enumerate(source.classes)
    }


def test_the_filter_at_its_edges(tmp_path, capsys):
    """The real numbers: a class of 499 is dropped, and 50 of each other class are drawn."""
    path = tmp_path / "fall11_whole.tar"
    path.write_bytes(outer([499, 500, 549, 550]))
    source = open_imagenet21k(path)
    assert counts_of(source) == {IDS[1]: (450, 50), IDS[2]: (499, 50), IDS[3]: (500, 50)}
    printed = " ".join(capsys.readouterr().err.split())
    for words in (
        "imagenet21k: variant unknown",
        "archive 4 classes 2,098 pictures",
        "dropped 1 classes 499 pictures",
        "kept 3 classes 1,599 pictures",
        "1,449 to train + 150 to validate (50 a class)",
    ):
        assert words in printed
    entry = source.entries()[3]
    assert source.read(entry.path) == entry.path.rpartition(b"/")[2]


@pytest.mark.parametrize("seed", [0, 3])
def test_the_draw_is_the_documented_hash(tmp_path, seed):
    (tmp_path / "x.tar").write_bytes(outer([0, 40]))
    source = open_imagenet21k(tmp_path / "x.tar", min_images=40, val_images=5, seed=seed)
    names = [f"{IDS[1]}/{name}".encode() for name in pictures(1, 40)]
    expected = sorted(names, key=lambda name: hashlib.sha256(f"{seed} val ".encode() + name).digest())[:5]
    drawn = [entry.path.removeprefix(b"val/") for entry in source.entries() if entry.split == "val"]
    assert drawn == sorted(expected)
    assert source.fingerprint == {
        "kind": "imagenet21k",
        "name": "imagenet21k",
        "reported": "val",
        "min_images": 40,
        "val_images": 5,
        "seed": seed,
    }


def test_the_pictures_are_those_of_the_image_folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/winter21_whole.tar").write_bytes(outer([12, 9, 10, 11, 10, 10, 12, 10], folder="winter21_whole/"))
    (tmp_path / "set/words.txt").write_text("".join(f"{name}\t{words}\n" for name, words in WORDS.items()))
    source = open_imagenet21k(tmp_path / "set", **SMALL)
    assert source.classes == tuple(f"{name} {WORDS[name].split(',')[0]}" for name in IDS if name != IDS[1])
    for entry in source.entries():
        label = IDS.index(entry.path.split(b"/")[1].decode())
        assert source.read(entry.path) == pictures(label, 12)[entry.path.rpartition(b"/")[2].decode()]
    assert imagenet.contents(pickle.loads(pickle.dumps(source))) == imagenet.contents(source)


def test_a_folder_of_class_tars(tmp_path):
    """What `tar -x` makes of the outer tar."""
    counts = [10, 11, 12]
    (tmp_path / "fall11_whole.tar").write_bytes(outer(counts))
    (tmp_path / "folder").mkdir()
    for label, count in enumerate(counts):
        (tmp_path / "folder" / f"{IDS[label]}.tar").write_bytes(tar_of(pictures(label, count)))
    (tmp_path / "folder" / "readme.tar").write_bytes(b"not a class")
    whole, parts = (open_imagenet21k(tmp_path / name, **SMALL) for name in ("fall11_whole.tar", "folder"))
    assert list(whole.entries()) == list(parts.entries())
    for entry in parts.entries():
        assert parts.read(entry.path) == whole.read(entry.path)
    assert (len(whole.files), len(parts.files)) == (1, 3)


def audit(classes, images):
    """Return the audit of class sizes that add up to these totals, with small classes besides."""
    sizes = [images // classes + (1 if number < images % classes else 0) for number in range(classes)]
    assert min(sizes) >= 500
    return Audit.of([*sizes, 499, 1, 0], 500, 50)


def test_the_audit_of_fall11_prints_both_divisions():
    found = audit(11_221, 12_358_684)
    assert (found.variant, found.kept) == ("fall11", (11_221, 12_358_684))
    for figure in ("11,221", "12,358,684", "11,797,634", "561,050", "11,797,632", "561,052", "variant fall11"):
        assert figure in found.text()
    assert 11_797_634 + 561_050 == 11_797_632 + 561_052
    assert "winter21" not in found.text()
    found.require("fall11", "x.tar")
    with pytest.raises(
        UsageError, match=r"x.tar is not winter21: it keeps 11,221 .* 12,358,684 pictures, which is fall11; "
    ):
        found.require("winter21", "x.tar")


def test_the_audit_of_winter21():
    found = audit(10_450, 11_060_223 + 522_500)
    assert found.variant == "winter21"
    assert "11,060,223 to train + 522,500 to validate (50 a class)" in found.text()
    assert "dropped        3 classes          500 pictures" in found.text()
    assert "published are" not in found.text()
    assert "fall11" not in found.text()


@pytest.mark.parametrize(("classes", "images"), [(11_221, 12_358_683), (11_220, 12_358_684), (10_450, 12_358_684)])
def test_one_picture_or_class_less_is_unknown(classes, images):
    found = audit(classes, images)
    assert found.variant == "unknown"
    assert "published, winter21" in found.text()
    for name in PUBLISHED:
        with pytest.raises(UsageError, match=f"x.tar is not {name}: it keeps {classes:,} classes with {images:,}"):
            found.require(name, "x.tar")


def test_expect_refuses_before_anything_is_written(tmp_path, home, monkeypatch):
    (tmp_path / "fall11_whole.tar").write_bytes(outer([10, 10]))
    message = "fall11_whole.tar is not fall11: it keeps 2 classes with 20 pictures; fall11 has 11,221 with 12,358,684"
    with pytest.raises(UsageError, match=message):
        open_imagenet21k(tmp_path / "fall11_whole.tar", expect="fall11", **SMALL)
    assert not home.exists()
    open_imagenet21k(tmp_path / "fall11_whole.tar", **SMALL)
    with pytest.raises(UsageError, match=message):
        open_imagenet21k(tmp_path / "fall11_whole.tar", expect="fall11", **SMALL)
    monkeypatch.setitem(PUBLISHED, "fall11", Published(Count(2, 20), 16, 4))
    shutil.rmtree(home)
    assert open_imagenet21k(tmp_path / "fall11_whole.tar", expect="fall11", **SMALL).name == "imagenet21k"


def test_places(tmp_path):
    with pytest.raises(UsageError, match="does not exist; give the tar of class tars, or the folder"):
        open_imagenet21k(tmp_path / "none")
    with pytest.raises(UsageError, match=r"holds no class tars such as n01440764.tar$"):
        open_imagenet21k(tmp_path)
    (tmp_path / "winter21_whole.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(UsageError, match=r"winter21_whole.tar.gz is compressed \(gzip\): .* gunzip --keep"):
        open_imagenet21k(tmp_path)
    (tmp_path / "winter21_whole.tar").write_bytes(outer([10]))
    assert open_imagenet21k(tmp_path, **SMALL).entries()[0].label == 0
    (tmp_path / "fall11_whole.tar").write_bytes(outer([10]))
    with pytest.raises(UsageError, match=r"holds fall11_whole.tar and winter21_whole.tar; give one"):
        open_imagenet21k(tmp_path)
    with pytest.raises(UsageError, match="none of 1 classes has 500 pictures"):
        open_imagenet21k(tmp_path / "fall11_whole.tar")


def test_resolve(tmp_path):
    path = tmp_path / "fall11_whole.tar"
    path.write_bytes(outer([500]))
    for config in (
        DataConfig(data=str(path)),
        DataConfig(data=str(tmp_path)),
        DataConfig(data=str(path), source="imagenet21k"),
    ):
        assert open_source(config).fingerprint["kind"] == "imagenet21k"
    with pytest.raises(UsageError, match=r"fall11_whole.tar is not winter21: it keeps 1 classes"):
        open_source(DataConfig(data=str(path), expect="winter21"))
    with pytest.raises(UsageError, match=r"--expect ilsvrc2012 is about --source imagenet1k"):
        open_source(DataConfig(data=str(path), expect="ilsvrc2012"))
