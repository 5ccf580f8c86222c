"""Rows S1 to S5, S21, S22, S24 and S30: what is wrong with a folder, not with one picture."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.bad_inputs.bench import Bench, Case, Row, png
from tests.sources import imagenet
from tests.unprivileged import unprivileged

from bandwise.errors import UsageError
from bandwise.files.schema import plain
from bandwise.sources.folder import FolderSource
from bandwise.sources.reading import read_file
from bandwise.store.reading.store import open_store


def nothing(bench: Bench) -> Sequence[str]:
    bench.pictures.mkdir()
    return bench.split()


def no_picture(bench: Bench) -> Sequence[str]:
    bench.put("train/a/notes.txt", b"notes")
    return bench.split()


def a_file(bench: Bench) -> Sequence[str]:
    return bench.split(data=bench.put("0.png"))


def files(*names: str | bytes):
    """Return a preparation that writes these pictures, all different; a name that ends in / is an empty folder."""

    def prepare(bench: Bench) -> Sequence[str]:
        for number, name in enumerate(names):
            if name[-1:] in ("/", b"/"):
                (bench.pictures / str(name)).mkdir(parents=True)
            else:
                bench.put(name, png(0, number))
        return bench.split()

    return prepare


def unreadable_class(bench: Bench) -> Sequence[str]:
    bench.folder()
    for path in (bench.pictures / "train" / "b").iterdir():
        path.write_bytes(b"no picture")
    return bench.split()


def with_empty_class(bench: Bench) -> Sequence[str]:
    bench.folder()
    for split in ("train", "val"):
        (bench.pictures / split / "aa").mkdir()
    return bench.split("--allow-empty-class")


def classes_are_kept(bench: Bench) -> None:
    store = open_store(bench.store)
    assert store.classes == ("a", "aa", "b")
    assert set(store.labels("train").tolist()) == {0, 2}


def names_survive(bench: Bench) -> None:
    paths = pq.read_table(bench.store / "samples.parquet")["path"].to_pylist()
    assert b"train/a/\xff\xfe.png" in paths
    assert open_store(bench.store).classes == ("a", r"caf\xe9")


def linked(*links: tuple[str, str], flags: Sequence[str] = ()):
    """Return a preparation that puts links, each a name and where it points, into a sound folder."""

    def prepare(bench: Bench) -> Sequence[str]:
        bench.folder()
        outside = bench.path / "outside"
        outside.mkdir()
        (outside / "x.png").write_bytes(png(1, 77))
        for name, target in links:
            (bench.pictures / name).symlink_to(target)
        return bench.split(*flags)

    return prepare


def fifo(bench: Bench) -> Sequence[str]:
    bench.folder()
    os.mkfifo(bench.pictures / "train" / "a" / "pipe.png")
    return bench.split()


def unix_socket(bench: Bench) -> Sequence[str]:
    bench.folder()
    before = Path.cwd()
    # The name of a socket has at most 108 bytes.
    os.chdir(bench.pictures / "train" / "a")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
    os.chdir(before)
    return bench.split()


def later_a_fifo(bench: Bench) -> Sequence[str]:
    """A file becomes a FIFO after it was listed."""
    bench.folder()
    entries = FolderSource.entries

    def listed(self):
        found = entries(self)
        (bench.pictures / "train/a/0.png").unlink()
        os.mkfifo(bench.pictures / "train/a/0.png")
        return found

    bench.patch.setattr(FolderSource, "entries", listed)
    return bench.split()


def denied(bench: Bench) -> Sequence[str]:
    """Modes do not bind root, so the command runs as somebody else, in a place that everybody may enter."""
    with unprivileged() as place:
        other = Bench(place, bench.patch)
        other.folder()
        for name in ("0.png", "2.png"):
            (other.pictures / "train" / "a" / name).chmod(0)
        other.call(*other.split())
        assert other.code == 2
        assert "2 files or folders in" in other.err
        assert "may not be read; change their mode or owner: 'train/a/0.png', 'train/a/2.png'" in other.err
        with pytest.raises(UsageError, match=r"no permission to read .*train/a/0.png"):
            read_file(bytes(other.pictures / "train" / "a" / "0.png"))
        (other.pictures / "train" / "b").chmod(0)
        assert "3 files or folders in" in other.call(*other.split()).err
        (other.pictures / "train" / "b").chmod(0o755)
        for name in ("0.png", "2.png"):
            (other.pictures / "train" / "a" / name).chmod(0o644)
        assert other.call(*other.split()).code == 0
    return ["recipes"]


def duplicates(bench: Bench) -> Sequence[str]:
    bench.folder()
    twice, leaked = png(0, 0), png(1, 1)
    bench.put("train/b/as-in-a.png", twice)
    bench.put("train/b/once-more.png", twice)
    bench.put("val/b/as-in-train.png", leaked)
    return bench.split("--json")


def duplicates_are_counted(bench: Bench) -> None:
    found = bench.result["duplicates"]
    assert {key: found[key] for key in ("pictures", "sets", "across_splits", "across_classes")} == {
        "pictures": 5,
        "sets": 2,
        "across_splits": 1,
        "across_classes": 1,
    }
    store = open_store(bench.store)
    assert plain(store.manifest.duplicates) == found
    assert store.rows("train") + store.rows("val") == 13
    assert bench.call("verify", bench.store).code == 0


def no_duplicates(bench: Bench) -> None:
    assert bench.result["duplicates"]["pictures"] == 0
    assert "more than once" not in bench.err


def sound(bench: Bench) -> Sequence[str]:
    bench.folder()
    return bench.split("--json")


def label_file(change):
    """Return a preparation of a small ImageNet, the labels of whose validation pictures were changed."""

    def prepare(bench: Bench) -> Sequence[str]:
        folders = imagenet.make_folders(bench.path / "folders")
        archives = imagenet.make_imagenet1k(folders, bench.path / "archives")
        truth = change(imagenet.ground_truth(folders))
        kit = imagenet.devkit(truth, imagenet.meta_mat())
        (archives / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(kit)
        return bench.split(data=archives)

    return prepare


LAYOUT = "expected ROOT/train/CLASS/picture or ROOT/CLASS/picture, with .jpg, .jpeg"
LEAD_OUT = "are links that lead out of the folder; copy what they name, or follow them with --follow-symlinks"
AGAIN = "are links to a folder that is read already"

ROWS: dict[str, Row] = {
    "S1": (
        Case(nothing, 2, ["holds no class folders", LAYOUT]),
        Case(files("train/"), 2, ["pictures/train holds no class folders", LAYOUT]),
        Case(files("train/a/", "train/b/"), 2, ["holds no pictures", LAYOUT]),
        Case(no_picture, 2, ["holds no pictures", LAYOUT]),
        Case(a_file, 2, ["0.png is a file; give a folder of class folders, or the name of a set"]),
    ),
    "S2": (
        Case(files("train/a/1.png", "train/b/"), 2, ["1 of 2 classes have no images in train: 'b'", "--allow-empty"]),
        Case(unreadable_class, 2, ["none of the 3 training pictures of class 'b' can be read (unidentified)"]),
        Case(with_empty_class, 0, (), classes_are_kept),
    ),
    "S3": (
        Case(
            files(*(f"{number}.png" for number in range(7)), "a/1.png"),
            2,
            [
                "7 files or folders",
                "lie outside class folders or deeper",
                "'0.png', '1.png', '2.png', '3.png', '4.png', ...",
            ],
        ),
        Case(files("train/1.png", "train/a/1.png"), 2, ["1 files", "'train/1.png'"]),
        Case(files("2.png", "a/1.png"), 2, ["1 files", "'2.png'"]),
        Case(files("train/a/deep/1.png", "train/a/1.png"), 2, ["deeper inside", "'train/a/deep/'"]),
    ),
    "S4": (
        Case(
            files("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png"),
            2,
            ["only in train/: 'b'; only in val/: 'c'"],
        ),
        Case(files("train/a/1.png", "train/b/1.png", "test/a/1.png"), 2, ["only in train/: 'b'; only in test/: none"]),
    ),
    "S5": (
        Case(
            files("train/Dog/1.png", "train/dog/1.png"),
            2,
            ["differ only in case, blanks or Unicode form: 'Dog', 'dog'"],
        ),
        Case(files("caf\u00e9/1.png", "cafe\u0301/1.png"), 2, [r"form: 'cafe\u0301', 'caf\xe9'; merge or rename"]),
        Case(files("train/Dog/1.png", "val/dog/1.png"), 2, ["class 'Dog' of train/ is spelled 'dog' in val/"]),
        Case(
            files("train/caf\u00e9/1.png", "val/cafe\u0301/1.png"),
            2,
            [r"class 'caf\xe9' of train/ is spelled 'cafe\u0301' in val/"],
        ),
        Case(files(b"train/a/\xff\xfe.png", b"train/caf\xe9/1.png"), 0, (), names_survive),
    ),
    "S21": (
        Case(linked(("train/a/x.png", "../../../outside/x.png")), 2, [LEAD_OUT, "'train/a/x.png'"]),
        Case(linked(("train/c", "../../outside")), 2, [LEAD_OUT, "'train/c'"]),
        Case(linked(("train/a/x.png", "../../../outside/x.png"), flags=["--follow-symlinks"]), 0, ["7"]),
        Case(linked(("train/a/x.png", "0.png")), 0, ["7"]),
        Case(linked(("train/a/loop", "..")), 2, ["deeper inside", "'train/a/loop/'"]),
        Case(linked(("train/c", "a"), ("val/c", "b")), 2, [AGAIN, "'train/c', 'val/c'"]),
        Case(linked(("test", "train"), flags=["--reported", "test"]), 2, [AGAIN, "'test/a', 'test/b'"]),
        Case(linked(("train/a/x.png", "gone.png"), ("train/a/y.png", "y.png")), 2, ["2 files", "dangling links"]),
        Case(linked(("train/a/x.png", "/dev/zero"), flags=["--follow-symlinks"]), 2, ["no regular files; remove them"]),
        Case(fifo, 2, ["no regular files; remove them: 'train/a/pipe.png'"]),
        Case(unix_socket, 2, ["no regular files; remove them: 'train/a/s.png'"]),
        Case(later_a_fifo, 7, ["train/a/0.png' is no regular file any more: the source has changed"]),
    ),
    "S22": Case(denied, 0),
    "S24": (
        Case(duplicates, 0, ["WARNING: 5 pictures stand there more than once, in 2 sets"], duplicates_are_counted),
        Case(sound, 0, (), no_duplicates),
    ),
    "S30": (
        Case(label_file(lambda text: text[:-2]), 2, ["holds 16 pictures", "has labels for 15"]),
        Case(label_file(lambda text: "9" + text[1:]), 2, ["ground_truth.txt, line 1: there is no class 9"]),
        Case(
            label_file(lambda text: text.replace("\n", "\nx\n", 1)), 2, ["ground_truth.txt, line 2: 'x' is not an id"]
        ),
        Case(label_file(lambda text: "\ufeff" + text.replace("\n", "\r\n")), 0, ["40"]),
    ),
}
