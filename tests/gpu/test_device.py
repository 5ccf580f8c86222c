"""An accelerator does what a CPU does: the same bytes, the same answers within a stated bound, the same resume."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, make_store, with_training

from bandwise.bands.module import BandSplit
from bandwise.bands.transform import SubbandTransform
from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.errors import Preempted
from bandwise.runs.logits import read_logits
from bandwise.training.predict import write_answers
from bandwise.training.trainer import train_branch

pytestmark = pytest.mark.gpu

BOUND = 2e-2
"""Of weights and logits after some steps in float32: convolutions add up in another order, and may use TF32."""


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store"), CONFIG)


def on(device: torch.device, **changes):
    config = with_training(device=device.type, **changes)
    return replace(config, network=replace(config.network, model="resnet8", stem="dense"))


def weights(folder):
    return read_checkpoint(steps(folder)[0]).model


def close(one, other, bound: float) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=bound, atol=bound)


@pytest.mark.parametrize("kind", ["dct2d", "dct1d", "hadamard", "identity", "random"])
def test_a_split_has_the_bytes_of_the_cpu(device, kind):
    transform = SubbandTransform(4, kind, 3)
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    split = BandSplit(transform)
    assert torch.equal(split.to(device)(images.to(device)).cpu(), BandSplit(transform)(images))


def test_a_training_is_that_of_the_cpu_within_the_bound(device, store_path, tmp_path):
    for name, where in (("here", device), ("cpu", torch.device("cpu"))):
        train_branch(on(where, epochs=1, warmup_epochs=0), store_path, tmp_path / name, 1)
    close(weights(tmp_path / "here"), weights(tmp_path / "cpu"), BOUND)


@pytest.mark.parametrize("opt", ["sgd", "adamw"])
def test_a_training_goes_from_the_cpu_to_the_device_and_back(device, store_path, tmp_path, opt):
    cpu = torch.device("cpu")
    for name, places in (("moved", (cpu, device, cpu)), ("cpu", (cpu, cpu, cpu))):
        for place, stop in zip(places, (5, 9, None), strict=True):
            config = on(place, opt=opt, checkpoint_steps=1)
            if stop is None:
                train_branch(config, store_path, tmp_path / name, 1)
            else:
                with pytest.raises(CrashError):
                    train_branch(config, store_path, tmp_path / name, 1, on_step=crash_at(stop))
    close(weights(tmp_path / "moved"), weights(tmp_path / "cpu"), BOUND)


def test_a_training_that_is_stopped_goes_on(device, store_path, tmp_path):
    def stop(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    config = on(device)
    with pytest.raises(Preempted):
        train_branch(config, store_path, tmp_path / "stopped", 1, on_step=stop)
    train_branch(config, store_path, tmp_path / "stopped", 1)
    train_branch(config, store_path, tmp_path / "whole", 1)
    close(weights(tmp_path / "stopped"), weights(tmp_path / "whole"), BOUND if device.type == "cuda" else 0)


def test_records_on_the_device_train_as_records_from_the_disk(device, store_path, tmp_path):
    for cache in ("device", "none"):
        train_branch(on(device, cache=cache), store_path, tmp_path / cache, 1)
    close(weights(tmp_path / "device"), weights(tmp_path / "none"), BOUND if device.type == "cuda" else 0)


def test_answers_are_those_of_the_cpu_within_the_bound(device, store_path, tmp_path):
    config = on(torch.device("cpu"))
    train_branch(config, store_path, tmp_path / "branch", 1)
    found = []
    for name in (device.type, "cpu"):
        out = tmp_path / f"{name}.safetensors"
        options = {"split": "val", "logits": out, "device": name, "batch_size": 4}
        write_answers(config, store_path, tmp_path / "branch", 1, **options)
        found.append(np.array(read_logits(out).logits))
    np.testing.assert_allclose(*found, rtol=BOUND, atol=BOUND)
