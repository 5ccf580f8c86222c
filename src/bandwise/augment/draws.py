"""Random numbers without state: a draw is a hash of (seed, epoch, purpose, counter), so it depends on nothing else.

The hash is the output function of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014): a stream is one state, and element `i` of a stream needs none of the ones before it. The integers involved are
exact, so machines and library versions agree on every bit.
"""

import enum

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Purpose(enum.IntEnum):
    """What a stream of draws is for; a number is never given to another purpose, or old runs would not repeat."""

    GROUP_ORDER = 1
    ROW_ORDER = 2
    CROP_TOP = 3
    CROP_LEFT = 4
    FLIP_HORIZONTAL = 5
    FLIP_VERTICAL = 6
    ERASE = 7
    ERASE_AREA = 8
    ERASE_SHAPE = 9
    ERASE_TOP = 10
    ERASE_LEFT = 11
    MIX_PARTNER = 12
    MIX_BATCH = 13
    IMAGE = 14
    REPEATS = 15


def hashes(seed: int, epoch: int, purpose: Purpose, counters: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return one hash, uint64 (N,), for each counter (for example a sample id), which depends on no other counter.

    The seed is 0 to 2^64 - 1.
    """
    state = np.zeros(1, np.uint64)
    for part in (seed, epoch, int(purpose)):
        state = _scramble((state ^ np.uint64(part)) + _GOLDEN)
    return _scramble(state + (counters.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def uniform(seed: int, epoch: int, purpose: Purpose, counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one number in [0, 1) for each counter, float64 (N,): the upper 53 bits of `hashes`."""
    return (hashes(seed, epoch, purpose, counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _scramble(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # Arrays of uint64 wrap around silently, which is the arithmetic modulo 2^64 that the method asks for.
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
