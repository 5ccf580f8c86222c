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

SIZES = sorted({*range(1, 258, share(4, 128)), 255, 256, 257})


class FirstPixels(torch.nn.Module):
    """Three logits that depend on the picture alone: no sum whose order could matter."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :3, 0, 0].float()


def check(store) -> None:
    """Compare all batch sizes of one set with the prediction of one picture at a time."""
    views = BandViews(store, (0,), store.side, 1, torch.device("cpu"))
    right = []
    for batch in BatchStream(store, (0,), "val", 1).batches():
        [view] = views(batch.images)
        right.append(int(view[0, :3, 0, 0].float().argmax()) == int(batch.labels[0]))
    for size in (1, 7, 64):
        for cache in ("ram", "none"):
            found, labels, logits = predict_split(
                FirstPixels(), BatchStream(store, (0,), "val", size, cache=cache), views
            )
            assert np.array_equal(found, store.ids("val"))
            scores = classification_metrics(torch.from_numpy(logits), torch.from_numpy(labels))
            assert scores.top1 == pytest.approx(sum(right) / len(right), abs=1e-12)


@pytest.mark.timeout(900)
def test_the_accuracy_is_that_of_one_picture_at_a_time(tmp_path):
    for size in SIZES:
        check(make_store(tmp_path / str(size), RandomSource(train=3, val=size, classes=("a",))))


def test_a_dropped_last_batch_is_noticed(tmp_path, monkeypatch):
    store = make_store(tmp_path / "store", RandomSource(train=3, val=129, classes=("a",)))
    real = BatchStream.batches
    monkeypatch.setattr(BatchStream, "batches", lambda self, *rest, **named: real(self, drop_last=True))
    with pytest.raises((AssertionError, ValueError)):
        check(store)
