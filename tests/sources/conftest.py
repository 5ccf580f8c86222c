"""A home of its own for every test, and one small set of pictures for all."""

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
