"""`bandwise data inspect`: what `split` would see of a folder, with nothing written beside it."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.helpers.commands import call
from tests.helpers.trees import tree
from tests.pictures import make_folder

from bandwise.cli import main


@pytest.fixture
def pictures(tmp_path):
    """Return a folder with one wide grey picture, one that is no picture, and one that is in both splits."""
    root = make_folder(tmp_path / "pictures", classes=2, train=5, val=2, side=24)
    Image.new("L", (90, 30), 7).save(root / "train/class-0/000.png")
    (root / "train/class-1/001.png").write_bytes(b"<html>404</html>")
    shutil.copy(root / "train/class-0/002.png", root / "val/class-0/000.png")
    (root / "train/class-0/notes.txt").write_text("notes")
    return root


def test_what_is_found(pictures, tmp_path, capsys):
    before = tree(tmp_path)
    found = call(capsys, "data", "inspect", pictures)
    assert (found["kind"], found["name"], found["train"], found["val"]) == ("folder", "pictures", 10, 4)
    assert found["classes"] == {name: {"train": 5, "val": 2} for name in ("class-0", "class-1")}
    assert found["looked_at"] == 14
    assert (found["formats"], found["modes"]) == ({"PNG": 13}, {"RGB": 12, "L": 1})
    assert found["short_sides"] == {"least": 24, "median": 24, "most": 30}
    assert found["notes"] == {"one colour all over": 1}
    assert found["skipped_examples"] == {"unidentified": ["train/class-1/001.png"]}
    examples = [["train/class-0/002.png", "val/class-0/000.png"]]
    assert found["duplicates"] == {"sets": 1, "across_splits": 1, "examples": examples}
    assert tree(tmp_path) == before


def test_a_look_at_some_of_them(pictures, capsys):
    found = call(capsys, "data", "inspect", pictures, "--looked-at", "3")
    assert (found["looked_at"], found["train"]) == (3, 10)
    assert sum(found["formats"].values()) + sum(found["skipped"].values()) == 3
    assert call(capsys, "data", "inspect", pictures, "--looked-at", "0")["looked_at"] == 14


def test_flags_of_the_source_count(pictures, capsys):
    (pictures / "labels.csv").write_text("file_name,label\nval/class-0/001.png,x\ntrain/class-1/004.png,x\n")
    found = call(capsys, "data", "inspect", pictures, "--labels", "labels.csv")
    assert (found["kind"], found["classes"]) == ("table", {"x": {"train": 1, "val": 1}})


def test_flags_of_the_split_count(pictures, capsys):
    deep = np.full((24, 24), 3000, np.uint16)
    deep[:, 12:] = 100
    Image.fromarray(deep).save(pictures / "train/class-0/001.png")
    clear = np.full((24, 24, 4), 255, np.uint8)
    clear[:, 12:, 3] = 0
    Image.fromarray(clear).save(pictures / "train/class-0/002.png")
    dark, white = "16 bits, of which at most 12 are used: near black", "one colour all over"
    assert call(capsys, "data", "inspect", pictures)["notes"].items() >= {dark: 1, white: 2}.items()
    mended = call(capsys, "data", "inspect", pictures, "--depth", "12", "--background", "0")["notes"]
    assert (dark in mended, mended[white]) == (False, 1)
    assert call(capsys, "data", "inspect", pictures, "--max-pixels", "1000")["skipped"]["too large"] == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["inspect", "nowhere"], "'nowhere' is neither a folder nor a known set"),
        (["inspect"], "name the set to get: photos, .*; or the folder to inspect"),
        (["inspect", "photos", "--depth", "7"], "depth is 7; it must be at least 8"),
        (["inspect", "photos", "--looked-at", "-1"], "looked_at is -1; it must be at least 0"),
    ],
)
def test_what_is_refused(argv, words, capsys):
    message = call(capsys, "data", *argv, code=2)["error"]["message"]
    assert re.search(words, message)


def test_the_text_names_classes_and_what_is_wrong(pictures, capsys):
    assert main(["data", "inspect", str(pictures)]) == 0
    text = capsys.readouterr().out
    for words in (
        "pictures: read as folder, 2 classes, 10 pictures to train and 4 reported",
        "'class-0'",
        "looked at 14 pictures",
        "short sides: least 24, median 24, most 30",
        "unidentified: 'train/class-1/001.png'",
        "equal files: 1 sets, 1 of them across splits, such as 'train/class-0/002.png', 'val/class-0/000.png'",
    ):
        assert words in text
