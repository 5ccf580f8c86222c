"""Balanced sampling: as many images of every class in an epoch, those of a small class several times and each anew."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.photos import image_config, make_jpegs
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training

from bandwise.augment.draws import Purpose, uniform
from bandwise.config import AugmentConfig, RunConfig, TrainingConfig, to_dict
from bandwise.sources.folder import open_folder
from bandwise.store.reading.order import COPY_SHIFT, shuffled_windows
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset
from bandwise.training.feed import open_feed
from bandwise.training.identity import Branch
from bandwise.training.trainer import train_branch

GROUPS = [5, 3, 8, 4]
WEIGHTS = np.array([0.25] * 8 + [3.5] * 4 + [0.5] * 8)
PICTURES = (4, 12, 20)
"""Training and holdout pictures of three classes."""


def drawn(epoch: int, weights: np.ndarray | None = WEIGHTS) -> list[tuple[int, int]]:
    """Return the positions and copies of an epoch, in order."""
    windows = shuffled_windows(GROUPS, seed=3, epoch=epoch, window=2, weights=weights)
    return [pair for each in windows for pair in zip(each.positions.tolist(), each.copies.tolist(), strict=True)]


@pytest.mark.parametrize("epoch", range(4))
def test_an_epoch_is_a_systematic_sample(epoch):
    point = uniform(3, epoch, Purpose.REPEATS, np.zeros(1, np.int64))[0]
    expected, place, number = [], 0.0, 0
    for row, weight in enumerate(WEIGHTS):
        copy = 0
        while number + 1 - point <= place + weight:
            expected.append((row, copy))
            number, copy = number + 1, copy + 1
        place += weight
    found = drawn(epoch)
    assert len(found) == 20
    assert sorted(found) == expected
    assert found != sorted(found)


def test_rows_come_as_often_as_they_weigh():
    counts = Counter(row for epoch in range(400) for row, _ in drawn(epoch))
    assert [counts[row] / 400 for row in range(20)] == pytest.approx(WEIGHTS.tolist(), abs=0.1)


def test_equal_weights_change_no_order():
    assert drawn(1, np.ones(20)) == drawn(1, None)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """JPEGs of three classes of 4, 12 and 20, and their store."""
    root = tmp_path_factory.mktemp("rare")
    make_jpegs(root / "pictures", train=max(PICTURES))
    for label, count in enumerate(PICTURES):
        for extra in sorted((root / "pictures" / "train" / f"class-{label}").iterdir())[count:]:
            extra.unlink()
    split_dataset(open_folder(root / "pictures"), CONFIG.split, root / "store")
    return root


def batches(config: RunConfig, root, epoch: int = 1, start: int = 0) -> list[tuple[list[int], list[int], torch.Tensor]]:
    feed = open_feed(Branch(config, 1, open_store(root / "store"), root, torch.device("cpu")))
    try:
        return [
            (batch.ids.tolist(), batch.labels.tolist(), feed.inputs(batch, epoch)[0].clone())
            for batch in feed.batches(epoch, start=start)
        ]
    finally:
        feed.close()


def test_classes_come_alike_and_copies_are_augmented_anew(root):
    plain = replace(CONFIG, augment=AugmentConfig(hflip=0.5))
    config = with_training(plain, sampling="balanced")
    found = [batches(config, root, epoch) for epoch in range(30)]
    counts = Counter(label for epoch in found for _, labels, _ in epoch for label in labels)
    assert [counts[label] / counts.total() for label in range(3)] == pytest.approx([1 / 3] * 3, abs=0.02)
    before = Counter(label for _, labels, _ in batches(plain, root) for label in labels)
    assert before[2] > 2 * before[0]
    pictures = {
        (epoch, key): picture
        for epoch, steps in enumerate(found)
        for ids, _, images in steps
        for key, picture in zip(ids, images, strict=True)
    }
    pairs = [(here, (here[0], here[1] + (1 << COPY_SHIFT))) for here in pictures if here[1] >> COPY_SHIFT == 0]
    differing = [not torch.equal(pictures[one], pictures[other]) for one, other in pairs if other in pictures]
    assert len(differing) > 10
    assert sum(differing) > len(differing) / 2, "two draws of a few places and a flip are seldom the same"


@pytest.mark.parametrize("cache", ["none", "ram", "device"])
def test_every_way_to_hold_the_records_gives_the_same_batches(root, cache):
    expected = batches(with_training(sampling="balanced", cache="ram"), root)
    for start in (0, 2):
        found = batches(with_training(sampling="balanced", cache=cache), root, start=start)
        assert [ids for ids, _, _ in found] == [ids for ids, _, _ in expected[start:]]
        for (_, labels, images), (_, wanted, stored) in zip(found, expected[start:], strict=True):
            assert labels == wanted
            assert torch.equal(images, stored)


def test_images_come_in_the_same_order_with_repeats_of_their_own(root):
    bands = [key for ids, _, _ in batches(with_training(sampling="balanced"), root) for key in ids]
    images = batches(image_config(root, training={"sampling": "balanced"}), root)
    assert [key for ids, _, _ in images for key in ids] == bands
    twice = batches(image_config(root, training={"sampling": "balanced"}, aug_repeats=2), root)
    keys = [key for ids, _, _ in twice for key in ids]
    low = (1 << COPY_SHIFT) - 1
    assert [key & low for key in keys] == [key & low for key in bands[: len(keys) // 2] for _ in range(2)]
    assert len(set(keys)) == len(keys)


def test_a_training_that_was_interrupted_has_the_same_bits(root, tmp_path):
    config = with_training(sampling="balanced")
    train_branch(config, root / "store", tmp_path / "whole", 1)
    with pytest.raises(CrashError):
        train_branch(config, root / "store", tmp_path / "parts", 1, on_step=crash_at(3))
    train_branch(config, root / "store", tmp_path / "parts", 1)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    train_branch(CONFIG, root / "store", tmp_path / "plain", 1)
    assert outcome(tmp_path / "plain")["metrics"] != outcome(tmp_path / "whole")["metrics"]


def test_small_classes_are_counted_once_only():
    with pytest.raises(ValueError, match="sampling is 'balanced'; it must be each where class_weights weigh"):
        TrainingConfig(sampling="balanced", class_weights="auto")
    assert "sampling" not in to_dict(TrainingConfig())
    assert to_dict(TrainingConfig(sampling="balanced"))["sampling"] == "balanced"
