"""On an accelerator what a CPU does, within a bound that is said; most of it runs with the CPU in its place too."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training
from torch import Tensor

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.config import RunConfig
from bandwise.store.reading.store import open_store
from bandwise.training import feed as feed_module
from bandwise.training.determinism import reproducible
from bandwise.training.feed import BandFeed, Feed
from bandwise.training.identity import Branch
from bandwise.training.learner import Learner
from bandwise.training.resident import ResidentFeed
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")
# A float32 step on another device: other orders of summation, and TF32 switched off.
BOUND = {"rtol": 1e-3, "atol": 1e-5}
AUGMENTED = replace(CONFIG, augment=replace(CONFIG.augment, vflip=0.3, reprob=0.3))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request) -> torch.device:
    return torch.device("cuda", 0) if request.param == "cuda" else CPU


@pytest.fixture
def exact_products():
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = False
    yield
    for place, allowed in zip(places, before, strict=True):
        place.allow_tf32 = allowed


def build(device: torch.device, **changes: Any) -> Learner:
    config = with_training(model_ema=False, warmup_epochs=0, lr=0.01, **changes)
    return Learner(config, 0, num_classes=3, bands=1, channels=3, steps_per_epoch=6, device=device)


def batch(device: torch.device, seed: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 3, 10, 10, generator=generator).to(memory_format=torch.channels_last)
    return images.to(device), torch.tensor([0, 1, 2, 0, 1, 2]).to(device)


def without_dropout(learner: Learner) -> Learner:
    for layer in learner.network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    return learner


def weights(learner: Learner) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in learner.network.state_dict().items()}


def take(learner: Learner, step: int, images: Tensor, targets: Tensor) -> float:
    learner.learn(images, targets, step)
    loss = learner.settle()
    assert loss is not None
    return loss


@pytest.mark.parametrize("opt", ["sgd", "adamw", "lamb"])
def test_steps_are_those_of_the_cpu(device, exact_products, opt):
    """Four of them, with a bad batch between that changes nothing on the device."""
    with reproducible(CONFIG.training, device):
        here, there = (without_dropout(build(each, opt=opt)) for each in (CPU, device))
        for step in (1, 2, 3, 4):
            loss = take(here, step, *batch(CPU, step))
            assert take(there, step, *batch(device, step)) == pytest.approx(loss, rel=1e-3)
            before = weights(there)
            images, labels = batch(device)
            images[0] = float("nan")
            assert not torch.isfinite(torch.tensor(take(there, step, images, labels)))
            after = weights(there)
            assert all(torch.equal(before[name], after[name]) for name in before if "num_batches" not in name)
        for name, value in weights(here).items():
            if "num_batches" not in name:
                torch.testing.assert_close(weights(there)[name], value, **BOUND)


@pytest.mark.parametrize("opt", ["sgd", "adam", "adamw"])
def test_a_training_goes_from_the_cpu_to_the_device_and_back(device, exact_products, store_path, tmp_path, opt):
    """Fused there, and not here: state, counters and momenta go over, and the weights stay within the bound."""
    config = with_training(opt=opt, lr=0.005, checkpoint_steps=1, checkpoint_minutes=0.0)
    train_branch(with_training(config, device="cpu"), store_path, tmp_path / "cpu", 1)
    for where, stop in (("cpu", 3), (device.type, 7), ("cpu", 0)):
        here = with_training(config, device=where)
        if stop:
            with pytest.raises(CrashError):
                train_branch(here, store_path, tmp_path / "moved", 1, on_step=crash_at(stop))
        else:
            train_branch(here, store_path, tmp_path / "moved", 1)
    found, expected = (read_checkpoint(steps(tmp_path / name)[0]) for name in ("moved", "cpu"))
    assert found.state["position"]["step"] == expected.state["position"]["step"] == 12
    if device.type == "cpu":
        assert all(torch.equal(value, expected.model[name]) for name, value in found.model.items())
    # Dropout draws from another generator on a device, so there the weights are alike and not equal.
    assert all(torch.isfinite(value).all() for value in found.model.values())
    assert found.optim.keys() >= {name for name in expected.optim if name.startswith("optimizer")}


def test_killed_there_it_goes_on_there(device, store_path, tmp_path):
    """By steps, and by time with a thread that writes; algorithms of a device need not repeat their bits."""
    for name, minutes in (("steps", 0.0), ("time", 1e-9)):
        config = with_training(device=device.type, checkpoint_steps=1, checkpoint_minutes=minutes)
        with pytest.raises(CrashError):
            train_branch(config, store_path, tmp_path / name, 1, on_step=crash_at(5))
        assert read_checkpoint(steps(tmp_path / name)[0]).state["position"]["step"] == 5
        assert train_branch(config, store_path, tmp_path / name, 1)["steps"] == 12
    if device.type == "cpu":
        assert outcome(tmp_path / "steps")["tensors"] == outcome(tmp_path / "time")["tensors"]


def feed_on(device: torch.device, store_path: Path, kind: type[Feed], config: RunConfig = AUGMENTED) -> Feed:
    return kind(Branch(config, 0, open_store(store_path), store_path, device))


def examples(feed: Feed, epoch: int = 1) -> list[tuple[Tensor, Tensor]]:
    return [
        tuple(each.detach().cpu().clone() for each in feed.inputs(batch, epoch))
        for batch in feed.batches(epoch, start=1)
    ]  # type: ignore[return-value]


@pytest.mark.parametrize("kind", [BandFeed, ResidentFeed])
def test_batches_are_those_of_the_cpu(device, store_path, kind):
    """Bytes are gathered, cut and mirrored alike; standardising and mixing are two roundings each."""
    expected, found = examples(feed_on(CPU, store_path, BandFeed)), examples(feed_on(device, store_path, kind))
    assert len(found) == len(expected) == 5
    for one, other in zip(found, expected, strict=True):
        for values, wanted in zip(one, other, strict=True):
            torch.testing.assert_close(values, wanted, rtol=1e-6, atol=1e-6)


def test_a_stream_of_its_own_brings_the_batches_of_plain_copies(device, store_path, monkeypatch):
    """While the device is busy with the batch before."""
    plain = feed_on(device, store_path, BandFeed)
    with monkeypatch.context() as patch:
        patch.setattr(feed_module, "ahead", lambda batches, device: batches)
        expected = examples(plain)
    feed = feed_on(device, store_path, BandFeed)
    feed._goes_ahead = True
    busy = torch.randn(512, 512, device=device)
    found = []
    for batch_ in feed.batches(1, start=1):
        for _ in range(20 if device.type == "cuda" else 0):
            busy = (busy @ busy).tanh()
        found.append([each.clone() for each in feed.inputs(batch_, 1)])
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(values.cpu(), wanted) for values, wanted in zip(one, other, strict=True))


@pytest.mark.gpu
def test_a_step_copies_nothing_from_the_host_with_records_on_the_device(store_path):
    """Any wait for the device, which a copy from ordinary memory is, is an error meanwhile."""
    feed = feed_on(torch.device("cuda", 0), store_path, ResidentFeed)
    for epoch in (0, 1):
        following = feed.batches(epoch, start=0)
        # The first batch of an epoch brings its order and its draws.
        feed.inputs(next(following), epoch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert len([feed.inputs(each, epoch) for each in following]) == 5
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_compiled_step_is_the_plain_one(exact_products):
    device = torch.device("cuda", 0)
    with reproducible(CONFIG.training, device):
        plain, compiled = (without_dropout(build(device, compile=each)) for each in (False, True))
        for step in (1, 2, 3):
            loss = take(plain, step, *batch(device, step))
            assert take(compiled, step, *batch(device, step)) == pytest.approx(loss, rel=1e-3)
        for name, value in weights(plain).items():
            if "num_batches" not in name:
                torch.testing.assert_close(weights(compiled)[name], value, **BOUND)
