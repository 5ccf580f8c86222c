"""A store that is not as it was written is noticed, the file is named, and a repair brings the same bytes back."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helpers.arrays import CONFIG, SOURCE
from tests.helpers.trees import tree

from bandwise.errors import CorruptionError, IncompatibleError, Preempted, UsageError
from bandwise.store import verify
from bandwise.store.reading.store import open_store, read_source_facts
from bandwise.store.verify import verify_store
from bandwise.store.writing.split import split_dataset

SHARD, OTHER = "band-02/train-00000-of-00002.parquet", "band-03/train-00000-of-00002.parquet"
RECORD, MANIFEST = "commits/train-00001.json", "MANIFEST.json"


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "data": (lambda store: flip(store / SHARD, 5000), [SHARD]),
    "footer": (lambda store: flip(store / SHARD, -300), [SHARD]),
    "missing": (lambda store: (store / SHARD).unlink(), [SHARD]),
    "swapped": (lambda store: swap(store / SHARD, store / OTHER), [SHARD, OTHER]),
    "record": (lambda store: flip(store / RECORD, 40), [RECORD]),
    "no record": (lambda store: (store / RECORD).unlink(), [RECORD]),
    "records swapped": (
        lambda store: swap(store / RECORD, store / "commits" / "val-00000.json"),
        [RECORD, "commits/val-00000.json"],
    ),
    "manifest and shard": (lambda store: (flip(store / MANIFEST, 9), flip(store / SHARD, 99)), [MANIFEST, SHARD]),
}


def named(store: Path) -> list[str]:
    with pytest.raises(CorruptionError) as caught:
        verify_store(store)
    return [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:-1]]


def test_a_sound_store_passes(whole):
    report = verify_store(whole)
    assert report["ok"]
    assert (report["train"], report["holdout"], report["val"]) == (270, 30, 7)
    assert report["files"] == len(tree(whole)) - 1
    assert report["repaired"] == report["unfinished"] == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_repaired_to_the_same_bytes(store, whole, kind):
    damage, names = DAMAGE[kind]
    untouched = {name: (store / name).stat().st_ino for name in tree(store)}
    damage(store)
    assert named(store) == sorted(names)
    report = verify_store(store, repair=True, source=SOURCE)
    assert report["repaired"] == sorted(names)
    assert tree(store) == tree(whole)
    # Only the groups that were broken are written again.
    written = {name for name, inode in untouched.items() if (store / name).stat().st_ino != inode}
    groups = {name.split("/")[1].split(".")[0].split("-of-")[0] for name in names if "/" in name}
    assert {name for name in written if name.startswith("band-")} <= {
        name for name in untouched if any(group in name for group in groups)
    }


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DOCUMENT_DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: flip(path, len(path.read_bytes()) // 2),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "emptied": lambda path: path.write_bytes(b""),
    "pipe": pipe,
    "missing": Path.unlink,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, damage) for name in ("STORE.json", "README.md") for damage in DOCUMENT_DAMAGE),
        # Without a manifest a store is not finished, which is no damage.
        *((MANIFEST, damage) for damage in DOCUMENT_DAMAGE if damage != "missing"),
    ],
)
def test_a_document_needs_no_images(store, whole, name, damage):
    DOCUMENT_DAMAGE[damage](store / name)
    assert named(store) == [name]
    assert read_source_facts(store) == SOURCE.fingerprint
    assert verify_store(store, repair=True)["repaired"] == [name]
    assert tree(store) == tree(whole)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DOCUMENT_DAMAGE)
def test_the_sample_list_needs_the_images(store, whole, damage):
    DOCUMENT_DAMAGE[damage](store / "samples.parquet")
    assert named(store) == ["samples.parquet"]
    with pytest.raises(UsageError, match=r"samples\.parquet can only be made again from the images .* with --data"):
        verify_store(store, repair=True)
    assert verify_store(store, repair=True, source=SOURCE)["repaired"] == ["samples.parquet"]
    assert tree(store) == tree(whole)


def test_a_folder_in_the_place_of_a_file_is_named_and_left(store):
    (store / "samples.parquet").unlink()
    (store / "samples.parquet").mkdir()
    assert named(store) == ["samples.parquet"]
    with pytest.raises(CorruptionError, match=r"in the place of samples\.parquet there is a folder; move it away"):
        verify_store(store, repair=True, source=SOURCE)


def test_a_document_of_other_content_is_not_put_in_the_place_of_the_old(store, monkeypatch):
    """What would be written must have the hash that the manifest gives."""
    monkeypatch.setattr("bandwise.store.repair.build_card", lambda *_: "another card")
    flip(store / "README.md", 9)
    with pytest.raises(UsageError, match=r"README\.md can only be made again"):
        verify_store(store, repair=True)


def test_foreign_files_are_named_and_never_deleted(store):
    (store / "band-00" / "train-00009.parquet").write_bytes(b"x")
    (store / "notes.txt").write_bytes(b"mine")
    (store / ".gitattributes").write_bytes(b"*.parquet lfs")
    for repair in (False, True):
        with pytest.raises(
            CorruptionError, match=r"2 files.*\n  band-00/train-00009\.parquet: not part.*\n  notes\.txt"
        ):
            verify_store(store, repair=repair, source=SOURCE)
    assert (store / "notes.txt").read_bytes() == b"mine"


def test_repair_of_a_changed_source_replaces_nothing(store):
    flip(store / SHARD, 5000)
    before = tree(store)
    changed = dataclasses.replace(SOURCE, broken=frozenset({b"train/00011", b"train/00012", b"train/00013"}))
    with pytest.raises(IncompatibleError, match="have changed since; nothing was replaced"):
        verify_store(store, repair=True, source=changed)
    assert {name: digest for name, digest in tree(store).items() if name in before} == before
    with pytest.raises(IncompatibleError, match=r"samples\.val: 7 -> 8"):
        verify_store(store, repair=True, source=dataclasses.replace(SOURCE, val=8))
    with pytest.raises(UsageError, match="say where they are with --data"):
        verify_store(store, repair=True)


def test_both_documents_lost_is_said_plainly(store):
    flip(store / "STORE.json", 9)
    flip(store / MANIFEST, 9)
    with pytest.raises(CorruptionError, match=r"both damaged.*delete the folder and split again"):
        verify_store(store, repair=True, source=SOURCE)


def test_an_unfinished_store_is_told_apart(store):
    (store / MANIFEST).unlink()
    for check in (verify_store, open_store):
        with pytest.raises(CorruptionError, match="conversion not finished: run split again"):
            check(store)
    assert read_source_facts(store) == {"kind": "random"}


def test_what_a_run_that_adds_bands_has_left_is_no_foreign_file(tmp_path, whole):
    """Killed after the files of a group have their names and before its record has: they are ours all the same."""
    out = tmp_path / "store"
    split_dataset(SOURCE, dataclasses.replace(CONFIG, bands="0"), out)
    stopped = iter([False] * 290)
    with pytest.raises(Preempted):
        split_dataset(SOURCE, dataclasses.replace(CONFIG, bands="1-2"), out, stop=lambda: next(stopped, True))
    record = out / "commits" / "train-00000.bands-1-2.json"
    assert record.exists()
    for left in ("record and files", "files"):
        report = verify_store(out)
        assert report["bands"] == [0]
        assert "band-02/train-00000-of-00002.parquet" in report["unfinished"], left
        assert (record.relative_to(out).as_posix() in report["unfinished"]) == record.exists()
        record.unlink(missing_ok=True)
    (out / "band-02" / "train-00002-of-00002.parquet").write_bytes(b"")
    with pytest.raises(CorruptionError, match=r"band-02/train-00002-of-00002\.parquet: not part of the store"):
        verify_store(out)


def test_a_file_that_changes_between_two_looks_is_read_again(store):
    sound = verify.VerifiedFiles()
    assert verify.find_problems(store, sound) == {}
    flip(store / SHARD, 5000)
    assert list(verify.find_problems(store, sound)) == [SHARD]
