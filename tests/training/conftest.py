"""A store of small pictures, and a network with dropout and batch statistics that trains in milliseconds."""

from pathlib import Path
from typing import Any

import pytest
from tests.training.tiny import CONFIG, make_store, outcome, tiny_network, with_training

from bandwise.checkpoints import branch as branch_module
from bandwise.training.trainer import train_branch


@pytest.fixture(scope="session")
def store_path(tmp_path_factory) -> Path:
    """dct2d, stride 2: 4 bands of 12 px, 3 classes, 36 images to train, 9 in the holdout, 9 in val."""
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    """Put the tiny network in the place of every named one."""
    monkeypatch.setattr(branch_module, "create_branch", tiny_network)


@pytest.fixture(scope="session")
def undisturbed(store_path, tmp_path_factory) -> dict[int, dict[str, Any]]:
    """The outcome of branch 1, never interrupted, by steps between checkpoints."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branch_module, "create_branch", tiny_network)
        for every in (1, 4):
            folder = tmp_path_factory.mktemp("undisturbed") / "branch-01"
            train_branch(with_training(checkpoint_steps=every), store_path, folder, 1)
            found[every] = outcome(folder)
    assert CONFIG.training.checkpoint_steps in found
    return found
