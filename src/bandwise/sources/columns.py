"""Long columns of numbers and of names: millions of rows cost their bytes, not a Python object each.

Work goes a piece at a time, so that what numpy makes on the way (indices of 8 bytes, masks) stays small.
"""

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike

PIECE = 1 << 18
"""Rows that are worked on together. An Arrow array of type `binary` holds 2 GiB: so many of the longest names fit."""

MAX_ROWS = 1 << 31
"""Rows that a list can have: a position is 4 bytes."""

_NAMES_AT_ONCE = 1 << 16


def pieces(count: int, size: int = PIECE) -> Iterator[slice]:
    """Yield slices that cover `count` rows, each of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def true_positions(mask: np.ndarray) -> np.ndarray:
    """Return the positions, int32, at which a mask of fewer than 2^31 is true."""
    assert len(mask) < MAX_ROWS, len(mask)
    found = np.empty(int(np.count_nonzero(mask)), np.int32)
    filled = 0
    for here in pieces(len(mask)):
        some = np.flatnonzero(mask[here])
        found[filled : filled + len(some)] = some + here.start
        filled += len(some)
    return found


def gather(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return `values[positions]` for positions of any integer type."""
    found = np.empty(len(positions), values.dtype)
    for here in pieces(len(positions)):
        found[here] = values[positions[here]]
    return found


def counts_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how often each class occurs, int64 `(classes,)`."""
    counts = np.zeros(classes, np.int64)
    for here in pieces(len(labels)):
        counts += np.bincount(labels[here], minlength=classes)
    return counts


def narrowed(numbers: np.ndarray) -> np.ndarray:
    """Return integers as int32 where all of them fit, else as int64."""
    fit = not len(numbers) or (numbers.max() < MAX_ROWS and numbers.min() >= -MAX_ROWS)
    return numbers.astype(np.int32 if fit else np.int64, copy=False)


class ColumnBuilder:
    """Collects the numbers of a column; a long one is held once, not in parts and again as a whole."""

    def __init__(self, kind: DTypeLike) -> None:
        self._kind = np.dtype(kind)
        # A large block of memory that grows is remapped by the C library, not copied.
        self._content = bytearray()

    def __len__(self) -> int:
        return len(self._content) // self._kind.itemsize

    def add(self, numbers: np.ndarray) -> None:
        """Append numbers; a column of int32 becomes int64 when the first number needs it."""
        if self._kind == np.int32 and narrowed(numbers).dtype == np.int64:
            self._content = bytearray(self.column().astype(np.int64).data)
            self._kind = np.dtype(np.int64)
        self._content += np.ascontiguousarray(numbers, self._kind).data

    def column(self) -> np.ndarray:
        """Return all of them, sharing memory with this object: nothing can be added any more."""
        return np.frombuffer(self._content, self._kind)


class Names(Sequence[bytes]):
    """An immutable sequence of byte strings, held by one Arrow array (which may lie in a mapped file)."""

    __slots__ = ("array",)

    def __init__(self, array: pa.LargeBinaryArray) -> None:
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
        for here in pieces(len(self), _NAMES_AT_ONCE):
            yield from cast("list[bytes]", self[here].array.to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.array.equals(other.array)

    __hash__ = None  # type: ignore[assignment]

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
        """Return a duplicate name, or None; the names must be sorted."""
        position = pc.index(pc.equal(self.array[:-1], self.array[1:]), True).as_py()  # type: ignore[reportAttributeAccessIssue]
        return None if position < 0 else self[position]

    def find(self, name: bytes) -> int | None:
        """Return the position of a name by halving, or None; the names must be sorted."""
        place = bisect.bisect_left(self, name)
        return place if place < len(self) and self[place] == name else None

    def lengths(self) -> np.ndarray:
        """Return the length of each name, int64 `(N,)`."""
        return np.diff(self.offsets())

    def joined(self) -> memoryview:
        """Return the bytes of all names one after another, without a copy."""
        offsets = self.offsets()
        data = self.array.buffers()[2]
        return memoryview(data)[offsets[0] : offsets[-1]] if data is not None and len(self) else memoryview(b"")

    def offsets(self) -> np.ndarray:
        """Return where in the buffer each name begins, and where the last one ends, int64 `(N + 1,)`."""
        if not len(self):
            return np.zeros(1, np.int64)
        return np.frombuffer(self.array.buffers()[1], np.int64)[self.array.offset : self.array.offset + len(self) + 1]


class PickedNames(Sequence[bytes]):
    """Some of many names in another order, at 4 bytes each: looked up in the others whenever they are used."""

    __slots__ = ("_names", "_positions")

    def __init__(self, names: Names, positions: np.ndarray) -> None:
        assert len(names) < MAX_ROWS, len(names)
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
        for here in pieces(len(self), _NAMES_AT_ONCE):
            yield from self[here].packed()

    def packed(self) -> Names:
        """Return these names in memory of their own, one after another."""
        return self._names.take(self._positions)

    def lengths(self) -> np.ndarray:
        """Return the length of each name, int64 `(N,)`, without touching the names."""
        ends = self._names.offsets()
        return ends[self._positions + np.int64(1)] - ends[self._positions]


class NamesBuilder:
    """Collects names."""

    def __init__(self) -> None:
        self._offsets, self._content = ColumnBuilder(np.int64), bytearray()
        self._offsets.add(np.zeros(1, np.int64))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, names: Names) -> None:
        """Append names."""
        if len(names):
            offsets = names.offsets()
            self._offsets.add(offsets[1:] - offsets[0] + len(self._content))
            self._content += names.joined()

    def names(self) -> Names:
        """Return all of them, sharing memory with this object: nothing can be added any more."""
        buffers = [None, pa.py_buffer(self._offsets.column()), pa.py_buffer(self._content)]
        return Names(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers, null_count=0))


class TableBuilder:
    """Collects rows of a name and some numbers; the names must be unique."""

    def __init__(self, kinds: Mapping[str, DTypeLike]) -> None:
        self._names = NamesBuilder()
        self._columns = {key: ColumnBuilder(kind) for key, kind in kinds.items()}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, names: Iterable[bytes], **columns: Any) -> None:
        """Append rows; a column is one number for all of them or one a row, and 0 where it is left out."""
        packed = Names.of(names)
        self._names.add(packed)
        for key, column in self._columns.items():
            column.add(np.broadcast_to(np.asarray(columns.get(key, 0)), len(packed)))

    def sorted_by_name(self) -> tuple[Names, dict[str, np.ndarray]]:
        """Return all rows. Nothing can be added any more."""
        names, columns = self._names.names(), {}
        order = None if names.is_sorted() else names.order()
        if order is not None:
            names = names.take(order)
        for key in list(self._columns):
            values = self._columns.pop(key).column()
            columns[key] = values if order is None else gather(values, order)
        return names, columns
