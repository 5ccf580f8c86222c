"""ImageNet-1K from its archives and from class folders: one store, and one clear error for each kind of damage."""

import gzip
import shutil
import tarfile

import pytest
from tests.sources import imagenet
from tests.sources.imagenet import IDS, NUMBERS, WORDS, tar_of

from bandwise.config import DataConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.archives.imagenet1k import PUBLISHED, open_imagenet1k
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.resolve import open_source

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


def test_archives_and_class_folders_give_the_same_bytes(pristine, folders, tmp_path):
    shutil.copytree(folders, tmp_path / "unpacked")
    shutil.copy(pristine / DEVKIT, tmp_path / "unpacked")
    packed, unpacked = open_imagenet1k(pristine), open_imagenet1k(tmp_path / "unpacked")
    assert isinstance(unpacked, FolderSource)
    assert unpacked.classes == packed.classes
    assert imagenet.contents(packed) == imagenet.contents(open_folder(folders))
    store = imagenet.split(packed, tmp_path / "a")
    assert store.manifest.bad == ()
    assert imagenet.split(unpacked, tmp_path / "b").digest == store.digest
    assert imagenet.split(packed, tmp_path / "c", workers=2).digest == store.digest


def test_class_order_and_names(pristine):
    source = open_imagenet1k(pristine)
    assert source.classes == tuple(f"{name} {WORDS[name].split(',')[0]}" for name in sorted(IDS))
    assert source.classes[3] == "n02012849 crane"
    assert source.classes[5] == "n03126707 crane"
    by_path = {entry.path: entry for entry in source.entries()}
    assert by_path[b"val/n02012849/ILSVRC2012_val_00000002.JPEG"].label == 3
    assert by_path[b"train/n15075141/n15075141_1.JPEG"].label == 7
    assert {entry.split for path, entry in by_path.items() if path.startswith(b"val/")} == {"val"}
    assert sorted(by_path) == list(by_path), "sorted by name"


def test_the_numbers_of_the_devkit_are_not_the_order_of_ids():
    """Otherwise nothing here would notice if the ground truth were taken for sorted positions."""
    assert [NUMBERS[name] for name in sorted(IDS)] != sorted(NUMBERS.values())


def test_an_archive_that_changes_under_us(archives):
    source = open_imagenet1k(archives)
    path = source.entries()[0].path
    with open(archives / TRAIN, "r+b") as stream:
        stream.write(b"\0" * 4096)
    with pytest.raises(IncompatibleError, match=r"ILSVRC2012_img_train.tar has changed since it was indexed"):
        source.read(path)
    (archives / TRAIN).unlink()
    with pytest.raises(IncompatibleError, match="was listed but is gone"):
        source.read(path)


@pytest.mark.parametrize("text", ["LOC_val_solution.csv", "imagenet_2012_validation_synset_labels.txt"])
def test_labels_from_a_text_file(archives, folders, text):
    expected = open_imagenet1k(archives)
    (archives / DEVKIT).unlink()
    label_of = {path.stem: path.parent.name for path in (folders / "val").glob("*/*")}
    if text.endswith(".csv"):
        rows = [f"{name},{label_of[name]} 1 2 3 4 {label_of[name]} 5 6 7 8" for name in sorted(label_of, reverse=True)]
        lines = ["ImageId,PredictionString", *rows]
    else:
        lines = [label_of[name] for name in sorted(label_of)]
    (archives / text).write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig")
    source = open_imagenet1k(archives)
    assert source.classes == tuple(sorted(IDS))
    assert list(source.entries()) == list(expected.entries())
    mapping = "".join(f"{name} {words}\n" for name, words in WORDS.items())
    (archives / "LOC_synset_mapping.txt").write_text(mapping, encoding="utf-8")
    assert open_imagenet1k(archives).classes == expected.classes


def test_an_unpacked_devkit(archives):
    expected = open_imagenet1k(archives)
    with tarfile.open(archives / DEVKIT) as tar:
        tar.extractall(archives, filter="data")
    (archives / DEVKIT).unlink()
    source = open_imagenet1k(archives)
    assert (source.classes, list(source.entries())) == (expected.classes, list(expected.entries()))


def test_expected_counts(archives, folders, home, monkeypatch, capsys):
    message = "is not the published ILSVRC 2012: 8 classes, 40 train, 16 val; expected 1,000 classes, 1,281,167 train"
    with pytest.raises(UsageError, match=message):
        open_imagenet1k(archives, expect="ilsvrc2012")
    assert not home.exists()
    open_imagenet1k(archives)
    with pytest.raises(UsageError, match=message):
        open_imagenet1k(archives, expect="ilsvrc2012")
    with pytest.raises(UsageError, match=message):
        open_imagenet1k(folders, expect="ilsvrc2012")
    monkeypatch.setitem(PUBLISHED, "classes", 8)
    monkeypatch.setitem(PUBLISHED, "train", 40)
    monkeypatch.setitem(PUBLISHED, "val", 16)
    shutil.rmtree(home)
    source = open_imagenet1k(archives, expect="ilsvrc2012")
    assert isinstance(source, TarSource)
    assert "imagenet1k: 8 classes, 40 to train + 16 reported, as published" in capsys.readouterr().err
    assert isinstance(open_imagenet1k(folders, expect="ilsvrc2012"), FolderSource)


def test_folders_without_wordnet_ids(tmp_path, folders):
    shutil.copytree(folders, tmp_path / "set")
    for split in ("train", "val"):
        (tmp_path / "set" / split / IDS[0]).rename(tmp_path / "set" / split / "tench")
    with pytest.raises(UsageError, match="the class folder 'tench' is no WordNet id; use --source folder"):
        open_imagenet1k(tmp_path / "set")


def test_neither_archives_nor_folders(tmp_path):
    with pytest.raises(UsageError, match=r"holds neither ILSVRC2012_img_train.tar nor train/"):
        open_imagenet1k(tmp_path)
    with pytest.raises(UsageError, match=r"is no folder; give the folder that holds ILSVRC2012_img_train.tar"):
        open_imagenet1k(tmp_path / "none")


def test_resolve(archives, folders):
    for config in (DataConfig(data=str(archives)), DataConfig(data=str(archives), source="imagenet1k", reported="val")):
        assert open_source(config).fingerprint["kind"] == "imagenet1k"
    assert isinstance(open_source(DataConfig(data=str(folders))), FolderSource)
    assert open_source(DataConfig(data=str(folders), source="imagenet1k")).fingerprint["kind"] == "imagenet1k"
    with pytest.raises(UsageError, match="reports on its validation images; leave --reported out"):
        open_source(DataConfig(data=str(archives), reported="test"))
    with pytest.raises(UsageError, match=r"--expect fall11 is about --source imagenet21k; .* is read as imagenet1k"):
        open_source(DataConfig(data=str(archives), expect="fall11"))


def file(name, change):
    """Return a damage: one of the three archives is what `change` makes of its bytes."""
    return lambda archives, folders: (archives / name).write_bytes(change((archives / name).read_bytes()))


def inner(**contents):
    """Return a damage: class tars are others."""

    def damage(archives, folders):
        tars = {**imagenet.class_tars(folders), **{f"{name}.tar": content for name, content in contents.items()}}
        (archives / TRAIN).write_bytes(tar_of(tars))

    return damage


def holding(*names):
    """Return a tar of files that hold one letter, as what `change` of `file` takes."""
    return lambda _: tar_of(dict.fromkeys(names, b"x"))


def meta_twice(archives, folders):
    meta = imagenet.meta_mat(ids={**NUMBERS, IDS[0]: NUMBERS[IDS[1]]})
    (archives / DEVKIT).write_bytes(imagenet.devkit(imagenet.ground_truth(folders), meta))


CASES = {
    "outer-cut": (
        file(TRAIN, lambda tar: tar[:-30000]),
        r"img_train.tar is cut off: 'n03126707.tar' should have \d+ bytes from byte \d+, but it ends at byte \d+",
    ),
    "no-class-tars": (
        file(TRAIN, holding("ILSVRC2012_val_00000001.JPEG")),
        r"holds no class tars such as n01440764.tar; it holds 'ILSVRC2012_val_00000001.JPEG'",
    ),
    "class-twice": (
        file(TRAIN, holding(f"{IDS[0]}.tar", f"again/{IDS[0]}.tar")),
        "holds 1 class tars twice: n01440764",
    ),
    "more-classes": (
        inner(n99999999=tar_of({"n99999999_1.JPEG": b"x"})),
        r"has 9 classes and .* has 8; the archive has, besides, n99999999.tar",
    ),
    "name-twice": (inner(n01440764=holding("a/x.JPEG", "b/x.JPEG")(b"")), "holds 1 names twice: 'x.JPEG'"),
    "val-gap": (
        file(VAL, holding(*(f"ILSVRC2012_val_{number:08d}.JPEG" for number in (1, 2, *range(4, 18))))),
        "img_val.tar holds 16 pictures, but not number 3",
    ),
    "val-other-names": (
        file(VAL, holding("cat.JPEG")),
        r"img_val.tar holds b'cat.JPEG'; expected names such as ILSVRC2012_val_00000001.JPEG",
    ),
    "no-val": (lambda a, _: (a / VAL).unlink(), "has ILSVRC2012_img_train.tar but not ILSVRC2012_img_val.tar"),
    "no-labels": (lambda a, _: (a / DEVKIT).unlink(), "no labels of the validation pictures; put ILSVRC2012_devkit"),
    "devkit-cut": (file(DEVKIT, lambda packed: packed[:-20]), "devkit_t12.tar.gz: damaged gzip file"),
    "devkit-without-meta": (
        file(DEVKIT, lambda _: gzip.compress(tar_of({"x": b"y"}))),
        "devkit_t12.tar.gz lacks data/ILSVRC2012_validation_ground_truth.txt and data/meta.mat",
    ),
    "meta-damaged": (
        file(DEVKIT, lambda _: imagenet.devkit("1\n", b"no matlab" * 40)),
        "data/meta.mat: it is no MATLAB file of level 5",
    ),
    "meta-twice": (meta_twice, r"data/meta.mat: .* is no WordNet id, or stands twice"),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_one_clear_error_and_nothing_is_written(case, archives, folders, home):
    """Beside what `tests/bad_inputs/rows_archives.py` shows."""
    open_imagenet1k(archives)
    shutil.rmtree(home)
    damage, words = CASES[case]
    damage(archives, folders)
    with pytest.raises(UsageError, match=words):
        open_imagenet1k(archives)
    assert not home.exists()


def test_what_is_no_picture_by_name_is_passed_over_and_said(archives, folders, capsys):
    members = {**imagenet.files_below(folders / "train" / IDS[0]), "README.txt": b"no picture"}
    inner(n01440764=tar_of(members))(archives, folders)
    assert len(open_imagenet1k(archives).entries()) == 56
    assert "note: 1 members are no pictures by name: 'README.txt'" in capsys.readouterr().err
