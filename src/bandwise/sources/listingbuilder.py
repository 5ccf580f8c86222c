"""Collects the images of a source as columns, one class folder at a time."""

import numpy as np

from bandwise.sources.columnbuilder import ColumnBuilder, NamesBuilder
from bandwise.sources.listing import Listing
from bandwise.sources.names import Names
from bandwise.sources.pieces import gather, narrowed


class ListingBuilder:
    """Collects images; no name may be given twice."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._names = NamesBuilder()
        self._labels, self._sizes, self._val = (ColumnBuilder(kind) for kind in (np.int32, np.int32, np.bool_))

    def __len__(self) -> int:
        return len(self._names)

    def add(self, names: Names, *, label: int, sizes: np.ndarray, val: bool) -> None:
        """Add images of one class and one split.

        Args:
            names: N names inside the source.
            label: their class.
            sizes: bytes, integers `(N,)`.
            val: whether they are reported.
        """
        self._names.add(names)
        self._labels.add(np.broadcast_to(np.int32(label), len(names)))
        self._val.add(np.broadcast_to(np.bool_(val), len(names)))
        some = narrowed(sizes)
        self._sizes = self._sizes.widened(some.dtype)
        self._sizes.add(some)

    def listing(self) -> Listing:
        """Return all images, sorted by name. Nothing can be added any more."""
        names, labels, sizes, val = (
            self._names.names(),
            self._labels.column(),
            self._sizes.column(),
            self._val.column(),
        )
        if not names.is_sorted():
            order = names.order()
            names, (labels, sizes, val) = names.take(order), (gather(each, order) for each in (labels, sizes, val))
        return Listing(names, labels, sizes, val)
