"""The images of a store are found where its run had them, also where the folder is called like a set."""

from dataclasses import replace

import pytest
from tests.pictures import make_folder

from bandwise.commands import store_source
from bandwise.commands.store_source import source_of
from bandwise.config import DataConfig, SplitConfig
from bandwise.errors import UsageError
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset


@pytest.fixture
def opened(monkeypatch):
    """Record what is opened instead of opening it."""
    configs = []
    monkeypatch.setattr(store_source, "open_source", configs.append)
    return configs


@pytest.fixture(params=["photos", "mine"])
def store(request, tmp_path, monkeypatch):
    """Return a store of a folder, once of one that has the name of a set."""
    monkeypatch.chdir(tmp_path)
    pictures = make_folder(tmp_path / request.param, classes=2, train=3, val=2, side=16)
    split_dataset(open_folder(pictures), SplitConfig(canvas=16), tmp_path / "store")
    return tmp_path / "store"


def test_the_folder_of_a_run_is_opened(store, opened, tmp_path):
    name = next(path.name for path in tmp_path.iterdir() if path.name != "store")
    of_run = [
        DataConfig(data=f"./{name}"),
        DataConfig(data=str(tmp_path / name)),
        DataConfig(data=name, source="folder"),
    ]
    for data in of_run:
        source_of(store, None, data)
    assert opened == [replace(data, reported="val") for data in of_run]
    source_of(store, "./moved", of_run[2])
    assert opened[-1] == DataConfig(data="./moved", reported="val")


def test_a_named_set_stays_one(store, opened, tmp_path):
    if not (tmp_path / "photos").exists():
        with pytest.raises(UsageError, match="was made from the folder 'mine'; say where it is now with --data"):
            source_of(store, None, DataConfig(data="photos"))
        return
    for data in (DataConfig(data="photos"), DataConfig(data="photos", source="named")):
        source_of(store, None, data)
        assert opened[-1] == replace(data, reported="val")


def test_a_folder_that_has_moved(store, opened, tmp_path):
    for folder in tmp_path.iterdir():
        if folder != store:
            folder.rename(tmp_path / "moved")
            with pytest.raises(UsageError, match=f"was made from the folder '{folder.name}'; say where it is now"):
                source_of(store, None, DataConfig(data=str(folder)))
