"""The source of a store is opened as the kind that it was: not as a named set that a folder shares its name with."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource
from tests.pictures import make_folder

from bandwise.commands import store_source
from bandwise.commands.store_source import source_of
from bandwise.config import DataConfig, SplitConfig
from bandwise.errors import UsageError
from bandwise.sources.resolve import open_source
from bandwise.store.origin import require_source
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset

SPLIT = SplitConfig(canvas=16, bands="0")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Split a folder of that name as a configuration says, from the folder that holds it."""

    def make(data: DataConfig, *, val: int = 2) -> Path:
        make_folder(tmp_path / "photos", classes=2, train=6, val=2, side=16)
        if not val:
            shutil.rmtree(tmp_path / "photos" / "val")
        monkeypatch.chdir(tmp_path)
        split_dataset(open_source(data), SPLIT, tmp_path / "store")
        return tmp_path / "store"

    return make


@pytest.mark.parametrize("data", [DataConfig(data="./photos"), DataConfig(data="photos", source="folder")])
def test_a_folder_named_as_a_set_is_read_where_the_run_had_it(made, data):
    store = made(data)
    source = source_of(store, None, data)
    assert source.root == Path.cwd() / "photos"
    require_source(open_store(store), source)


def test_a_folder_is_read_where_it_is_told_to_be_now(made, tmp_path):
    store = made(DataConfig(data="./photos"))
    (tmp_path / "photos").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="was made from the folder 'photos'; say where it is now with --data"):
        source_of(store, None, DataConfig(data="./photos"))
    require_source(open_store(store), source_of(store, str(tmp_path / "moved"), DataConfig(data="./photos")))


@pytest.mark.parametrize("data", [None, DataConfig(), DataConfig(data="photos", source="named")])
def test_a_named_set_stays_one(made, monkeypatch, data):
    store = made(DataConfig(data="./photos"))
    opened: list[DataConfig] = []
    monkeypatch.setattr(store_source, "open_source", opened.append)
    source_of(store, None, data)
    assert [(config.data, config.source, config.reported) for config in opened] == [("photos", "named", "auto")]


@pytest.mark.parametrize("reported", ["auto", "none"])
def test_a_reported_set_that_came_later_is_not_read(made, tmp_path, reported):
    data = DataConfig(data="./photos", reported=reported)
    store = made(data, val=0)
    make_folder(tmp_path / "photos", classes=2, train=6, val=2, side=16)
    require_source(open_store(store), source_of(store, None, replace(data, reported="auto")))


def test_a_source_of_ones_own_without_a_name_has_to_be_given(tmp_path):
    split_dataset(RandomSource(train=9, val=3), SplitConfig(canvas=8, bands="0"), tmp_path / "store")
    with pytest.raises(UsageError, match="was made from a source of the kind 'random'; say where"):
        source_of(tmp_path / "store", None)


def test_the_table_of_a_store_is_read_again(tmp_path):
    make_folder(tmp_path / "set", classes=2, train=3, val=2, side=16)
    rows = [f"{path.relative_to(tmp_path / 'set')};{path.parent.name}" for path in (tmp_path / "set").rglob("*.png")]
    (tmp_path / "set" / "t.csv").write_text("\n".join(["which;what", *rows]))
    data = DataConfig(data=str(tmp_path / "set"), labels="t.csv", name_column="which", label_column="what")
    first = open_source(data)
    split_dataset(first, SplitConfig(canvas=16), tmp_path / "store")
    (tmp_path / "set").rename(tmp_path / "moved")
    again = source_of(tmp_path / "store", str(tmp_path / "moved"))
    assert again.fingerprint == {**first.fingerprint, "name": "moved"}
    require_source(open_store(tmp_path / "store"), again)
