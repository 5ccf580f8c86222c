"""The order of training: a pure function of (seed, epoch), every row once, mixed within windows of row groups."""

import itertools

import numpy as np
import pytest

from bandwise.store.reading.order import shuffled_windows, stored_windows


def epoch_order(groups: list[int], *, seed: int, epoch: int, window: int = 16) -> np.ndarray:
    """Return the positions of one epoch in order."""
    windows = shuffled_windows(groups, seed=seed, epoch=epoch, window=window)
    return np.concatenate([each.positions for each in windows])


@pytest.mark.parametrize(
    "groups", [[], [1], [256], [256, 3], [256] * 16, [256] * 33 + [17], [5, 1, 9, 2], [256, 40, 256, 0, 12]]
)
@pytest.mark.parametrize("window", [1, 3, 16])
def test_every_row_occurs_once(groups: list[int], window: int) -> None:
    for epoch in range(3):
        order = epoch_order(groups, seed=5, epoch=epoch, window=window)
        assert sorted(order.tolist()) == list(range(sum(groups)))


def test_order_depends_on_seed_and_epoch_only() -> None:
    groups = [256] * 20 + [100]
    orders = {
        key: epoch_order(groups, seed=key[0], epoch=key[1]).tolist() for key in itertools.product(range(3), range(3))
    }
    for (one, first), (other, second) in itertools.combinations(orders.items(), 2):
        assert first != second, (one, other)
    for (seed, epoch), order in orders.items():
        assert epoch_order(groups, seed=seed, epoch=epoch).tolist() == order


def test_order_is_the_one_of_earlier_releases() -> None:
    """Runs resume across releases; change these numbers only with a new format of checkpoints."""
    assert epoch_order([4, 4, 2], seed=1, epoch=2, window=2).tolist() == [4, 2, 3, 0, 1, 5, 7, 6, 8, 9]


def test_a_window_holds_at_most_so_many_row_groups_and_mixes_them() -> None:
    groups = [256] * 50 + [10]
    windows = list(shuffled_windows(groups, seed=0, epoch=0, window=16))
    assert sorted(len(window.groups) for window in windows) == [12, 13, 13, 13]
    assert sorted(group for window in windows for group in window.groups.tolist()) == list(range(51))
    assert np.concatenate([window.groups for window in windows]).tolist() != list(range(51))
    for window in windows:
        assert set(window.positions // 256) == set(window.groups.tolist())
        early = window.positions[: len(window.positions) // 2] // 256
        assert len(set(early.tolist()) | {50}) >= len(window.groups), "half of a window meets every row group"


def test_rows_of_a_window_are_its_positions() -> None:
    groups = [5, 3, 4, 6]
    first = np.cumsum([0, *groups])
    for windows in (shuffled_windows(groups, seed=3, epoch=1, window=3), stored_windows(groups)):
        for window in windows:
            held = np.concatenate([np.arange(int(first[group]), int(first[group + 1])) for group in window.groups])
            assert held[window.rows].tolist() == window.positions.tolist()


def test_stored_order_is_the_stored_order() -> None:
    positions = np.concatenate([window.positions for window in stored_windows([5, 3, 4])])
    assert positions.tolist() == list(range(12))


def test_no_position_is_preferred() -> None:
    """Mean place of every row over many epochs: uniform within five standard errors."""
    groups, epochs = [8] * 8, 400
    places = np.zeros(64)
    for epoch in range(epochs):
        places[epoch_order(groups, seed=9, epoch=epoch, window=4)] += np.arange(64)
    spread = np.sqrt((64**2 - 1) / 12 / epochs)
    assert np.abs(places / epochs - 31.5).max() < 5 * spread
