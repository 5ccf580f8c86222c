"""The order in which the rows of a split are read: a pure function of (seed, epoch), so resuming is one integer.

Row groups are shuffled, then cut into windows of at most `window` row groups, and the rows of a window are shuffled
together. A reader therefore touches every row group once an epoch and holds one window in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandwise.augment.draws import Purpose, hashes, uniform

WINDOW = 16

COPY_SHIFT = 32
"""A further copy of an image in an epoch stands above its id, which is below 2^31: copy 0 has the plain id."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Some row groups that are held in memory together."""

    groups: NDArray[np.int64]
    """(G,), the row groups in the order in which they fill the buffer."""
    rows: NDArray[np.int64]
    """(R,), rows of that buffer in the order in which they are given out."""
    positions: NDArray[np.int64]
    """(R,), the same rows as positions in the split."""
    copies: NDArray[np.int64]
    """(R,), 0 for the first time that a row is given out in the epoch, 1 for the second."""


def shuffled_windows(
    groups: Sequence[int],
    *,
    seed: int,
    epoch: int,
    window: int = WINDOW,
    weights: NDArray[np.float64] | None = None,
) -> Iterator[Window]:
    """Yield the windows of one epoch of training.

    `groups` are the rows in each row group, in stored order; `window` is the most row groups in a window, over which
    they are spread evenly, so that the last window is no smaller than the others. `weights`, (N,) of mean 1, say how
    often each row is given out on average, once when left out; the epoch has N rows in any case.
    """
    assert window >= 1, window
    sizes = np.asarray(groups, np.int64)
    first = np.cumsum(sizes) - sizes
    times = None if weights is None else _times(weights, seed, epoch)
    order = np.argsort(hashes(seed, epoch, Purpose.GROUP_ORDER, np.arange(len(sizes))), kind="stable")
    for chosen in np.array_split(order, max(1, -(-len(sizes) // window))):
        starts = np.cumsum(sizes[chosen]) - sizes[chosen]
        positions = np.arange(sizes[chosen].sum()) + np.repeat(first[chosen] - starts, sizes[chosen])
        rows, copies = np.arange(len(positions)), np.zeros_like(positions)
        if times is not None:
            here = times[positions]
            rows = np.repeat(rows, here)
            copies = np.arange(len(rows)) - np.repeat(np.cumsum(here) - here, here)
        counters = positions[rows] + (copies << COPY_SHIFT)
        order_of_rows = np.argsort(hashes(seed, epoch, Purpose.ROW_ORDER, counters), kind="stable")
        rows, copies = rows[order_of_rows], copies[order_of_rows]
        yield Window(chosen, rows, positions[rows], copies)


def _times(weights: NDArray[np.float64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw how often each row is given out: its weight rounded down or up, N in all.

    Systematic sampling (Madow and Madow, "On the theory of systematic sampling, I", 1944): the N points u, u + 1, ...
    fall on the rows laid end to end, each as long as its weight.
    """
    ends = np.cumsum(weights)
    ends[-1:] = len(weights)
    points = uniform(seed, epoch, Purpose.REPEATS, np.zeros(1, np.int64))
    return np.diff(np.floor(ends + points).astype(np.int64), prepend=0)


def stored_windows(groups: Sequence[int]) -> Iterator[Window]:
    """Yield the row groups one at a time in stored order, for evaluation."""
    first = 0
    for group, size in enumerate(groups):
        rows = np.arange(size)
        yield Window(np.array([group]), rows, first + rows, np.zeros_like(rows))
        first += size
