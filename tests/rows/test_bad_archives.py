"""What can be wrong with ImageNet as someone has it: one clear error from `bandwise run`, and nothing written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rows.rows import WITHOUT_FILTER, make_imagenet1k, make_imagenet21k
from tests.sources import imagenet
from tests.sources.imagenet import IDS, class_tars, devkit, ground_truth, meta_mat, tar_of

from bandwise.cli import main
from bandwise.sources.archives import imagenet21k

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"

Damage = Callable[[Path], None]


def change_train(**changes: bytes | None) -> Damage:
    """Return what replaces class tars, or leaves them out, in the archive of the training images."""

    def damage(root: Path) -> None:
        tars = {**class_tars(root / "folders"), **{f"{name}.tar": content for name, content in changes.items()}}
        kept = {name: content for name, content in tars.items() if content is not None}
        (root / "archives" / TRAIN).write_bytes(tar_of(kept))

    return damage


def wrong_archive(root: Path) -> None:
    (root / "archives" / TRAIN).write_bytes((root / "archives" / VAL).read_bytes())


def short_truth(root: Path) -> None:
    (root / "archives" / DEVKIT).write_bytes(devkit(2 * ground_truth(root / "folders"), meta_mat()))


def nothing(root: Path) -> None:
    pass


OUTSIDE = tar_of({"../../x.JPEG": b"x"})
CASES: dict[str, tuple[Damage, list[str], str]] = {
    "wrong-archive": (wrong_archive, [], "holds no class tars such as n01440764.tar"),
    "missing-inner-tar": (change_train(n01484850=None), [], "the archive lacks n01484850.tar"),
    "member-outside": (change_train(n01440764=OUTSIDE), [], "n01440764.tar at byte"),
    "wrong-class-count": (nothing, ["--expect", "ilsvrc2012"], "is not the published ILSVRC 2012: 8 classes"),
    "class-that-only-train-has": (
        change_train(n99999999=tar_of({"n99999999_1.JPEG": imagenet.jpeg(0, 0)})),
        [],
        "has, besides, n99999999.tar",
    ),
    "truth-of-another-length": (short_truth, [], "holds 1 pictures, but"),
    "input-too-small": (nothing, ["--crop", "32"], "alexnet cannot take an input of 32x32 px"),
    "crop-above-canvas": (nothing, ["--crop", "336"], "at most the canvas 256"),
}


def run(root: Path, capsys: pytest.CaptureFixture, row: str, data: Path, *flags: str) -> str:
    """Run a row, which must end with exit code 2 before anything is written; return the message."""
    before = sorted(root.rglob("*"))
    argv = ["run", row, "--data", str(data), "--out", str(root / "run"), "--allow-empty-class", *flags, "--json"]
    assert main(argv) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 2
    assert sorted(path for path in root.rglob("*") if root / "home" not in (path, *path.parents)) == before
    return error["message"]


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error_and_nothing_written(case, folder, monkeypatch, capsys):
    monkeypatch.setenv("BANDWISE_HOME", str(folder / "home"))
    data = make_imagenet1k(folder)
    damage, flags, words = CASES[case]
    damage(folder)
    message = run(folder, capsys, "alexnet", data, *flags)
    assert words in message
    assert "\n" not in message


def test_unpacked_folders_whose_classes_differ(folder, monkeypatch, capsys):
    monkeypatch.setenv("BANDWISE_HOME", str(folder / "home"))
    root = imagenet.make_folders(folder / "folders", train=2, val=1)
    (root / "val" / IDS[0]).rename(root / "val" / "n99999999")
    message = run(folder, capsys, "resnet34-sub4", root)
    assert "only in train/: 'n01440764'" in message
    assert "only in val/: 'n99999999'" in message


def test_imagenet21k(folder, monkeypatch, capsys):
    monkeypatch.setenv("BANDWISE_HOME", str(folder / "home"))
    data, row = make_imagenet21k(folder), "in21k-resnet34-sub36"
    assert "none of 8 classes has 500 pictures" in run(folder, capsys, row, data)
    other = run(folder, capsys, row, data, "--source", "imagenet1k")
    assert "is no folder; give the folder that holds ILSVRC2012_img_train.tar" in other
    monkeypatch.setattr(imagenet21k, "open_imagenet21k", WITHOUT_FILTER)
    assert "is not winter21: it keeps 8 classes" in run(folder, capsys, row, data, "--expect", "winter21")
