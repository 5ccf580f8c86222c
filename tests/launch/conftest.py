"""One finished run of two branches on small pictures, with everything that the stages leave in it."""

import shutil
from pathlib import Path

import pytest
from tests.pictures import make_folder

from bandwise.config import AugmentConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.launch.pipeline import train_branches
from bandwise.runs.run import create_run
from bandwise.sources.folder import open_folder
from bandwise.store.preview import write_preview
from bandwise.store.writing.split import split_dataset

CONFIG = RunConfig(
    split=SplitConfig(stride=2, canvas=24, holdout=0.25),
    branches="0;3",
    network=NetworkConfig(model="resnet8", stem="dense"),
    training=TrainingConfig(crop=24, epochs=2, batch_size=8, lr=0.02, checkpoint_steps=2),
    augment=AugmentConfig(hflip=0.5),
)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("images") / "pictures", classes=3, train=12, val=3, side=24)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, pictures) -> Path:
    """The run folder; do not change it."""
    path = tmp_path_factory.mktemp("launch") / "run"
    source = open_folder(pictures)
    split_dataset(source, CONFIG.split, path / "store")
    run = create_run(path, CONFIG)
    train_branches(run)
    write_preview(run.store_path, source, run.preview_folder)
    fuse_run(run)
    evaluate_run(run)
    return path


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the finished run, to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
