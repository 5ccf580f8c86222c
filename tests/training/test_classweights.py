"""Weights of classes: what they are, what they do to the loss, and that a training goes on only by the same."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training
from torch.nn import functional

from bandwise.errors import IncompatibleError, UsageError
from bandwise.training.classweights import class_weights
from bandwise.training.learner import Learner
from bandwise.training.trainer import require_settings, train_branch

WEIGHTS = [0.5, 1.0, 3.0]


def store(*counts: int):
    labels = np.repeat(np.arange(len(counts)), counts)
    return SimpleNamespace(classes=tuple("abcde"[: len(counts)]), labels=lambda split: labels)


def test_auto_lets_all_classes_count_alike():
    found = class_weights("auto", store(1, 3, 8))
    assert found == pytest.approx([4.0, 4 / 3, 0.5])
    assert np.average(found, weights=[1, 3, 8]) == pytest.approx(1)
    # A class without a training image leaves the others as they are.
    assert class_weights("auto", store(1, 3, 0))[:2] == pytest.approx([2.0, 2 / 3])


def test_a_file_gives_every_class_a_number(tmp_path):
    def written(content: object) -> str:
        path = tmp_path / "weights.json"
        path.write_text(json.dumps(content))
        return str(path)

    assert class_weights(written({"b": 1, "a": 3}), store(2, 2)) == pytest.approx([1.5, 0.5])
    for content, message in (
        ({"a": 1}, "in one of both only: b"),
        ({"a": 1, "b": 1, "c": 1}, "in one of both only: c"),
        ({"a": 1, "b": 0}, "b is 0; it must be above 0"),
        ({"a": 1, "b": "much"}, "b is 'much'; it must be a number"),
        ([1, 2], "holds no names with numbers"),
    ):
        with pytest.raises(UsageError, match=message):
            class_weights(written(content), store(2, 2))
    # Before anything is split.
    with pytest.raises(UsageError, match="cannot read the configuration"):
        require_settings(with_training(class_weights=str(tmp_path / "none.yaml")), 3)


def learner(weights, **training) -> Learner:
    size = {"num_classes": 3, "bands": 1, "channels": 3, "steps_per_epoch": 6, "device": torch.device("cpu")}
    return Learner(with_training(**training), 0, **size, class_weights=weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_over_images_of_weighted_terms(smoothing):
    own = learner(WEIGHTS, smoothing=smoothing)
    own.network.eval()
    images, labels = torch.randn(4, 3, 10, 10), torch.tensor([0, 2, 1, 2])
    soft = functional.one_hot(labels, 3).float() * (1 - smoothing) + smoothing / 3
    log = own.network(images).log_softmax(1)
    by_hand = -sum(WEIGHTS[label] * soft[row, label] * log[row, label] for row in range(4) for label in range(3)) / 4
    torch.testing.assert_close(own.loss(images, labels), by_hand)
    torch.testing.assert_close(own.loss(images, soft), by_hand)
    # Parts add up to the whole.
    halves = (own.loss(images[:2], labels[:2]) + own.loss(images[2:], labels[2:])) / 2
    torch.testing.assert_close(halves, by_hand)


def test_with_binary_losses_the_right_class_is_weighted():
    own = learner(WEIGHTS, bce_loss=True, smoothing=0.0)
    own.network.eval()
    images, labels = torch.randn(2, 3, 10, 10), torch.tensor([2, 0])
    logits, hot = own.network(images), functional.one_hot(labels, 3).float()
    weight = torch.tensor(WEIGHTS)
    terms = -(weight * hot * functional.logsigmoid(logits) + (1 - hot) * functional.logsigmoid(-logits))
    torch.testing.assert_close(own.loss(images, labels), terms.mean())


def test_equal_weights_are_none(store_path, tmp_path):
    """Of three classes with 12 images each."""
    for folder, chosen in (("plain", ""), ("auto", "auto")):
        train_branch(with_training(class_weights=chosen), store_path, tmp_path / folder, 1)
    plain, auto = (
        [json.loads(line)["train_loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("plain", "auto")
    )
    assert auto == pytest.approx(plain, rel=1e-4)


def test_a_training_goes_on_only_by_the_same_weights(store_path, tmp_path):
    path = tmp_path / "weights.yaml"
    names = sorted(json.loads((store_path / "STORE.json").read_text())["classes"])

    def write(*values: float) -> None:
        path.write_text("".join(f"{name}: {value}\n" for name, value in zip(names, values, strict=True)))

    config = with_training(class_weights=str(path))
    write(1, 2, 3)
    train_branch(config, store_path, tmp_path / "whole", 1)
    assert outcome(tmp_path / "whole")["state"]["class_weights"] == pytest.approx([0.5, 1.0, 1.5])
    train_branch(CONFIG, store_path, tmp_path / "plain", 1)
    assert outcome(tmp_path / "whole")["metrics"] != outcome(tmp_path / "plain")["metrics"]
    with pytest.raises(CrashError):
        train_branch(config, store_path, tmp_path / "parts", 1, on_step=crash_at(7))
    write(1, 2, 4)
    with pytest.raises(IncompatibleError, match="other weights of the classes"):
        train_branch(config, store_path, tmp_path / "parts", 1)
    write(2, 4, 6)
    train_branch(config, store_path, tmp_path / "parts", 1)
    assert outcome(tmp_path / "parts")["metrics"] == outcome(tmp_path / "whole")["metrics"]
