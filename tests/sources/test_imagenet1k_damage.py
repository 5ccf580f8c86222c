"""What can be wrong with the archives of ImageNet-1K: one clear error each, before anything is written."""

import gzip
import shutil

import pytest
from tests.sources import imagenet
from tests.sources.imagenet import IDS, NUMBERS, tar_of

from bandwise.errors import UsageError
from bandwise.sources.archives.imagenet1k import open_imagenet1k
from bandwise.store.writing.split import split_dataset

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


def file(name, change):
    """Return a damage: one of the three archives is what `change` makes of its bytes."""
    return lambda archives, folders: (archives / name).write_bytes(change((archives / name).read_bytes()))


def inner(**changes):
    """Return a damage: class tars are others, or left out."""

    def damage(archives, folders):
        tars = imagenet.class_tars(folders)
        tars |= {f"{name}.tar": change(tars.get(f"{name}.tar")) for name, change in changes.items()}
        (archives / TRAIN).write_bytes(tar_of({name: content for name, content in tars.items() if content is not None}))

    return damage


def truth(change, **meta):
    """Return a damage: the ground truth is what `change` makes of it."""
    return lambda archives, folders: (archives / DEVKIT).write_bytes(
        imagenet.devkit(change(imagenet.ground_truth(folders)), imagenet.meta_mat(**meta))
    )


def holding(members):
    return lambda _: tar_of(members)


CASES = {
    "S25-missing": (
        inner(n01484850=lambda _: None),
        r"img_train.tar has 7 classes and .*devkit.* has 8; the archive lacks n01484850.tar",
    ),
    "S25-truncated-inner": (
        inner(n01443537=lambda tar: tar[:1200]),
        r"n01443537.tar at byte \d+ of .*train.tar is cut off: 'n01443537_1.JPEG' should have \d+ bytes from byte \d+",
    ),
    "S25-truncated-outer": (
        file(TRAIN, lambda tar: tar[:-30000]),
        r"img_train.tar is cut off: 'n03126707.tar' should have \d+ bytes from byte \d+, but it ends at byte \d+",
    ),
    "S25-no-tar": (
        file(TRAIN, lambda _: b"<html>login</html>" * 100),
        r"img_train.tar: the member at byte 0: the checksum of its header is wrong: damaged, or no tar at all",
    ),
    "S25-no-class-tars": (
        file(TRAIN, holding({"ILSVRC2012_val_00000001.JPEG": b"x"})),
        r"holds no class tars such as n01440764.tar; it holds 'ILSVRC2012_val_00000001.JPEG'",
    ),
    "S25-twice": (
        file(TRAIN, holding({f"{IDS[0]}.tar": b"", f"again/{IDS[0]}.tar": b""})),
        "holds 1 class tars twice: n01440764",
    ),
    "S4-more-classes": (
        inner(n99999999=holding({"n99999999_1.JPEG": b"x"})),
        r"has 9 classes and .* has 8; the archive has, besides, n99999999.tar",
    ),
    "truth-short": (
        truth(lambda text: text[:-2]),
        r"img_val.tar holds 16 pictures, but .*devkit_t12.tar.gz has labels for 15",
    ),
    "truth-unknown-class": (
        truth(lambda text: "9" + text[1:]),
        r"ground_truth.txt, line 1: there is no class 9; data/meta.mat has 1 to 8",
    ),
    "truth-no-number": (
        truth(lambda text: text.replace("\n", "\n\n", 1)),
        r"ground_truth.txt, line 2: '' is not an id",
    ),
    "val-gap": (
        file(VAL, holding({f"ILSVRC2012_val_{number:08d}.JPEG": b"x" for number in (1, 2, *range(4, 18))})),
        "img_val.tar holds 16 pictures, but not number 3",
    ),
    "val-other-names": (
        file(VAL, holding({"cat.JPEG": b"x"})),
        r"img_val.tar holds b'cat.JPEG'; expected names such as ILSVRC2012_val_00000001.JPEG",
    ),
    "no-val": (lambda a, _: (a / VAL).unlink(), "has ILSVRC2012_img_train.tar but not ILSVRC2012_img_val.tar"),
    "no-labels": (
        lambda a, _: (a / DEVKIT).unlink(),
        "has no labels of the validation pictures; put ILSVRC2012_devkit",
    ),
    "devkit-cut": (file(DEVKIT, lambda packed: packed[:-20]), "devkit_t12.tar.gz: damaged gzip file"),
    "devkit-without-meta": (
        file(DEVKIT, lambda _: gzip.compress(tar_of({"x": b"y"}))),
        "devkit_t12.tar.gz lacks data/ILSVRC2012_validation_ground_truth.txt and data/meta.mat",
    ),
    "meta-damaged": (
        file(DEVKIT, lambda _: imagenet.devkit("1\n", b"no matlab" * 40)),
        "data/meta.mat: it is no MATLAB file of level 5",
    ),
    "meta-twice": (
        truth(str, ids={**NUMBERS, IDS[0]: NUMBERS[IDS[1]]}),
        r"data/meta.mat: .* is no WordNet id, or stands twice",
    ),
    "S26-parent": (
        inner(n01440764=holding({"../../etc/x.JPEG": b"x"})),
        r"n01440764.tar at byte \d+ of .*: the member '../../etc/x.JPEG' at byte \d+: names with a leading / or",
    ),
    "S26-twice": (
        inner(n01440764=holding({"a/x.JPEG": b"x", "b/x.JPEG": b"y"})),
        "holds 1 names twice: 'x.JPEG'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_one_clear_error_and_nothing_is_written(case, archives, folders, home, tmp_path):
    open_imagenet1k(archives)
    shutil.rmtree(home)
    damage, words = CASES[case]
    damage(archives, folders)
    with pytest.raises(UsageError, match=words):
        split_dataset(open_imagenet1k(archives), imagenet.CONFIG, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    assert not home.exists()


def test_an_empty_class_is_refused_as_in_a_folder(archives, folders, tmp_path):
    inner(n01440764=holding({}))(archives, folders)
    source = open_imagenet1k(archives)
    with pytest.raises(UsageError, match="1 of 8 classes have no images in train: 'n01440764 tench'"):
        split_dataset(source, imagenet.CONFIG, tmp_path / "store")
