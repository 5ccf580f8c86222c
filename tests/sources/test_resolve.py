"""From `--data` to a source."""

import pytest

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.folder import FolderSource
from bandwise.sources.named import catalog as named
from bandwise.sources.resolve import open_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder that holds `photos/train/a/1.png` and `photos/val/a/1.png`."""
    for split in ("train", "val"):
        (tmp_path / "photos" / split / "a").mkdir(parents=True)
        (tmp_path / "photos" / split / "a/1.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.fixture
def opened(monkeypatch):
    """Record which named sets are opened instead of fetching them."""
    names = []
    monkeypatch.setattr("bandwise.sources.resolve.open_named", names.append)
    return names


def test_a_name_comes_before_a_folder_of_that_name(folder, opened):
    open_source(DataConfig(data="photos"))
    assert opened == ["photos"]


@pytest.mark.parametrize("config", [DataConfig(data="./photos"), DataConfig(data="photos", source="folder")])
def test_a_folder(folder, opened, config):
    source = open_source(config)
    assert isinstance(source, FolderSource)
    assert source.root == folder
    assert opened == []


def test_options_reach_the_folder(folder):
    (folder / "test/a").mkdir(parents=True)
    source = open_source(DataConfig(data=str(folder), reported="test", follow_symlinks=True))
    assert isinstance(source, FolderSource)
    assert (source.reported_folder, source.follow_symlinks) == (b"test", True)


def test_neither_a_name_nor_a_folder():
    with pytest.raises(
        UsageError, match=r"--data 'photo' is neither .* \(did you mean 'photos'\?\); known sets: photos,"
    ):
        open_source(DataConfig(data="photo"))
    with pytest.raises(UsageError, match="neither a folder nor a known set; known sets"):
        open_source(DataConfig(data="zzz"))
    with pytest.raises(UsageError, match=r"there is no set 'mnits' \(did you mean 'mnist'\?\)"):
        open_source(DataConfig(data="mnits", source="named"))
    with pytest.raises(UsageError, match="the folder zzz cannot be opened"):
        open_source(DataConfig(data="zzz", source="folder"))


def test_a_named_set_has_its_own_reported_images(opened):
    with pytest.raises(UsageError, match="the set 'mnist' reports on its test images; leave --reported out"):
        open_source(DataConfig(data="mnist", reported="val"))
    open_source(DataConfig(data="mnist", reported="test"))
    with pytest.raises(UsageError, match="the set 'imagewoof2' reports on its validation images; leave --reported out"):
        open_source(DataConfig(data="imagewoof2", reported="test"))
    open_source(DataConfig(data="imagewoof2", reported="val"))
    assert opened == ["mnist", "imagewoof2"]


def test_available_describes_every_set():
    small = ["photos", "photos-coarse", "cifar10", "mnist", "fashion-mnist"]
    large = [f"{family}{side}" for family in ("imagenette2", "imagewoof2") for side in ("", "-320", "-160")]
    assert list(named.available()) == small + large
    assert all("\n" not in text and text for text in named.available().values())


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("BANDWISE_HOME", str(tmp_path / "here"))
    assert named.home() == tmp_path / "here"
    monkeypatch.delenv("BANDWISE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert named.home() == tmp_path / "cache/bandwise"
