"""Batches that are gathered while the one before is in use: the same ones, one ahead and no further."""

import threading
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training

from bandwise.errors import CorruptionError
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.store import open_store
from bandwise.training import feed as feed_module
from bandwise.training.feed import BandFeed, ahead
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")


def stream(store_path: Path) -> BatchStream:
    return BatchStream(open_store(store_path), (1, 2), "train", 5, cache="none", readers=2)


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("bandwise-ahead")]


def differing(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Count the batches that are others once the next one has been gathered."""
    sent, real = threading.Semaphore(0), feed_module._Slot.send

    def send(slot, batch):
        found = real(slot, batch)
        sent.release()
        return found

    monkeypatch.setattr(feed_module._Slot, "send", send)
    held = stream(store_path)
    plain = [(batch.ids.clone(), batch.images.clone(), batch.labels.clone()) for batch in held.batches(1, seed=2)]
    assert len(plain) == 8
    wrong = 0
    for number, (batch, expected) in enumerate(zip(ahead(held.batches(1, seed=2), CPU), plain, strict=True)):
        # The first is told of together with the second.
        for _ in range(2 if number == 0 else int(number < 7)):
            assert sent.acquire(timeout=60)
        wrong += not all(map(torch.equal, (batch.ids, batch.images, batch.labels), expected))
    return wrong


def test_they_are_the_batches_of_the_stream(store_path, monkeypatch):
    assert not differing(store_path, monkeypatch)
    assert not ours()


def test_with_memory_for_one_batch_the_next_overwrites_it(store_path, monkeypatch):
    """The negative control."""
    monkeypatch.setattr(feed_module, "_SLOTS", 1)
    assert differing(store_path, monkeypatch)


def numbers(made: list[int], until: int, begun: threading.Semaphore) -> Generator[Batch, None, None]:
    for number in range(9):
        if number == until:
            raise CorruptionError("the fourth is damaged")
        made.append(number)
        begun.release()
        yield Batch(torch.tensor([number]), torch.full((1, 1, 2, 2), number), torch.tensor([number]))


def test_one_is_begun_while_the_one_before_is_in_use_and_none_after_it():
    made: list[int] = []
    begun = threading.Semaphore(0)
    found = ahead(numbers(made, 9, begun), CPU)
    assert next(found).ids.tolist() == [0]
    assert begun.acquire(timeout=60)
    assert begun.acquire(timeout=60), "nobody has asked for the second one"
    assert made == [0, 1]
    found.close()  # type: ignore[attr-defined]
    assert made == [0, 1]
    assert not ours()


def test_an_error_comes_with_its_batch():
    made: list[int] = []
    seen: list[int] = []
    with pytest.raises(CorruptionError, match="the fourth is damaged"):
        seen.extend(int(batch.ids) for batch in ahead(numbers(made, 3, threading.Semaphore(0)), CPU))
    assert seen == made == [0, 1, 2]
    assert not ours()


def test_a_training_with_it_has_the_same_bits(store_path, tmp_path, undisturbed, monkeypatch):
    """Interrupted in the middle of an epoch, too."""
    real = BandFeed.__init__

    def init(feed, branch):
        real(feed, branch)
        feed._goes_ahead = True

    monkeypatch.setattr(BandFeed, "__init__", init)
    with pytest.raises(CrashError):
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=crash_at(9))
    train_branch(with_training(), store_path, tmp_path, 1)
    assert outcome(tmp_path) == undisturbed[4]
