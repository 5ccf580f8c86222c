"""Columns that are collected in parts: the same as all parts behind each other."""

import numpy as np
import pytest

from bandwise.sources.columnbuilder import ColumnBuilder, NamesBuilder
from bandwise.sources.names import Names


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
def test_numbers(kind):
    parts = [np.arange(5), np.zeros(0, int), np.arange(100)[::7], np.broadcast_to(3, 4)]
    builder = ColumnBuilder(kind)
    for part in parts:
        builder.add(part)
    assert len(builder) == 5 + 15 + 4
    assert builder.column().dtype == kind
    assert builder.column().tolist() == np.concatenate(parts).tolist()
    assert builder.column().flags.writeable, "torch warns of memory that may not be written to"


def test_numbers_become_wide_once():
    builder = ColumnBuilder(np.int32)
    builder.add(np.array([1, -1]))
    assert builder.widened(np.dtype(np.int32)) is builder
    wide = builder.widened(np.dtype(np.int64))
    wide.add(np.array([1 << 40]))
    assert wide.column().tolist() == [1, -1, 1 << 40]
    assert wide.widened(np.dtype(np.int32)) is wide


def test_names():
    words = [b"b", b"", b"a\0", b"a", b"\xff\xfe"]
    builder = NamesBuilder()
    for part in (Names.of(words), Names.of([]), Names.of(words)[1:3], Names.of([b""])):
        builder.add(part)
    assert len(builder) == 8
    names = builder.names()
    assert list(names) == [*words, b"", b"a\0", b""]
    assert list(names.take(names.order())) == sorted(names)
    names.array.validate(full=True)
    assert len(NamesBuilder().names()) == 0
