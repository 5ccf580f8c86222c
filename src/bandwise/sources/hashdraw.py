"""Draws that depend on nothing but a seed, a purpose and the name of an image."""

import hashlib
from collections.abc import Iterator

import numpy as np

from bandwise.sources.columns import MAX_ROWS, Names, PickedNames, pieces

_HASHED_AT_ONCE = 1 << 14
_BUCKET = 1 << 19


def draw_order(names: Names | PickedNames, seed: int, purpose: str) -> np.ndarray:
    """Return the positions that sort names by `SHA-256("SEED PURPOSE " + name)`, int32 `(N,)`.

    Anybody can repeat it without our code, and no random-number library has a part in it. Takes about 10 bytes a name:
    four bytes of each digest are kept, and names that agree in those are hashed again.

    Args:
        names: N unique names; fewer than 2^31.
        seed: a number.
        purpose: a word that keeps draws for different ends apart.
    """
    assert len(names) < MAX_ROWS, len(names)
    prefix = f"{seed} {purpose} ".encode()
    keys = np.empty(len(names), np.uint32)
    for here in pieces(len(names), _HASHED_AT_ONCE):
        digests = b"".join([_digest(prefix, name) for name in names[here]])
        keys[here] = np.frombuffer(digests, ">u4")[::8]
    order = np.empty(len(names), np.int32)
    filled = 0
    for members in _buckets(keys):
        by_key = np.argsort(keys[members])
        found = members[by_key]
        for first, last in _equal_runs(keys[found]):
            found[first:last] = sorted(found[first:last].tolist(), key=lambda index: _digest(prefix, names[index]))
        order[filled : filled + len(found)] = found
        filled += len(found)
    return order


def smallest_of_each(order: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Say which items are among the first of their class.

    Args:
        order: int `(N,)`, positions in the order that decides.
        labels: int `(N,)`, class of each item.
        counts: int `(K,)`, how many to take from each class.

    Returns:
        bool `(N,)`, by position.
    """
    chosen = np.zeros(len(order), bool)
    wanted = counts.copy()
    for piece in pieces(len(order)):
        here = order[piece]
        classes = labels[here]
        by_class = np.argsort(classes, kind="stable")
        sizes = np.bincount(classes, minlength=len(wanted))
        rank = np.arange(len(here)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        chosen[here[by_class[rank < np.repeat(wanted, sizes)]]] = True
        wanted -= np.minimum(wanted, sizes)
        if not wanted.any():
            break
    return chosen


def _digest(prefix: bytes, name: bytes) -> bytes:
    return hashlib.sha256(prefix + name).digest()


def _buckets(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield positions whose keys share their upper bits, smaller keys first; digests spread evenly over them."""
    bits = min(8, (len(keys) // _BUCKET).bit_length())
    upper = (keys >> np.uint32(32 - bits)).astype(np.uint8) if bits else np.zeros(len(keys), np.uint8)
    for value in range(1 << bits):
        yield np.flatnonzero(upper == value)


def _equal_runs(ordered: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield where runs of at least two equal numbers begin and end."""
    same = np.concatenate([[False], ordered[1:] == ordered[:-1], [False]])
    edges = np.flatnonzero(same[1:] != same[:-1])
    for first, last in edges.reshape(-1, 2).tolist():
        yield first, last + 1
