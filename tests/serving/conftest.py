"""One finished run of three branches on small pictures: bands 0, then 1 and 2 together, then 3."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.pictures import make_folder

from bandwise.config import AugmentConfig, FusionConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.files.documents import write_document
from bandwise.fusion.answers import load_branches
from bandwise.fusion.rules import fit
from bandwise.runs.run import create_run
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset
from bandwise.training.predict import write_answers
from bandwise.training.trainer import train_branch

CONFIG = RunConfig(
    # The margin of the crop is odd in band pixels: (24 - 18) / 2 / 2.
    split=SplitConfig(stride=2, transform="dct2d", canvas=24, holdout=0.2),
    branches="0;1,2;3",
    network=NetworkConfig(model="resnet8", stem="dense"),
    training=TrainingConfig(crop=18, epochs=2, batch_size=6, lr=0.02, model_ema=True, model_ema_decay=0.9),
    augment=AugmentConfig(hflip=0.5),
    fusion=FusionConfig(rule="geometric", p=0.5),
)


def make_run(root: Path, config: RunConfig) -> Path:
    """Split, train, predict and fuse below `root`; the pictures are in `root/pictures`."""
    pictures = make_folder(root / "pictures", classes=3, train=12, val=4, side=37)
    split_dataset(open_folder(pictures), config.split, root / "run" / "store")
    run = create_run(root / "run", config)
    branches = range(len(run.groups))
    for branch in branches:
        folder = run.branch_folder(branch)
        train_branch(config, run.store_path, folder, branch)
        for split in ("holdout", "val"):
            write_answers(config, run.store_path, folder, branch, logits=run.logits_path(split, branch), split=split)
    holdout = load_branches([run.logits_path("holdout", branch) for branch in branches])
    write_document(run.fusion_path(), fit(config.fusion.rule, holdout, p=config.fusion.p).to_dict())
    return run.path


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The run folder; do not change it."""
    return make_run(tmp_path_factory.mktemp("serving"), CONFIG)


@pytest.fixture(scope="session")
def half_precision(tmp_path_factory) -> Path:
    """The same with bands in half precision, one branch, and no moving average."""
    config = replace(
        CONFIG,
        split=replace(CONFIG.split, storage="float16", transform="dct1d"),
        augment=AugmentConfig(hflip=0.0),
        branches="1;2,3",
        training=replace(CONFIG.training, model_ema=False, epochs=1),
    )
    return make_run(tmp_path_factory.mktemp("half"), config)


@pytest.fixture(scope="session")
def ensemble(finished) -> SpectralEnsemble:
    return SpectralEnsemble.from_run(finished)


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the run, without its store, to break."""
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("store"))
    return tmp_path / "run"
