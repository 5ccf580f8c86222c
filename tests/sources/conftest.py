"""A home of its own for every test, and one small set of pictures for all."""

import shutil

import pytest
from tests.sources import imagenet


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDWISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Return a folder of class folders; no test changes it."""
    return imagenet.make_folders(tmp_path_factory.mktemp("folders") / "set")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, folders):
    """Return those pictures as the archives of ImageNet-1K; no test changes them."""
    return imagenet.make_imagenet1k(folders, tmp_path_factory.mktemp("archives") / "archives")


@pytest.fixture
def archives(tmp_path, pristine):
    """Return a copy of the archives that a test may damage."""
    return shutil.copytree(pristine, tmp_path / "archives")
