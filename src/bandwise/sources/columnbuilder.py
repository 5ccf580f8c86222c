"""Columns that grow at their end: a long one is held once while it is collected, not in parts and again as a whole."""

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike

from bandwise.sources.names import Names


class ColumnBuilder:
    """Collects numbers of one type."""

    def __init__(self, kind: DTypeLike) -> None:
        """Start with nothing."""
        self._kind = np.dtype(kind)
        # A large block of memory that grows is remapped by the C library, not copied.
        self._content = bytearray()

    def __len__(self) -> int:
        return len(self._content) // self._kind.itemsize

    def add(self, numbers: np.ndarray) -> None:
        """Add numbers behind the others."""
        self._content += np.ascontiguousarray(numbers, self._kind).data

    def widened(self, kind: DTypeLike) -> "ColumnBuilder":
        """Return a collector that holds the same numbers and numbers of `kind`; this one, where it does already."""
        wide = np.promote_types(self._kind, kind)
        if wide == self._kind:
            return self
        other = ColumnBuilder(wide)
        other.add(self.column())
        return other

    def column(self) -> np.ndarray:
        """Return all of them, sharing memory with this object: nothing can be added any more."""
        return np.frombuffer(self._content, self._kind)


class NamesBuilder:
    """Collects names."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._offsets, self._content = ColumnBuilder(np.int64), bytearray()
        self._offsets.add(np.zeros(1, np.int64))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, names: Names) -> None:
        """Add names behind the others."""
        if len(names):
            offsets = names.offsets()
            self._offsets.add(offsets[1:] - offsets[0] + len(self._content))
            self._content += names.joined()

    def names(self) -> Names:
        """Return all of them, sharing memory with this object: nothing can be added any more."""
        buffers = [None, pa.py_buffer(self._offsets.column()), pa.py_buffer(self._content)]
        return Names(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(self), buffers, null_count=0))
