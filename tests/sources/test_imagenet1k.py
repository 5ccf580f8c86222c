"""ImageNet-1K from its archives and from class folders: one store, and one clear error for each kind of damage."""

import io
import pickle
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image
from tests.sources import imagenet
from tests.sources.imagenet import IDS, NUMBERS, WORDS, tar_of

from bandwise.config import DataConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.archives.imagenet1k import PUBLISHED, open_imagenet1k
from bandwise.sources.archives.tar import TarSource
from bandwise.sources.folders.folder import FolderSource, open_folder
from bandwise.sources.resolve import open_source

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


def test_the_pictures_are_those_of_the_image_folder(pristine, folders, tmp_path):
    source = open_imagenet1k(pristine)
    assert imagenet.contents(source) == imagenet.contents(open_folder(folders))
    store = imagenet.split(source, tmp_path / "store")
    assert store.manifest.bad == ()
    assert imagenet.split(source, tmp_path / "parallel", workers=2).digest == store.digest


def test_archives_and_class_folders_give_the_same_bytes(pristine, folders, tmp_path):
    shutil.copytree(folders, tmp_path / "unpacked")
    shutil.copy(pristine / DEVKIT, tmp_path / "unpacked")
    unpacked = open_imagenet1k(tmp_path / "unpacked")
    assert isinstance(unpacked, FolderSource)
    packed = open_imagenet1k(pristine)
    assert unpacked.classes == packed.classes
    stores = [imagenet.split(source, tmp_path / name) for source, name in ((packed, "a"), (unpacked, "b"))]
    assert stores[0].digest == stores[1].digest


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


def test_a_source_is_small_and_picklable(pristine, folders, monkeypatch):
    source = open_imagenet1k(pristine)
    path = source.entries()[7].path
    expected = source.read(path)
    assert expected == (folders / path.decode()).read_bytes()
    copy = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 3000
    assert copy.read(path) == expected
    assert copy.entries()[:9].names == source.entries()[:9].names


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


def test_known_kinds_of_bad_pictures(archives, folders, tmp_path):
    """A CMYK JPEG and a PNG named JPEG are used, a broken picture is skipped; as many are left as there were."""
    cmyk, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.full((20, 20, 4), 90, np.uint8), "CMYK").save(cmyk, "JPEG")
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(png, "PNG")
    members = imagenet.class_tars(folders)
    changed = imagenet.files_below(folders / "train" / IDS[0])
    names = sorted(changed)
    changed |= {names[0]: cmyk.getvalue(), names[1]: png.getvalue(), names[2]: changed[names[2]][:200]}
    members[f"{IDS[0]}.tar"] = tar_of({**changed, "README.txt": b"no picture"})
    (archives / TRAIN).write_bytes(tar_of(members))
    store = imagenet.split(open_imagenet1k(archives), tmp_path / "store")
    assert store.manifest.notes == {"CMYK": 1, "the extension names another format": 1}
    assert [(bad.path, bad.reason) for bad in store.manifest.bad] == [(f"train/{IDS[0]}/{names[2]}", "truncated")]
    assert sum(store.rows(split) for split in ("train", "holdout", "val")) == 55


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
    with pytest.raises(UsageError, match="is not the published ILSVRC 2012"):
        open_source(DataConfig(data=str(archives), expect="ilsvrc2012"))
