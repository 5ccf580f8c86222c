"""Some of many names in another order: 4 bytes each, the names themselves stay where they are."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from bandwise.sources.names import Names
from bandwise.sources.pieces import MOST, pieces

_CHUNK = 1 << 16


class PickedNames(Sequence[bytes]):
    """The names at some positions, gathered anew whenever they are looked at."""

    __slots__ = ("_names", "_positions")

    def __init__(self, names: Names, positions: np.ndarray) -> None:
        """Pick names.

        Args:
            names: all of them, fewer than 2^31; they may lie in a mapped file.
            positions: integers (N,), from 0 on.
        """
        assert len(names) < MOST, len(names)
        self._names, self._positions = names, positions.astype(np.int32, copy=False)

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "PickedNames": ...
    def __getitem__(self, index: int | slice) -> "bytes | PickedNames":
        if isinstance(index, slice):
            return PickedNames(self._names, self._positions[index])
        return self._names[int(self._positions[index])]

    def __iter__(self) -> Iterator[bytes]:
        for here in pieces(len(self), _CHUNK):
            yield from self[here].packed()

    def __repr__(self) -> str:
        return f"PickedNames({len(self)})"

    def packed(self) -> Names:
        """Return these names in memory of their own, behind each other."""
        return self._names.take(self._positions)

    def lengths(self) -> np.ndarray:
        """Return the length of each name, int64 `(N,)`, without touching the names."""
        ends = self._names.offsets()
        return ends[self._positions + np.int64(1)] - ends[self._positions]
