"""Draws that depend on nothing but a seed, a purpose and the name of an image."""

import hashlib

import numpy as np

from bandwise.sources.names import Names


def draw_order(names: Names, seed: int, purpose: str, *, width: int = 8) -> np.ndarray:
    """Return the positions that sort names by `SHA-256("SEED PURPOSE " + name)`.

    Anybody can repeat it without our code, and no random-number library has a part in it.

    Args:
        names: N names, each once.
        seed: a number.
        purpose: a word that keeps draws for different ends apart.
        width: bytes of a digest that are compared, at most 8; where two agree in those, whole digests are.

    Returns:
        int64 `(N,)`.
    """
    prefix = f"{seed} {purpose} ".encode()
    digests = (hashlib.sha256(prefix + name).digest() for name in names)
    keys = np.fromiter((int.from_bytes(digest[:width]) for digest in digests), np.uint64, len(names))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return order
    whole = [hashlib.sha256(prefix + name).digest() for name in names]
    return np.array(sorted(range(len(names)), key=whole.__getitem__), np.int64)


def smallest_of_each(order: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Say which items are among the first of their class.

    Args:
        order: int `(N,)`, positions in the order that decides.
        labels: int `(N,)`, class of each item.
        counts: int `(K,)`, how many to take from each class.

    Returns:
        bool `(N,)`, by position.
    """
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels, minlength=len(counts))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.zeros(len(order), bool)
    chosen[by_class[rank < np.repeat(counts, sizes)]] = True
    return chosen
