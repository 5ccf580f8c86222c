"""What an accelerator splits and predicts is what a CPU does; tests/training/test_accelerator.py has its trainings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, make_store, with_training

from bandwise.bands.module import BandSplit
from bandwise.bands.transform import SubbandTransform
from bandwise.runs.logits import read_logits
from bandwise.training.predict import write_answers
from bandwise.training.trainer import train_branch

BOUND = 2e-2
"""Of logits in float32: convolutions add up in another order, and may use TF32."""


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.mark.parametrize("kind", ["dct2d", "dct1d", "hadamard", "identity", "random"])
def test_a_split_has_the_bytes_of_the_cpu(device, kind):
    transform = SubbandTransform(4, kind, 3)
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    split = BandSplit(transform)
    assert torch.equal(split.to(device)(images.to(device)).cpu(), BandSplit(transform)(images))


def test_answers_are_those_of_the_cpu_within_the_bound(device, tmp_path):
    store = make_store(tmp_path, CONFIG)
    config = with_training(device="cpu", epochs=1, warmup_epochs=0)
    config = replace(config, network=replace(config.network, model="resnet8", stem="dense"))
    train_branch(config, store, tmp_path / "branch", 1)
    found = []
    for name in (device.type, "cpu"):
        out = tmp_path / f"{name}-{len(found)}.safetensors"
        write_answers(config, store, tmp_path / "branch", 1, split="val", logits=out, device=name, batch_size=4)
        found.append(np.array(read_logits(out).logits))
    np.testing.assert_allclose(*found, rtol=BOUND, atol=0 if device.type == "cpu" else BOUND)
