"""Folders of class folders: what is listed; what is refused is in `tests/bad_inputs/rows_folders.py`."""

import pickle

import pytest
from PIL import Image

from bandwise.errors import UsageError
from bandwise.sources.folder import open_folder
from bandwise.sources.source import Entry


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes tiny pictures below a root."""
    Image.new("RGB", (8, 8)).save(tmp_path / "seed.png")
    content = (tmp_path / "seed.png").read_bytes()

    def make(*names):
        for name in names:
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / name).write_bytes(content)
        return tmp_path / "set"

    return make


def paths(source):
    """Return the names that a source lists."""
    return [entry.path for entry in source.entries()]


def test_layout_with_a_reported_set(tree):
    root = tree("train/b/1.png", "train/a/2.JPG", "train/a/1.webp", "val/a/x.png", "val/b/y.jpeg", "README.md")
    source = open_folder(root)
    assert source.classes == ("a", "b")
    assert source.name == "set"
    assert source.fingerprint == {"kind": "folder", "name": "set", "reported": "val"}
    size = (root / "train/b/1.png").stat().st_size
    assert list(source.entries()) == [
        Entry(b"train/a/1.webp", 0, size, "train"),
        Entry(b"train/a/2.JPG", 0, size, "train"),
        Entry(b"train/b/1.png", 1, size, "train"),
        Entry(b"val/a/x.png", 0, size, "val"),
        Entry(b"val/b/y.jpeg", 1, size, "val"),
    ]
    assert source.read(b"val/a/x.png") == (root / "val/a/x.png").read_bytes()


def test_the_list_is_sorted_by_whole_names(tree):
    """The folder `a` comes before `a-b`, but `a-b/1.png` before `a/1.png`."""
    source = open_folder(tree("a/1.png", "a/2.png", "a-b/1.png", "b/1.png"))
    assert source.classes == ("a", "a-b", "b")
    assert [(entry.path, entry.label) for entry in source.entries()] == [
        (b"a-b/1.png", 1),
        (b"a/1.png", 0),
        (b"a/2.png", 0),
        (b"b/1.png", 2),
    ]


@pytest.mark.parametrize("names", [["train/a/1.png"], ["a/1.png"]])
def test_without_a_reported_set_all_is_train(tree, names):
    source = open_folder(tree(*names))
    assert [(entry.path, entry.split) for entry in source.entries()] == [(names[0].encode(), "train")]
    assert source.fingerprint["reported"] is None


@pytest.mark.parametrize(
    ("names", "reported", "words"),
    [
        (["train/a/1.png", "val/a/1.png"], "test", r"--reported test: .* has no folder test/"),
        (["a/1.png"], "val", "has no train/ and no val/, only class folders"),
    ],
)
def test_a_reported_set_that_cannot_be_taken(tree, names, reported, words):
    with pytest.raises(UsageError, match=words):
        open_folder(tree(*names), reported)


def test_files_that_are_no_pictures_are_named_once(tree, capsys):
    root = tree("train/a/1.png", "train/a/.hidden.png")
    for name in ("notes.txt", "Thumbs.db"):
        (root / "train/a" / name).write_bytes(b"no picture")
    source = open_folder(root)
    assert capsys.readouterr().err == ""
    assert paths(source) == [b"train/a/1.png"]
    assert "WARNING: 67% of the files of" in (text := capsys.readouterr().err)
    assert "are no pictures by name or content: 'train/a/Thumbs.db', 'train/a/notes.txt'" in text
    assert text.count("\n") == 1


def test_a_source_travels_to_workers(tree):
    source = open_folder(tree("train/a/1.png", "val/a/2.png"), name="mine")
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert list(copy.entries()) == list(source.entries())
    assert len(pickle.dumps(source)) < 1000
