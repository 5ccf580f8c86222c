"""Some images at a time have the bits of all at once, also where BLAS rounds the last few values otherwise."""

import numpy as np
import pytest

from bandwise.evaluation import blocks as module
from bandwise.evaluation.blocks import Fused, StoredLogits, blocks, hold
from bandwise.runs.logits import LogitsFile

SHAPES = [(1, 1, 2), (2, 1001, 10), (3, 17, 7), (4, 997, 3), (5, 33, 1000), (36, 515, 11)]


def logits(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("values", [1, 500, 1 << 21])
def test_blocks_are_all_images_once_and_change_no_bit(shape, values, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", values)
    every, weights = logits(shape), np.random.default_rng(0).random(shape[0])
    cut = list(blocks(every))
    assert [rows.start for rows in cut] == [0, *(rows.stop for rows in cut[:-1])]
    assert cut[-1].stop == shape[1]
    whole = np.tensordot(weights, every, axes=1)
    fused = Fused(every, lambda block: np.tensordot(weights, block, axes=1))
    assert fused.shape == (1, *shape[1:])
    for step in (1, 3, 16, shape[1]):
        pieces = [fused[:, start : start + step][0] for start in range(0, shape[1], step)]
        assert np.array_equal(np.concatenate(pieces), whole)


def test_a_piece_that_begins_anywhere_is_rounded_otherwise():
    """The control: what `Fused` is for."""
    every, weights = logits((4, 997, 3)), np.random.default_rng(0).random(4)
    pieces = [np.tensordot(weights, every[:, start : start + 1], axes=1) for start in range(997)]
    whole = np.tensordot(weights, every, axes=1)
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-12, atol=1e-15)
    if np.array_equal(np.concatenate(pieces), whole):
        pytest.skip("this BLAS rounds every value alike")


def test_few_logits_are_held_and_many_are_read_again(monkeypatch):
    every = logits((3, 40, 5))
    files = [LogitsFile(np.arange(40), np.zeros(40, np.int64), own.astype(np.float32), {}) for own in every]
    stored = StoredLogits(files)
    held = hold(stored)
    assert isinstance(held, np.ndarray)
    monkeypatch.setattr(module, "HELD_VALUES", 599)
    assert hold(stored) is stored
    assert np.array_equal(held, every)
    assert np.array_equal(stored[:, 7:9], every[:, 7:9])
    assert np.array_equal(np.asarray(stored), every)
