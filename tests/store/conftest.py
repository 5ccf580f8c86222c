"""The store that many of these tests look at, or damage a copy of."""

import shutil
from pathlib import Path

import pytest
from tests.helpers.arrays import CONFIG, SMALL, SMALL_CONFIG, SOURCE
from tests.helpers.trees import tree

from bandwise.store.writing.split import split_dataset


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """Four bands of `SOURCE`; do not change it."""
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(SOURCE, CONFIG, out)
    return out


@pytest.fixture
def store(whole, tmp_path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(whole, tmp_path / "store"))


@pytest.fixture(scope="session")
def whole_tree(whole) -> dict[str, str]:
    """The hash of every file of it."""
    return tree(whole)


@pytest.fixture(scope="session")
def small_tree(tmp_path_factory) -> dict[str, str]:
    """Those of a store of `SMALL`."""
    out = tmp_path_factory.mktemp("small") / "store"
    split_dataset(SMALL, SMALL_CONFIG, out)
    return tree(out)
