"""The order in which the rows of a split are read: a pure function of (seed, epoch), so resuming is one integer.

Row groups are shuffled, then cut into windows of at most `window` row groups, and the rows of a window are shuffled
together. A reader therefore touches every row group once an epoch and holds one window in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandwise.augment.draws import Purpose, hashes

WINDOW = 16


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Some row groups that are held in memory together.

    Attributes:
        groups: int64 (G,), the row groups in the order in which they fill the buffer.
        rows: int64 (R,), rows of that buffer in the order in which they are given out.
        positions: int64 (R,), the same rows as positions in the split.
    """

    groups: NDArray[np.int64]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]


def shuffled_windows(groups: Sequence[int], *, seed: int, epoch: int, window: int = WINDOW) -> Iterator[Window]:
    """Yield the windows of one epoch of training.

    The row groups are spread evenly over the windows, so that the last window is no smaller than the others.

    Args:
        groups: rows in each row group, in stored order.
        seed: 0 to 2^64 - 1.
        epoch: at least 0.
        window: most row groups in a window, at least 1.
    """
    assert window >= 1, window
    sizes = np.asarray(groups, np.int64)
    first = np.cumsum(sizes) - sizes
    order = np.argsort(hashes(seed, epoch, Purpose.GROUP_ORDER, np.arange(len(sizes))), kind="stable")
    for chosen in np.array_split(order, max(1, -(-len(sizes) // window))):
        positions = _positions(first[chosen], sizes[chosen])
        rows = np.argsort(hashes(seed, epoch, Purpose.ROW_ORDER, positions), kind="stable")
        yield Window(chosen, rows, positions[rows])


def stored_windows(groups: Sequence[int]) -> Iterator[Window]:
    """Yield the row groups one at a time in stored order, for evaluation."""
    first = 0
    for group, size in enumerate(groups):
        rows = np.arange(size)
        yield Window(np.array([group]), rows, first + rows)
        first += size


def epoch_order(groups: Sequence[int], *, seed: int, epoch: int, window: int = WINDOW) -> NDArray[np.int64]:
    """Return the positions of one epoch in order, int64 (sum of groups,); each position occurs once."""
    order = np.empty(sum(groups), np.int64)
    filled = 0
    for each in shuffled_windows(groups, seed=seed, epoch=epoch, window=window):
        order[filled : filled + len(each.positions)] = each.positions
        filled += len(each.positions)
    return order


def _positions(first: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate the ranges `first[i], ..., first[i] + sizes[i] - 1` without a loop."""
    starts = np.cumsum(sizes) - sizes
    return np.arange(sizes.sum()) + np.repeat(first - starts, sizes)
