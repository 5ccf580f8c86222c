"""Ten classes of ImageNet out of an archive made here: written unchanged, its lists left out, anything else refused."""

import io
import tarfile
from dataclasses import replace

import pytest

from bandwise.recipes.datasets import DATASETS
from bandwise.sources.named import imagenette
from bandwise.sources.named.catalog import available
from bandwise.sources.named.unpack import WrongContentError

WOOF = next(archive for archive in imagenette.ARCHIVES if archive.name == "imagewoof2-160")
FEW = replace(WOOF, pictures={"train": 11, "val": 10})
"""The same archive with as many pictures as `MEMBERS` has."""
NAMES = [f"{split}/{wordnet_id}/{wordnet_id}_1.JPEG" for split in ("train", "val") for wordnet_id in imagenette.WOOF]
MEMBERS = {name: name.encode() for name in [*NAMES, "train/n02115641/ILSVRC2012_val_00000007.JPEG"]}
OTHERS = {"noisy_imagewoof.csv": b"path,label", "train/n02115641/.DS_Store": b"x", "train/n01440764/1.JPEG": b"tench"}


def unpacked(tmp_path, archive, members):
    """Make the archive of these members, unpack it, and return its folder."""
    with tarfile.open(tmp_path / f"{archive.name}.tgz", "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"{archive.name}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
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
        assert (entry.split, source.classes[entry.label]) == (split, imagenette.WOOF[wordnet_id])
        assert source.read(entry.path) == entry.path


def test_an_archive_that_lacks_a_picture_is_refused(tmp_path):
    fewer = dict(list(MEMBERS.items())[1:])
    with pytest.raises(WrongContentError, match=r"found \{'train': 10, 'val': 10\} pictures, expected \{'train': 11"):
        unpacked(tmp_path, FEW, fewer)


def test_every_set_has_a_name_a_checksum_and_facts():
    assert {archive.name for archive in imagenette.ARCHIVES} <= set(available())
    digests = [archive.origins[0].files[0].known_hash for archive in imagenette.ARCHIVES]
    assert len(set(digests)) == 6
    for archive in imagenette.ARCHIVES:
        facts = DATASETS[archive.name]
        assert (facts.classes, facts.images) == (len(archive.classes), sum(archive.pictures.values()))
        assert facts.train_images == archive.pictures["train"]
        assert list(archive.classes) == sorted(archive.classes), "labels follow the sorted folders"
