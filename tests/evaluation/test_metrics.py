"""Metrics by hand, against plain loops, and against the library's own multiclass form."""

import math

import numpy as np
import pytest
import torch
from tests.helpers.scores import score
from torchmetrics.functional.classification import multiclass_calibration_error

from bandwise.errors import CorruptionError, UsageError
from bandwise.evaluation import metrics
from bandwise.evaluation.metrics import (
    pack_right,
    pairwise_disagreement,
    per_class_accuracy,
    unpack_right,
)
from bandwise.runs.documents import Scores

SIZES = [1, 2, 7, 256, 257]


def sample(count: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator) * 3
    return logits, torch.randint(0, classes, (count,), generator=generator)


def loops(logits: list[list[float]], labels: list[int]) -> dict[str, float]:
    """The definitions, one sample at a time."""
    top1 = top5 = nll = 0.0
    bins: dict[int, list[tuple[float, float]]] = {}
    for row, label in zip(logits, labels, strict=True):
        order = sorted(range(len(row)), key=lambda k: -row[k])
        top1 += order[0] == label
        top5 += label in order[:5]
        largest = max(row)
        log_sum = largest + math.log(sum(math.exp(value - largest) for value in row))
        nll += log_sum - row[label]
        confidence = math.exp(largest - log_sum)
        bins.setdefault(int(confidence * 15), []).append((confidence, float(order[0] == label)))
    count = len(labels)
    ece = sum(abs(sum(c for c, _ in found) - sum(hit for _, hit in found)) for found in bins.values()) / count
    return {"n": count, "top1": top1 / count, "top5": top5 / count, "nll": nll / count, "ece": ece}


@pytest.mark.parametrize("classes", [2, 5, 14])
@pytest.mark.parametrize("count", SIZES)
def test_equal_to_plain_loops(count, classes):
    logits, labels = sample(count, classes, seed=count)
    expected = loops(logits.double().tolist(), labels.tolist())
    got = score(logits, labels)
    assert got.n == count
    assert got.top1 == expected["top1"]
    assert got.top5 == expected["top5"]
    assert got.nll == pytest.approx(expected["nll"], rel=1e-12)
    assert got.ece == pytest.approx(expected["ece"], abs=1e-12)


def test_perfect_and_hopeless():
    logits = torch.eye(10) * 1000
    right = score(logits, torch.arange(10))
    assert right == Scores(n=10, top1=1.0, top5=1.0, nll=0.0, ece=0.0)
    wrong = score(logits, torch.arange(10).roll(1))
    assert wrong.top1 == 0.0
    assert wrong.nll == 1000.0
    assert wrong.ece == 1.0


@pytest.mark.parametrize("count", [1, 13, 257])
def test_calibration_error_is_the_multiclass_one(count):
    logits, labels = sample(count, 6, seed=count)
    probabilities = logits.double().softmax(1)
    expected = multiclass_calibration_error(probabilities, labels, num_classes=6, n_bins=15, norm="l1")
    # The library rounds the confidences of the multiclass form to float32.
    assert score(logits, labels).ece == pytest.approx(float(expected), abs=1e-6)


def test_refusals():
    logits, labels = sample(4, 3)
    for bad_logits, bad_labels, message in (
        (logits[:0], labels[:0], r"N >= 1 and K >= 2; got \(0, 3\) and \(0,\)"),
        (logits[:, :1], labels, r"got \(4, 1\)"),
        (logits, labels[:3], r"got \(4, 3\) and \(3,\)"),
        (logits[None], labels, r"got \(1, 4, 3\)"),
        (logits.long(), labels, "logits must be floating point and labels integers; got torch.int64"),
        (logits, labels.float(), "and torch.float32"),
        (logits, labels - 4, "labels run from -3 to -2; with 3 classes they must be 0 to 2"),
        (logits, torch.tensor([0, 1, 2, 3]), "labels run from 0 to 3; with 3 classes they must be 0 to 2"),
        (logits.index_fill(0, torch.tensor([2]), math.nan), labels, "logits of sample 2 are not finite"),
        (logits.index_fill(0, torch.tensor([1]), math.inf), labels, "logits of sample 1 are not finite"),
    ):
        with pytest.raises(UsageError, match=message):
            score(bad_logits, bad_labels)
    for bad in (labels, labels[None, :0]):
        with pytest.raises(UsageError, match="disagreement needs answers"):
            pairwise_disagreement(bad)


def test_pieces_do_not_change_the_result(monkeypatch):
    logits, labels = sample(257, 7)
    whole = score(logits, labels)
    scoring = metrics.Scoring()
    for samples in zip(logits.split(10), labels.split(10), strict=True):
        scoring.add(*samples)
    assert scoring.scores() == whole
    monkeypatch.setattr(metrics, "_CHUNK_VALUES", 50)
    pieces = score(logits, labels)
    assert pieces.top1 == whole.top1
    assert pieces.top5 == whole.top5
    assert pieces.ece == whole.ece
    assert pieces.nll == pytest.approx(whole.nll, rel=1e-14)


@pytest.mark.parametrize("count", [1, 7, 257])
def test_classes_and_disagreements_against_loops(count):
    logits = torch.stack([sample(count, 4, seed)[0] for seed in range(3)])
    labels, votes = sample(count, 4)[1], logits.argmax(2).tolist()
    accuracy, counts = per_class_accuracy(logits[0].argmax(1), labels, 4)
    for label in range(4):
        rows = [vote == label for vote, own in zip(votes[0], labels.tolist(), strict=True) if own == label]
        assert counts[label] == len(rows)
        assert accuracy[label].item() == pytest.approx(sum(rows) / len(rows) if rows else math.nan, nan_ok=True)
    differ = [[sum(a != b for a, b in zip(one, other, strict=True)) / count for other in votes] for one in votes]
    assert pairwise_disagreement(logits.argmax(2)).tolist() == pytest.approx(np.array(differ))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 10_000])
def test_bits_survive_the_text_and_are_of_as_many_images(count):
    right = np.random.default_rng(count).random(count) < 0.7
    right[-1] = True
    text = pack_right(right)
    assert np.array_equal(unpack_right(text, count), right)
    for other in (count - 1, count + 8):
        with pytest.raises(CorruptionError, match="are those of"):
            unpack_right(text, other)
    with pytest.raises(CorruptionError, match="are damaged"):
        unpack_right(text + "!", count)
