"""A store whose documents or sample list are damaged is mended from what remains, and looked at again."""

import os
from pathlib import Path

import pytest
from tests.helpers.arrays import SOURCE
from tests.helpers.trees import tree

from bandwise.errors import CorruptionError, UsageError
from bandwise.store.reading.store import read_source_facts
from bandwise.store.verify import verify_store


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE = (flipped, longer, cut, emptied, pipe, Path.unlink)


def named(store: Path) -> list[str]:
    with pytest.raises(CorruptionError) as caught:
        verify_store(store)
    return [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:-1]]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, damage) for name in ("STORE.json", "README.md") for damage in DAMAGE),
        # Without a manifest a store is not finished, which is no damage.
        *(("MANIFEST.json", damage) for damage in DAMAGE if damage is not Path.unlink),
    ],
)
def test_a_document_needs_no_images(store, whole, name, damage):
    damage(store / name)
    assert named(store) == [name]
    assert read_source_facts(store) == SOURCE.fingerprint
    assert verify_store(store, repair=True)["repaired"] == [name]
    assert tree(store) == tree(whole)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DAMAGE)
def test_the_sample_list_needs_the_images(store, whole, damage):
    damage(store / "samples.parquet")
    assert named(store) == ["samples.parquet"]
    with pytest.raises(UsageError, match=r"samples\.parquet can only be made again from the images .* with --data"):
        verify_store(store, repair=True)
    assert verify_store(store, repair=True, source=SOURCE)["repaired"] == ["samples.parquet"]
    assert tree(store) == tree(whole)


def test_several_damages_at_once(store, whole):
    for name in ("STORE.json", "README.md", "samples.parquet", "commits/train-00001.json"):
        flipped(store / name)
    assert len(named(store)) == 4
    assert len(verify_store(store, repair=True, source=SOURCE)["repaired"]) == 4
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
    flipped(store / "README.md")
    with pytest.raises(UsageError, match=r"README\.md can only be made again"):
        verify_store(store, repair=True)
