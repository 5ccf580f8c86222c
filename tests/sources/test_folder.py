"""Folders of class folders: rows S1 to S5 of the list of bad inputs, links, FIFOs and modes."""

import os
import pickle
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.unprivileged import unprivileged

from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.folders.folder import open_folder
from bandwise.sources.source import Entry


@pytest.fixture
def tree(tmp_path):
    """Return a function that makes files (bytes of a tiny picture) under a root; a name that ends in / is a folder."""
    Image.new("RGB", (8, 8)).save(tmp_path / "seed.png")
    content = (tmp_path / "seed.png").read_bytes()

    def make(*names, root="set"):
        base = tmp_path / root
        base.mkdir(exist_ok=True)
        for name in names:
            path = os.fsencode(base) + b"/" + (name if isinstance(name, bytes) else name.encode())
            folder, _, file = path.rpartition(b"/")
            Path(os.fsdecode(folder)).mkdir(parents=True, exist_ok=True)
            if file:
                Path(os.fsdecode(path)).write_bytes(content)
        return base

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


def test_test_is_the_reported_set_where_there_is_no_val(tree):
    source = open_folder(tree("train/a/1.png", "test/a/2.png"))
    assert [(entry.path, entry.split) for entry in source.entries()] == [
        (b"test/a/2.png", "val"),
        (b"train/a/1.png", "train"),
    ]


@pytest.mark.parametrize("names", [["train/a/1.png"], ["a/1.png"]])
def test_without_a_reported_set_all_is_train(tree, names):
    source = open_folder(tree(*names))
    assert [(entry.path, entry.split) for entry in source.entries()] == [(names[0].encode(), "train")]
    assert source.fingerprint["reported"] is None


def test_both_val_and_test_need_a_choice(tree):
    root = tree("train/a/1.png", "val/a/2.png", "test/3.png")
    with pytest.raises(UsageError, match="both val/ and test/; name the reported set with --reported val"):
        open_folder(root)
    assert paths(open_folder(root, "val")) == [b"train/a/1.png", b"val/a/2.png"]


def test_a_reported_set_that_is_not_there(tree):
    with pytest.raises(UsageError, match=r"--reported test: .* has no folder test/"):
        open_folder(tree("train/a/1.png", "val/a/1.png"), "test")
    with pytest.raises(UsageError, match="has no train/ and no val/, only class folders"):
        open_folder(tree("a/1.png", root="other"), "val")


def test_reported_set_without_train(tree):
    with pytest.raises(UsageError, match="has val/ but no train/"):
        open_folder(tree("val/a/1.png"))


LAYOUT = r"holds no class folders; expected ROOT/train/CLASS/picture.*\.jpg, .*\.tiff"
SEVEN_LOOSE = [f"{number}.png" for number in range(7)]
BAD_FOLDERS = {
    "S1-empty": ([], LAYOUT),
    "S1-no-classes": (["train/"], "set/train holds no class folders"),
    "S1-no-images": (["train/a/", "train/b/"], r"holds no pictures.*\.webp"),
    "S1-other-files": (["train/a/notes.txt"], "holds no pictures"),
    "S3-root": (SEVEN_LOOSE, r"7 files .* lie outside class folders.*'0.png'.*'4.png', \.\.\."),
    "S3-mixed": (["train/1.png", "train/a/1.png"], "1 files .* lie outside class folders.*'train/1.png'"),
    "S3-flat": (["a/1.png", "2.png"], "1 files .* lie outside class folders.*'2.png'"),
    "S3-nested": (["train/a/deep/1.png", "train/a/1.png"], "deeper inside.*'train/a/deep/'"),
    "S4": (
        ["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png"],
        "differ; only in train/: 'b'; only in val/: 'c'",
    ),
    "S4-missing": (["train/a/1.png", "train/b/1.png", "test/a/1.png"], "only in train/: 'b'; only in test/: none"),
    "S5-case": (["train/Dog/1.png", "train/dog/1.png"], "differ only in case or Unicode form: 'Dog', 'dog'"),
    "S5-unicode": (
        ["caf\u00e9/1.png", "cafe\u0301/1.png"],
        r"Unicode form: 'cafe\\u0301', 'caf\\xe9'; merge or rename",
    ),
    "S5-unicode-between": (
        ["train/caf\u00e9/1.png", "val/cafe\u0301/1.png"],
        r"class 'caf\\xe9' of train/ is spelled 'cafe\\u0301' in val/",
    ),
    "S5-case-between": (["train/Dog/1.png", "val/dog/1.png"], "class 'Dog' of train/ is spelled 'dog' in val/"),
}


@pytest.mark.parametrize(("names", "words"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_bad_folder(tree, names, words):
    root = tree(*names)
    with pytest.raises(UsageError, match=words):
        open_folder(root).entries()


def test_missing_root_and_file_as_root(tree, tmp_path):
    with pytest.raises(UsageError, match="nowhere cannot be opened: No such file"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is a file; give a folder"):
        open_folder(tree("a/1.png") / "a/1.png")


def test_s5_names_that_are_no_utf8(tree):
    source = open_folder(tree(b"train/a/\xff\xfe.png", b"train/caf\xe9/1.png"))
    assert paths(source) == [b"train/a/\xff\xfe.png", b"train/caf\xe9/1.png"]
    assert source.classes == ("a", r"caf\xe9")
    assert source.read(b"train/a/\xff\xfe.png").startswith(b"\x89PNG")


def test_files_that_are_no_pictures_are_named_once(tree, capsys):
    source = open_folder(tree("train/a/1.png", "train/a/notes.txt", "train/a/Thumbs.db", "train/a/.hidden.png"))
    assert paths(source) == [b"train/a/1.png"]
    assert capsys.readouterr().err.count("\n") == 1
    source.entries()
    assert "note: 2 files of" in (text := capsys.readouterr().err)
    assert "'train/a/Thumbs.db', 'train/a/notes.txt'" in text


def test_pictures_of_other_formats_are_listed_so_that_they_are_counted(tree):
    assert paths(open_folder(tree("a/1.eps", "a/2.psd", "a/3.svg"))) == [b"a/1.eps", b"a/2.psd", b"a/3.svg"]


def test_folders_that_are_not_read_are_named(tree, capsys):
    open_folder(tree("train/a/1.png", "validation/a/1.png"))
    assert "not read in" in (text := capsys.readouterr().err)
    assert "'validation'" in text


def test_s21_links(tree, tmp_path):
    root = tree("train/a/1.png")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    shutil.copy(root / "train/a/1.png", outside / "2.png")
    (root / "train/a/inside.png").symlink_to("1.png")
    assert paths(open_folder(root)) == [b"train/a/1.png", b"train/a/inside.png"]
    (root / "train/a/2.png").symlink_to(outside / "2.png")
    with pytest.raises(UsageError, match=r"links that lead out of the folder.*--follow-symlinks: 'train/a/2.png'"):
        open_folder(root).entries()
    (root / "train/b").symlink_to(outside)
    with pytest.raises(UsageError, match=r"links that lead out of the folder.*'train/b'"):
        open_folder(root)
    followed = open_folder(root, follow_symlinks=True)
    assert paths(followed) == [b"train/a/1.png", b"train/a/2.png", b"train/a/inside.png", b"train/b/2.png"]
    assert followed.read(b"train/b/2.png") == (outside / "2.png").read_bytes()


def test_s21_dangling_link_and_loop(tree):
    root = tree("train/a/1.png")
    (root / "train/a/2.png").symlink_to("gone.png")
    (root / "train/a/3.png").symlink_to("3.png")
    with pytest.raises(UsageError, match=r"2 files .* are dangling links or no regular files.*'train/a/2.png'"):
        open_folder(root).entries()


@pytest.mark.timeout(10)
def test_s21_a_fifo_does_not_block(tree):
    root = tree("train/a/1.png")
    os.mkfifo(root / "train/a/2.png")
    with pytest.raises(UsageError, match=r"no regular files; remove them: 'train/a/2.png'"):
        open_folder(root).entries()
    (root / "train/a/2.png").unlink()
    source = open_folder(root)
    (root / "train/a/1.png").unlink()
    os.mkfifo(root / "train/a/1.png")
    with pytest.raises(IncompatibleError, match="no regular file any more"):
        source.read(b"train/a/1.png")


@pytest.fixture
def place():
    with unprivileged() as folder:
        yield folder


def test_permission_denied_is_counted(place):
    for name in ("train/a/1.png", "train/a/2.png", "train/a/3.png", "train/b/1.png"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    source = open_folder(place)
    (place / "train/a/1.png").chmod(0)
    (place / "train/a/3.png").chmod(0)
    with pytest.raises(UsageError, match=r"2 files .* may not be read; change .*'train/a/1.png', 'train/a/3.png'"):
        source.entries()
    with pytest.raises(UsageError, match=r"no permission to read .*train/a/1.png"):
        source.read(b"train/a/1.png")
    (place / "train/b").chmod(0)
    with pytest.raises(UsageError, match=r"3 files .* may not be read.*'train/b'"):
        source.entries()
    (place / "train/b").chmod(0o755)


def test_a_source_travels_to_workers(tree):
    source = open_folder(tree("train/a/1.png", "val/a/2.png"), name="mine")
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert list(copy.entries()) == list(source.entries())
    assert len(pickle.dumps(source)) < 1000
