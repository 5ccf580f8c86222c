"""Which pictures of a set are duplicates: by the hash of their content, kept in every commit record.

Only reported, never removed: what a copy in the training and in the reported images means is for the user to decide.
Copies are found byte for byte; the same photograph at another size or quality is another picture.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandwise.errors import CorruptionError

_HASH_BYTES = 8
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many pictures have a copy, in how many sets of equal ones, which lie across splits or classes.

    The examples are the ids of the first sets.
    """

    pictures: int
    sets: int
    across_splits: int
    across_classes: int
    examples: tuple[tuple[int, ...], ...]


def content_hash(encoded: bytes | np.ndarray) -> bytes:
    """Return 8 bytes of the SHA-256 of a picture as its source gives it.

    Among 14 million pictures, two different ones share them with a probability below 1e-5.
    """
    content = np.ascontiguousarray(encoded).data if isinstance(encoded, np.ndarray) else encoded
    return hashlib.sha256(content).digest()[:_HASH_BYTES]


def pack_hashes(hashes: Sequence[bytes]) -> str:
    """Return the hashes of the stored pictures of a group, in the order of their ids, as base64."""
    return base64.b64encode(b"".join(hashes)).decode("ascii")


def find_duplicates(ids: np.ndarray, hashes: Sequence[str], splits: np.ndarray, labels: np.ndarray) -> Duplicates:
    """Count the pictures that are in a set more than once.

    `ids`, `splits` (as numbers) and `labels` are (N,), of all stored pictures, group after group; `hashes` is what
    `pack_hashes` returned for each group.
    """
    try:
        found = np.frombuffer(b"".join(base64.b64decode(part) for part in hashes), "<u8")
    except (TypeError, ValueError) as error:
        raise CorruptionError(f"the hashes of the pictures in the commit records are damaged: {error}") from error
    if len(found) != len(ids):
        raise CorruptionError(f"the commit records hold {len(found)} hashes of {len(ids)} pictures")
    order = np.lexsort((ids, found))
    # They are sorted; `np.unique` would sort them again.
    first = np.flatnonzero(np.r_[True, np.diff(found[order]) != 0]) if len(found) else np.zeros(0, np.int64)
    counts = np.diff(np.r_[first, len(found)])
    several = counts > 1
    if not several.any():
        return Duplicates(0, 0, 0, 0, ())
    across = [
        int(np.count_nonzero(np.maximum.reduceat(of[order], first) != np.minimum.reduceat(of[order], first)))
        for of in (splits, labels)
    ]
    starts, sizes = first[several], counts[several]
    shown = np.argsort(ids[order[starts]], kind="stable")[:_SHOWN]
    return Duplicates(
        pictures=int(sizes.sum()),
        sets=len(starts),
        across_splits=across[0],
        across_classes=across[1],
        examples=tuple(tuple(ids[order[starts[i] : starts[i] + min(sizes[i], _SHOWN)]].tolist()) for i in shown),
    )
