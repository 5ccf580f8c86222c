"""The fusion head, on imagined features of which each branch holds a part of what decides the class."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bandwise.errors import CorruptionError, IncompatibleError, LockedError, UsageError
from bandwise.files import atomic
from bandwise.files.arrays import write_arrays
from bandwise.files.locks import folder_lock
from bandwise.fusion import head as fitting
from bandwise.fusion.answers import BranchFeatures, join_features, read_features
from bandwise.fusion.head import TrainedHead, fit_head
from bandwise.fusion.saved import HEAD_NAME, read_fusion, save_fusion
from bandwise.models.zoo import as_stored, create_branch, logits_and_features

CLASSES = 4
SIZES = (6, 3, 5)


def imagine(split: str, count: int, *, views: int = 1, seed: int = 0) -> BranchFeatures:
    """Labels that depend on a product of two hidden numbers, so that no linear rule on one branch finds them."""
    centres = np.random.default_rng(5).normal(size=(CLASSES, sum(SIZES)))
    generator = np.random.default_rng([seed, count])
    labels = generator.integers(CLASSES, size=count)
    signs = generator.choice([-1.0, 1.0], size=(count, 1))
    clean = 40 * centres[labels] * signs + 7
    noisy = clean + 30 * generator.normal(size=(views, count, sum(SIZES)))
    parts = np.split(noisy.astype(np.float32), np.cumsum(SIZES)[:-1], axis=2)
    ids = np.arange(count) + (0 if split == "train" else 10_000)
    return BranchFeatures((0, 1, 3), ids, labels, tuple(parts), split, ("a", "b", "c"))


@pytest.fixture(scope="module")
def trained():
    return fit_head(imagine("train", 1500, views=2), imagine("holdout", 400), classes=CLASSES, seed=3)


def test_it_finds_what_no_linear_rule_finds(trained):
    reported = imagine("val", 1000)
    top1 = (trained.apply(reported).argmax(1) == reported.labels).mean()
    train = imagine("train", 1500)
    inputs = np.concatenate([own[0] for own in train.features], axis=1) - 7
    weights, *_ = np.linalg.lstsq(inputs, np.eye(CLASSES)[train.labels], rcond=None)
    linear = ((np.concatenate([own[0] for own in reported.features], axis=1) - 7) @ weights).argmax(1)
    assert top1 > 0.7
    assert (linear == reported.labels).mean() < 0.4


def test_the_same_seed_gives_the_same_bits_and_leaves_the_generators_alone(trained):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    again = fit_head(imagine("train", 1500, views=2), imagine("holdout", 400), classes=CLASSES, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in again.head.state_dict().items():
        assert torch.equal(value, trained.head.state_dict()[name])
    assert again.temperature == trained.temperature
    other = fit_head(imagine("train", 1500, views=2), imagine("holdout", 400), classes=CLASSES, seed=4)
    assert not torch.equal(other.head.classifier.weight, trained.head.classifier.weight)


def test_a_missing_branch_is_tolerated(trained):
    reported = imagine("val", 1000)
    for branch in trained.branches:
        top1 = (trained.apply(reported, without=branch).argmax(1) == reported.labels).mean()
        assert top1 > 0.4
    one = imagine("val", 5)
    with pytest.raises(IncompatibleError, match=r"of the branches \[0, 1\], the head of \[0, 1, 3\]"):
        trained.apply(BranchFeatures((0, 1), one.ids, one.labels, one.features[:2], "val", ("a", "b")))
    with pytest.raises(IncompatibleError, match="of other weights"):
        trained.apply(BranchFeatures(one.branches, one.ids, one.labels, one.features, "val", ("a", "b", "other")))


def test_without_hiding_branches_a_missing_one_costs_more(trained, monkeypatch):
    """The negative control of branch dropout."""
    monkeypatch.setattr(fitting, "hide_branches", lambda batch, sizes, generator: batch)
    without = fit_head(imagine("train", 1500, views=2), imagine("holdout", 400), classes=CLASSES, seed=3)
    reported = imagine("val", 4000)

    def nll_without(head, branch):
        logits = torch.from_numpy(head.apply(reported, without=branch))
        return float(nn.functional.cross_entropy(logits, torch.from_numpy(reported.labels)))

    assert sum(nll_without(without, b) for b in (0, 1, 3)) > sum(nll_without(trained, b) for b in (0, 1, 3))


def test_training_is_the_plain_loop(monkeypatch):
    """Against a loop written out here, without dropout, hidden branches or early stopping."""
    monkeypatch.setattr(fitting, "hide_branches", lambda batch, sizes, generator: batch)
    monkeypatch.setattr(fitting, "MAX_EPOCHS", 2)
    monkeypatch.setattr("bandwise.fusion.head.DROPOUT", 0.0)
    train, holdout = imagine("train", 300), imagine("holdout", 100)
    found = fit_head(train, holdout, classes=CLASSES, seed=9)
    torch.manual_seed(9)
    first, second = nn.Linear(sum(SIZES), 256), nn.Linear(256, CLASSES)
    inputs = torch.from_numpy(np.concatenate([own[0] for own in train.features], axis=1)).double()
    inputs = ((inputs - inputs.mean(0)) / inputs.std(0, correction=0)).float()
    labels = torch.from_numpy(train.labels)
    optimizer = torch.optim.AdamW([*first.parameters(), *second.parameters()], lr=1e-3, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(9)
    for _ in range(2):
        for rows in torch.randperm(300, generator=generator).split(256):
            loss = nn.functional.cross_entropy(second(first(inputs[rows]).relu()), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(found.head.classifier.weight, second.weight.detach(), rtol=1e-3, atol=1e-5)


def test_reported_images_are_refused():
    train, holdout = imagine("train", 60), imagine("holdout", 30)
    with pytest.raises(UsageError, match="not on train and val"):
        fit_head(train, imagine("val", 30), classes=CLASSES, seed=0)
    with pytest.raises(UsageError, match="not on holdout and holdout"):
        fit_head(holdout, holdout, classes=CLASSES, seed=0)


def test_a_head_survives_the_disk(trained, tmp_path):
    path = tmp_path / "fusion.json"
    save_fusion(path, trained)
    again, reported = read_fusion(path), imagine("val", 50)
    assert isinstance(again, TrainedHead)
    assert again.branches == (0, 1, 3)
    assert np.array_equal(again.apply(reported), trained.apply(reported))
    assert json.loads(path.read_text())["rule"] == "head"


def test_a_head_of_another_fusion_is_refused(trained, tmp_path):
    save_fusion(tmp_path / "fusion.json", trained)
    other = fit_head(imagine("train", 60), imagine("holdout", 30), classes=CLASSES, seed=0)
    save_fusion(tmp_path / "other.json", other)
    with pytest.raises(CorruptionError, match=r"is not the head of fusion\.json"):
        read_fusion(tmp_path / "fusion.json")


def test_two_at_once_cannot_leave_the_weights_of_one_and_the_description_of_the_other(trained, tmp_path):
    save_fusion(tmp_path / "fusion.json", trained)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = fit_head(imagine("train", 60), imagine("holdout", 30), classes=CLASSES, seed=0)
    with folder_lock(tmp_path), pytest.raises(LockedError, match="is being written by process"):
        save_fusion(tmp_path / "fusion.json", other)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert read_fusion(tmp_path / "fusion.json").branches == trained.branches


def write(path, branch: int, **changes):
    data = imagine("train", 30)
    meta = {"branch": str(branch), "split": "train", "views": "1", "store": "s", "weights": "w", "classes": "c"}
    arrays = {"ids": data.ids, "labels": data.labels, "features": data.features[branch].astype(np.float16)}
    write_arrays(path, {**arrays, **changes.pop("arrays", {})}, {**meta, **changes})
    return path


def load_features(paths):
    return join_features([(path, read_features(path)) for path in paths])


def test_feature_files_must_belong_together(tmp_path):
    first, second = write(tmp_path / "a", 0), write(tmp_path / "b", 1)
    found = load_features([first, second])
    assert found.sizes == SIZES[:2]
    assert (found.branches, found.views, found.split) == ((0, 1), 1, "train")
    np.testing.assert_allclose(found.features[1], imagine("train", 30).features[1], rtol=1e-3)
    with pytest.raises(IncompatibleError, match="store is other, not s"):
        load_features([first, write(tmp_path / "c", 1, store="other")])
    with pytest.raises(IncompatibleError, match="other samples or labels"):
        load_features([first, write(tmp_path / "c", 1, arrays={"ids": np.arange(30) + 1})])
    with pytest.raises(IncompatibleError, match=r"\[0, 0\]; name every branch once"):
        load_features([first, first])
    with pytest.raises(UsageError, match="name at least one branch"):
        load_features([])
    with pytest.raises(CorruptionError, match="do not belong together"):
        load_features([write(tmp_path / "c", 1, views="2")])
    with pytest.raises(CorruptionError, match="not finite"):
        load_features([write(tmp_path / "c", 1, arrays={"features": np.full((1, 30, 2), np.nan, np.float16)})])
    atomic.write_bytes(tmp_path / "c", b"no tensors")
    with pytest.raises(CorruptionError, match="is damaged"):
        load_features([tmp_path / "c"])


def test_features_are_what_the_classifier_is_given():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 28, 28)
    for model in ("resnet8-narrow", "fc4", "alexnet-sub4"):
        side = 48 if model == "alexnet-sub4" else 28
        images = torch.randn(3, 3, side, side)
        network = create_branch(model, num_classes=5, in_channels=3, input_size=side).eval()
        logits, features = logits_and_features(network, images)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        torch.testing.assert_close(last(features), logits)
        assert torch.equal(logits, network(images))
        assert not last._forward_pre_hooks
    with pytest.raises(UsageError, match="has no linear layer"):
        logits_and_features(nn.Flatten(), images)
    with pytest.raises(UsageError, match="does not end in one linear layer"):
        logits_and_features(nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 4), nn.Unflatten(1, (2, 2))), images)


def test_training_stops_where_the_holdout_is_best():
    """Labels that mean nothing: every epoch after the first few is worse."""
    train, holdout = imagine("train", 300), imagine("holdout", 200)
    noise = np.random.default_rng(1)
    train = replace(train, labels=noise.integers(CLASSES, size=300))
    found = fit_head(train, holdout, classes=CLASSES, seed=0)
    assert found.epochs <= 3


def test_stored_features_stay_finite():
    assert as_stored(torch.tensor([1e9, -1e9, 0.1])).tolist() == [65504.0, -65504.0, float(np.float16(0.1))]


@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_bit_is_found(trained, tmp_path, seed):
    path = tmp_path / "fusion.json"
    save_fusion(path, trained)
    victim = tmp_path / random.Random(seed).choice(["fusion.json", HEAD_NAME])
    content = bytearray(victim.read_bytes())
    place = random.Random(seed).randrange(8 * len(content))
    content[place // 8] ^= 1 << place % 8
    victim.write_bytes(bytes(content))
    with pytest.raises(CorruptionError, match=victim.name):
        read_fusion(path)
