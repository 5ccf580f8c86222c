"""One finished run of four branches on small pictures, evaluated."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.errors import UsageError
from bandwise.export.bundle import write_bundle
from bandwise.export.page import web_runtime
from bandwise.launch.pipeline import run
from bandwise.runs.run import open_run

CONFIG = RunConfig(
    name="small",
    split=SplitConfig(stride=2, canvas=24, holdout=0.25),
    network=NetworkConfig(model="resnet8-slim", stem="dense"),
    # The margin of the crop is odd in band pixels.
    training=TrainingConfig(crop=18, epochs=2, batch_size=8, lr=0.02, model_ema=True, model_ema_decay=0.9),
    augment=AugmentConfig(hflip=0.5),
)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("images") / "pictures", classes=3, train=12, val=5, side=37)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, pictures) -> Path:
    """The run folder; do not change it."""
    path = tmp_path_factory.mktemp("exported") / "run"
    with pytest.MonkeyPatch.context() as patch:
        # On one core no processes are started, which takes longer than the work.
        patch.setattr(os, "sched_getaffinity", lambda process: {0})
        run(replace(CONFIG, data=DataConfig(data=str(pictures))), path, jobs=1)
    return path


@pytest.fixture
def bundle(finished, tmp_path) -> Path:
    """The run as a released model, to change."""
    return write_bundle(open_run(finished), tmp_path / "model").path


@pytest.fixture(scope="session")
def reported(pictures) -> list[Path]:
    """The files of the reported set."""
    return sorted((pictures / "val").rglob("*.png"))


@pytest.fixture(scope="session")
def onnx_file(finished, tmp_path_factory) -> Path:
    """The run as an ONNX file, by the command; do not change it."""
    pytest.importorskip("onnxruntime", reason="bandwise[onnx] is not installed")
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert main(["export", str(finished), "--format", "onnx", "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def runtime() -> None:
    """What runs the page is here; where npm cannot fetch it, the test is skipped."""
    try:
        web_runtime()
    except UsageError as error:
        pytest.skip(f"onnxruntime-web cannot be fetched: {error}")
