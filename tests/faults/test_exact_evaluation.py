"""F23: every sample of an evaluation counts exactly once, whatever the size of the set and of the batch."""

import numpy as np
import pytest
import torch
from tests.faults.scale import share
from tests.helpers.arrays import RandomSource, make_store

from bandwise.evaluation.metrics import classification_metrics
from bandwise.evaluation.views import BandViews
from bandwise.store.reading.loader import BatchStream
from bandwise.training.predict import predict_split

SIZES = (*range(1, 258, share(4, 128)), 255, 256, 257)
BATCHES = (1, 7, 64)


class FirstPixels(torch.nn.Module):
    """Three logits that depend on the picture alone: no sum whose order could matter."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :3, 0, 0].float()


def by_hand(store, bands: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Predict one picture at a time."""
    views = BandViews(store, bands, store.side, 1, torch.device("cpu"))
    right = []
    for batch in BatchStream(store, bands, "val", 1).batches():
        [view] = views(batch.images)
        right.append(int(view[0, :3, 0, 0].float().argmax()) == int(batch.labels[0]))
    return store.ids("val"), sum(right) / len(right)


def check(store) -> int:
    """Compare all batch sizes of one set with the prediction by hand; return how many were compared."""
    ids, accuracy = by_hand(store, (0,))
    views = BandViews(store, (0,), store.side, 1, torch.device("cpu"))
    for size in BATCHES:
        for cache in ("ram", "none"):
            stream = BatchStream(store, (0,), "val", size, cache=cache)
            found, labels, logits = predict_split(FirstPixels(), stream, views)
            assert np.array_equal(found, ids)
            scores = classification_metrics(torch.from_numpy(logits), torch.from_numpy(labels))
            assert scores.top1 == pytest.approx(accuracy, abs=1e-12)
    return 2 * len(BATCHES)


@pytest.mark.timeout(900)
def test_the_accuracy_is_that_of_one_picture_at_a_time(tmp_path, figure):
    count = sum(
        check(make_store(tmp_path / str(size), RandomSource(train=3, val=size, classes=("a",))))
        for size in sorted(set(SIZES))
    )
    figure("evaluations equal to one picture at a time", count, count, f"{len(set(SIZES))} sizes from 1 to 257")


def test_a_dropped_last_batch_is_noticed(tmp_path, monkeypatch, control):
    store = make_store(tmp_path / "store", RandomSource(train=3, val=129, classes=("a",)))
    real = BatchStream.batches
    monkeypatch.setattr(BatchStream, "batches", lambda self, *rest, **named: real(self, drop_last=True))
    with pytest.raises((AssertionError, ValueError)):
        check(store)
    control()
