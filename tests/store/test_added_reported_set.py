"""A reported set that comes after the split: what was written stays, and the store ends as if it had been there."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource
from tests.helpers.trees import tree

from bandwise.config import SplitConfig
from bandwise.errors import IncompatibleError
from bandwise.store.reading.store import Store, open_store
from bandwise.store.verify import verify_store
from bandwise.store.writing import conversion
from bandwise.store.writing.split import split_dataset

CONFIG = SplitConfig(canvas=8, holdout=0.2, group_size=256, bands="0,3")
ALL = RandomSource(train=600, val=9, broken=frozenset({b"train/00007"}))
BEFORE = replace(ALL, val=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, str]:
    """The files of the store of all images, split at once."""
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(ALL, CONFIG, out)
    return tree(out)


@pytest.fixture
def store(tmp_path) -> Path:
    split_dataset(BEFORE, CONFIG, tmp_path / "store")
    return tmp_path / "store"


def unread(monkeypatch) -> None:
    """Let a training image that is read again fail the test."""
    real = RandomSource.read
    monkeypatch.setattr(
        RandomSource,
        "read",
        lambda self, path: real(self, path) if path.startswith(b"val") else pytest.fail(f"{path!r} was read again"),
    )


def test_it_ends_as_the_store_of_all_images_without_reading_one_again(store, whole, monkeypatch):
    before = open_store(store)
    unread(monkeypatch)
    split_dataset(ALL, CONFIG, store)
    assert tree(store) == whole
    verify_store(store)
    after = open_store(store)
    assert after.digest != before.digest
    assert after.has_digest(before.digest)
    assert after.has_digest(after.digest)
    assert not before.has_digest(after.digest)


@pytest.mark.parametrize(
    "other",
    [replace(ALL, train=599), replace(ALL, side=9), replace(ALL, train=601), replace(ALL, classes=("a", "b", "d"))],
    ids=["one less", "other sizes", "one more", "another class"],
)
def test_other_training_images_are_another_store_and_nothing_is_touched(store, other):
    before = tree(store)
    with pytest.raises(IncompatibleError, match="was made otherwise than asked for now"):
        split_dataset(other, CONFIG, store)
    assert tree(store) == before


def test_another_split_is_refused_beside_it(store):
    before = tree(store)
    with pytest.raises(IncompatibleError, match="background: 255 -> 7"):
        split_dataset(ALL, replace(CONFIG, background=7), store)
    assert tree(store) == before


class StoppedError(Exception):
    """What a test raises in the middle."""


@pytest.mark.parametrize("stop", range(5))
def test_stopped_anywhere_it_goes_on(store, whole, monkeypatch, stop):
    """After each commit record, before the sample list, and before the manifest."""
    calls = []

    def counted(real):
        def call(*given):
            if len(calls) == stop:
                raise StoppedError
            calls.append(real)
            return real(*given)

        return call

    with monkeypatch.context() as patch:
        for name in ("write_document", "write_samples", "derive_manifest"):
            patch.setattr(conversion, name, counted(getattr(conversion, name)))
        with pytest.raises(StoppedError):
            split_dataset(ALL, CONFIG, store)
    unread(monkeypatch)
    split_dataset(ALL, CONFIG, store)
    assert tree(store) == whole


def test_a_damaged_record_is_written_again_from_the_images(store, whole):
    next(store.glob("commits/train-*.json")).write_text("{}")
    split_dataset(ALL, CONFIG, store)
    assert tree(store) == whole


def test_the_comparison_sees_other_training_images(store, monkeypatch):
    """Negative control: a digest that left out more than the reported set would take any store."""
    split_dataset(ALL, CONFIG, store)
    other = store.with_name("other")
    split_dataset(replace(ALL, broken=frozenset({b"train/00008"})), CONFIG, other)
    other_before = store.with_name("before")
    split_dataset(replace(BEFORE, broken=frozenset({b"train/00008"})), CONFIG, other_before)
    assert open_store(other).has_digest(open_store(other_before).digest)
    assert not open_store(store).has_digest(open_store(other_before).digest)
    monkeypatch.setattr(Store, "_digest_without_reported", open_store(other_before).digest)
    assert open_store(store).has_digest(open_store(other_before).digest)
