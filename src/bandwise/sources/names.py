"""Many names in one buffer: millions of byte strings cost their bytes and eight more each, not a Python object each."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_CHUNK = 1 << 16


class Names(Sequence[bytes]):
    """An immutable sequence of byte strings, held by one Arrow array (which may lie in a mapped file)."""

    __slots__ = ("array",)

    def __init__(self, array: pa.LargeBinaryArray) -> None:
        """Wrap an array of type `large_binary` without missing values."""
        assert array.type == pa.large_binary(), array.type
        assert array.null_count == 0
        self.array = array

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Names":
        """Return the names as they are, or packed."""
        return names if isinstance(names, Names) else cls(pa.array(names, pa.large_binary()))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "bytes | Names":
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            if step == 1:
                return Names(self.array.slice(first, max(0, last - first)))
            return self.take(np.arange(first, last, step))
        return self.array[index].as_py()

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self), _CHUNK):
            yield from cast("list[bytes]", self.array.slice(start, _CHUNK).to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.array.equals(other.array)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Names({len(self)})"

    def take(self, positions: np.ndarray) -> "Names":
        """Return the names at these positions, in this order."""
        return Names(self.array.take(pa.array(positions)))

    def packed(self) -> "Names":
        """Return these names: they are packed already."""
        return self

    def order(self) -> np.ndarray:
        """Return the positions, int64 `(N,)`, that sort the names by their bytes."""
        return pc.sort_indices(self.array).to_numpy().astype(np.int64, copy=False)  # type: ignore[reportAttributeAccessIssue]

    def is_sorted(self) -> bool:
        """Say whether no name is smaller than the one before it."""
        return not bool(pc.any(pc.greater(self.array[:-1], self.array[1:])).as_py())  # type: ignore[reportAttributeAccessIssue]

    def first_repeated(self) -> bytes | None:
        """Return a name that stands twice, or None; the names must be sorted."""
        position = pc.index(pc.equal(self.array[:-1], self.array[1:]), True).as_py()  # type: ignore[reportAttributeAccessIssue]
        return None if position < 0 else self[position]

    def find(self, name: bytes) -> int | None:
        """Return the position of a name by halving, or None; the names must be sorted."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle] < name:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self[low] == name else None

    def lengths(self) -> np.ndarray:
        """Return the length of each name, int64 `(N,)`."""
        return np.diff(self.offsets())

    def joined(self) -> memoryview:
        """Return the bytes of all names behind each other, without a copy."""
        offsets = self.offsets()
        data = self.array.buffers()[2]
        return memoryview(data)[offsets[0] : offsets[-1]] if data is not None and len(self) else memoryview(b"")

    def offsets(self) -> np.ndarray:
        """Return where in the buffer each name begins, and where the last one ends, int64 `(N + 1,)`."""
        if not len(self):
            return np.zeros(1, np.int64)
        return np.frombuffer(self.array.buffers()[1], np.int64)[self.array.offset : self.array.offset + len(self) + 1]
