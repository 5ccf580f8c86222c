"""WebDataset shards: pictures and labels by key, in either form, and one clear error for each fault."""

import json
import pickle
from pathlib import Path

import pytest
from tests.sources import imagenet
from tests.sources.imagenet import IDS, tar_of

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.archives.shards import find_shards, split_of
from bandwise.sources.archives.webdataset import open_webdataset
from bandwise.sources.folder import open_folder
from bandwise.sources.resolve import open_source


def members_of(folders, split, form):
    members = {}
    for number, path in enumerate(sorted((folders / split).glob("*/*"))):
        label = IDS.index(path.parent.name)
        members[f"{number:06d}.jpg"] = path.read_bytes()
        members |= form(f"{number:06d}", label)
    return members


FORMS = {
    "cls": lambda key, label: {f"{key}.cls": str(label).encode()},
    "json": lambda key, label: {f"{key}.json": json.dumps({"width": 20, "label": label}).encode()},
    "both": lambda key, label: {
        f"{key}.json": b'{"label": 99}',
        f"{key}.cls": b"%d\n" % label,
        f"{key}.txt": b"a fish",
    },
    "words": lambda key, label: {f"{key}.cls": IDS[label].encode()},
}


def make(folders, root, form="cls"):
    root.mkdir(parents=True)
    members = list(members_of(folders, "train", FORMS[form]).items())
    step = len(members) // 40
    (root / "train-000000.tar").write_bytes(tar_of(dict(members[: 25 * step])))
    (root / "train-000001.tar").write_bytes(tar_of(dict(members[25 * step :])))
    (root / "val-000000.tar").write_bytes(tar_of(members_of(folders, "val", FORMS[form])))
    return root


@pytest.mark.parametrize("form", FORMS)
def test_the_pictures_are_those_of_the_image_folder(folders, tmp_path, form):
    root = make(folders, tmp_path / "set", form)
    if form != "words":
        (root / "classes.txt").write_text("\n".join(IDS) + "\n")
    source = pickle.loads(pickle.dumps(open_source(DataConfig(data=str(root)))))
    assert source.classes == tuple(IDS)
    assert source.fingerprint == {"kind": "webdataset", "name": "set", "reported": "val"}
    assert imagenet.contents(source) == imagenet.contents(open_folder(folders))


def test_names_and_classes(folders, tmp_path):
    source = open_webdataset(make(folders, tmp_path / "set"))
    assert source.classes == tuple("01234567")
    entry = source.entries()[25]
    assert entry.path == b"train-000001/000025.jpg"
    path = sorted((folders / "train").glob("*/*"))[25]
    assert source.read(entry.path) == path.read_bytes()
    assert (entry.size, entry.label, entry.split) == (path.stat().st_size, 5, "train")


def one_shard(tmp_path, members):
    (tmp_path / "train.tar").write_bytes(tar_of(members))
    return [(entry.path.decode(), entry.label) for entry in open_webdataset(tmp_path).entries()]


def test_keys_have_folders_and_end_at_the_first_dot(tmp_path):
    members = {"b.d/1.JPG": b"x", "b.d/1.cls": b"0", "a/1.0.seg.png": b"mask", "a/1.jpg": b"y", "a/1.cls": b"1"}
    assert one_shard(tmp_path, members) == [("train/a/1.jpg", 1), ("train/b.d/1.jpg", 0)]


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("jpg.jpg", "jpg.cls"),
        ("05.jpg", "05.cls"),
        ("a.b.jpg", "a.b.cls"),
        ("input.png", "output.cls"),
        ("image.jpg", "label.json"),
    ],
)
def test_the_only_picture_and_label_of_a_sample_may_have_dots(tmp_path, capsys, picture, label):
    content = b'{"label": %d}' if label.endswith("json") else b"%d"
    members = {f"{key}.{picture}": b"x" for key in range(3)} | {f"{key}.{label}": content % key for key in range(3)}
    assert one_shard(tmp_path, members) == [(f"train/{key}.{picture}", key) for key in range(3)]
    assert "used for nothing" not in capsys.readouterr().err


def test_some_extensions_may_stand_twice(tmp_path):
    members = {"0.jpg": b"x", "0.cls": b"0", "1.jpg.jpg": b"y", "1.jpg.cls": b"1"}
    assert one_shard(tmp_path, members) == [("train/0.jpg", 0), ("train/1.jpg.jpg", 1)]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["photo.v2_1", "photo.v2_2"], "the sample 'photo' has 2 pictures: 'photo.v2_1.jpg', 'photo.v2_2.jpg'"),
        (["0.05", "0.10", "1.05"], "the sample '0' has 2 pictures"),
        (["2021.07.1", "2021.07.2"], "the sample '2021' has 2 pictures"),
        (["a/img.v2_0", "a/img.v2_1"], "the sample 'a/img' has 2 pictures"),
        (["a/b", "a/b.2"], "the sample 'a/b' has 2 pictures: 'a/b.2.jpg', 'a/b.jpg'"),
        (["IMG.a.b", "IMG.a.c"], "rename the files so that only the extension follows a dot, or leave all but one"),
    ],
)
def test_pictures_are_never_lost_to_dots_in_their_names(tmp_path, names, words):
    with pytest.raises(UsageError, match=words):
        one_shard(tmp_path, {f"{name}.{field}": b"0" for name in names for field in ("jpg", "cls")})
    plain = {name.replace(".", "-"): name for name in names}
    assert len(one_shard(tmp_path, {f"{name}.{field}": b"0" for name in plain for field in ("jpg", "cls")})) == len(
        names
    )


def test_what_is_used_for_nothing_is_counted_and_named(tmp_path, capsys):
    members = {f"{key}.{field}": b"0" for key in range(4) for field in ("jpg", "cls", "json", "txt", "seg.png")}
    assert len(one_shard(tmp_path, {**members, "README": b"", ".DS_Store": b"", "._0.jpg": b""})) == 4
    note = capsys.readouterr().err
    assert "15 members of the shards in" in note
    assert "are used for nothing: 4 such as '0.json', 4 such as '0.txt', 4 such as '0.seg.png', 1 such as" in note


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.jpg": b"x"}, r"train.tar: 1 samples have no label \(.cls or .json\): 'a'"),
        ({"a.cls": b"0"}, r"train.tar: 1 samples have no picture: 'a'"),
        ({"a.jpg": b"x", "a.PNG": b"x", "a.cls": b"0"}, "the sample 'a' has two pictures; leave one of them out"),
        ({"a.jpg": b"x", "a.cls": b"0", "a.CLS": b"0"}, "train.tar holds 'a.CLS' twice"),
        ({"a.jpg": b"x", "a.cls": b""}, "train.tar: 'a.cls' is empty; a number or a word is needed"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "has the label -1: its pictures are not labelled"),
        ({"a.jpg": b"x", "a.cls": b"\xff"}, "train.tar: 'a.cls' is no UTF-8 text"),
        ({"a.jpg": b"x", "a.cls": b"1" * 300}, "train.tar: 'a.cls' has 300 bytes; at most 256 are read"),
        ({"a.jpg": b"x", "a.json": b"{"}, "train.tar: 'a.json' is no JSON"),
        ({"a.jpg": b"x", "a.json": b"[" * 100_000}, "train.tar: 'a.json' is no JSON"),
        ({"a.jpg": b"x", "a.json": b"[1]"}, "train.tar: 'a.json' has no number or word under \"label\""),
        ({"a.jpg": b"x", "a.json": b'{"label": true}'}, "has no number or word under"),
        ({"a.jpg": b"x", "a.json": b'{"label": 0.5}'}, "has no number or word under"),
        ({"a.jpg": b"x", "a.cls": b"0", "b.jpg": b"x", "b.cls": b"fish"}, "labels are words and numbers"),
        (
            {"a.jpg": b"x", "a.cls": b"0", "b.jpg": b"x", "b.cls": b"--5"},
            r"train.tar: labels are words and numbers, for example '--5'",
        ),
        ({"a.jpg": b"x", "a.cls": b"99999999999"}, "the label '99999999999' is none of the 1 named classes"),
        ({"../a.jpg": b"x", "../a.cls": b"0"}, r"the member '../a.jpg' at byte 0: names with a leading /"),
    ],
)
def test_what_is_refused(members, words, tmp_path, home):
    (tmp_path / "train.tar").write_bytes(tar_of(members))
    (tmp_path / "classes.txt").write_text("tench\n")
    with pytest.raises(UsageError, match=words):
        open_webdataset(tmp_path)
    assert not home.exists()


def test_split_of(tmp_path):
    expected = {
        "train-000000.tar": "train",
        "imagenet1k-train-0001.tar": "train",
        "imagenet1k-validation-00.tar": "val",
        "Valid_3.tar": "val",
        "val.tar": "val",
        "TEST-0.tar": "test",
        "retrain-0.tar": None,
        "training-0.tar": None,
        "0000.tar": None,
    }
    assert {name: split_of(tmp_path / name) for name in expected} == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            "train-000000 train-000001 train-000003",
            r"has 3 files train-\*.tar up to number 3, but not train-000002.tar",
        ),
        ("train-0 train-10 train-2", r"but not train-1.tar, train-3.tar, .*train-6.tar, \.\.\.; fetch what is missing"),
        ("train-000002 train-000003", "but not train-000001.tar; fetch"),
        ("train-0007", "but not train-0001.tar, train-0002.tar"),
        ("set_train_01 set_train_04", "but not set_train_02.tar, set_train_03.tar"),
        ("train_1 train_3", "but not train_2.tar"),
        ("train.1 train.3", "but not train.2.tar"),
        ("train-0 val-0 val-2", "but not val-1.tar"),
        ("train-1000 train-1001 train-1003", "but not train-1002.tar"),
        ("train-node3-0 train-node3-2", "but not train-node3-1.tar"),
        ("train-part0-v2 train-part2-v2", "but not train-part1-v2.tar"),
        ("train-998 train-999 train-1001", "but not train-1000.tar"),
        ("train-1000 train-1002 train-0999", "but not train-0001.tar"),
        ("train-part0001 train-part0003", "but not train-part0002.tar"),
        ("train-00-0001 train-00-0002 train-01-0001 train-01-0003", "but not train-01-0002.tar"),
        ("train-00000-of-00003 train-00002-of-00003", r"has 2 of 3 files train-\*; number 1 is missing"),
        ("train-00000-of-00002-ab1 train-00001-of-00003-cd2", r"has 1 of 2 files train-\*; number 1 is missing"),
        (
            "train-0-of-1 train-0-of-2 train-1-of-2",
            r"shards of several sets .*: train-\*-of-1, train-\*-of-2; leave one",
        ),
        (
            "train-0-of-1 train-0",
            r"shards of several sets for one split: train-\*-of-1, train-0.tar; leave one of them",
        ),
        (
            "train-0 train_small-0",
            r"holds 2 families of .*: train\* \(1 files\), train_small\* \(1 files\); give a folder",
        ),
        ("train-0 old-train-0", r"families of shards for one split: old-train\* \(1 files\), train\* \(1 files\)"),
        ("train-extra-0 train-0 train-1", r"families of shards for one split: train\* \(2 files\), train-extra\* \(1"),
    ],
)
def test_a_missing_shard_and_merged_sets_are_refused(tmp_path, names, words):
    for name in names.split():
        (tmp_path / f"{name}.tar").touch()
    with pytest.raises(UsageError, match=words):
        find_shards(tmp_path, ".tar", "auto")


@pytest.mark.parametrize(
    "names",
    [
        "train-000000 train-000001 train-000002",
        "train-1 train-2 train-3",
        "train-0001",
        "train-2011 train-2012",
        "train-2012 train-2014",
        "train-2012 train-2013 train-2015",
        "train-4711 train-9001",
        "train-node3-0 train-node7-0",
        "train-20120131 train-20120201",
        "train-2012-0000 train-2012-0001 train-2014-0000",
        "train",
        "imagenet1k-train-0000 imagenet1k-train-0001",
        "train-00-0000 train-00-0001 train-01-0000",
        "train-00000-of-00002-3f2a train-00001-of-00002-9c1b",
        "train-3f2a9c train-91bb07",
    ],
)
def test_whole_series_of_every_style_are_read(tmp_path, names):
    """A control for the test above; the gap of a split that is not read does not matter."""
    for name in [*names.split(), "test-0", "val-1", "val-3"]:
        (tmp_path / f"{name}.tar").touch()
    assert len(find_shards(tmp_path, ".tar", "test").train) == len(names.split())


@pytest.mark.parametrize("again", ["train-1", "val-0"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_shard_that_is_there_twice_is_refused(tmp_path, again, link):
    (tmp_path / "train-0.tar").touch()
    link(tmp_path / f"{again}.tar", tmp_path / "train-0.tar")
    with pytest.raises(UsageError, match=f"{again}.tar and .*train-0.tar are links to one file.*; remove one"):
        find_shards(tmp_path, ".tar", "auto")


def test_shards_and_the_reported_set(tmp_path):
    with pytest.raises(UsageError, match=r"none is no folder; give the folder that holds train-\*.tar"):
        find_shards(tmp_path / "none", ".tar", "auto")
    with pytest.raises(UsageError, match=r"holds no train-\*.tar, and none lie in"):
        find_shards(tmp_path, ".tar", "auto")
    for name in ("train-1.tar", "train-0.tar", "notes.tar"):
        (tmp_path / name).touch()
    shards = find_shards(tmp_path, ".tar", "auto")
    assert [path.name for path in shards.train] == ["train-0.tar", "train-1.tar"]
    assert (shards.reported, shards.reported_split) == ((), None)
    (tmp_path / "test-0.tar").touch()
    assert find_shards(tmp_path, ".tar", "auto").reported_split == "test"
    with pytest.raises(UsageError, match=r"--reported val: .* has no shards of that name"):
        find_shards(tmp_path, ".tar", "val")
    (tmp_path / "validation-0.tar").touch()
    with pytest.raises(UsageError, match="has shards of both val and test; name the reported set"):
        find_shards(tmp_path, ".tar", "auto")
    assert [path.name for path in find_shards(tmp_path, ".tar", "val").reported] == ["validation-0.tar"]
    assert [path.name for path in find_shards(tmp_path, ".tar", "test").reported] == ["test-0.tar"]
