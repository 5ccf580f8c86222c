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
    """Some row groups that are held in memory together."""

    groups: NDArray[np.int64]
    """(G,), the row groups in the order in which they fill the buffer."""
    rows: NDArray[np.int64]
    """(R,), rows of that buffer in the order in which they are given out."""
    positions: NDArray[np.int64]
    """(R,), the same rows as positions in the split."""


def shuffled_windows(groups: Sequence[int], *, seed: int, epoch: int, window: int = WINDOW) -> Iterator[Window]:
    """Yield the windows of one epoch of training.

    `groups` are the rows in each row group, in stored order; `window` is the most row groups in a window, over which
    they are spread evenly, so that the last window is no smaller than the others.
    """
    assert window >= 1, window
    sizes = np.asarray(groups, np.int64)
    first = np.cumsum(sizes) - sizes
    order = np.argsort(hashes(seed, epoch, Purpose.GROUP_ORDER, np.arange(len(sizes))), kind="stable")
    for chosen in np.array_split(order, max(1, -(-len(sizes) // window))):
        starts = np.cumsum(sizes[chosen]) - sizes[chosen]
        positions = np.arange(sizes[chosen].sum()) + np.repeat(first[chosen] - starts, sizes[chosen])
        rows = np.argsort(hashes(seed, epoch, Purpose.ROW_ORDER, positions), kind="stable")
        yield Window(chosen, rows, positions[rows])


def stored_windows(groups: Sequence[int]) -> Iterator[Window]:
    """Yield the row groups one at a time in stored order, for evaluation."""
    first = 0
    for group, size in enumerate(groups):
        rows = np.arange(size)
        yield Window(np.array([group]), rows, first + rows)
        first += size
