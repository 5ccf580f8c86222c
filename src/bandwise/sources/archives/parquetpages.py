"""Where each value lies in a Parquet column that is neither compressed nor encoded, so that one can be read alone.

This is how `datasets` writes pictures now. Only page headers and the four-byte length before each value are
read. Format: the specification of Apache Parquet (page headers in Thrift's compact protocol, levels as runs).
"""

import struct
from typing import Any

import numpy as np

from bandwise.sources.reading import Region

_HEADER_BYTES = (256, 1 << 16)
_DATA_PAGE, _DATA_PAGE_V2 = 0, 3
_PLAIN = 0
_MAX_DEPTH = 8


class NotPlain(Exception):
    """The column, or a page of it, is laid out in another way."""


def plain_values(
    region: Region, start: int, stop: int, rows: int, max_definition: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the values of one column chunk begin, and their sizes, int64 `(rows,)` each.

    `max_definition` is the definition level of a value that is there. `NotPlain` is raised where a page is not plain, a
    value is missing, or the file is damaged.
    """
    places: list[tuple[int, int]] = []
    position = start
    try:
        while len(places) < rows:
            header, length = _page_header(region, position, stop)
            here, position = position + length, position + length + header.get(3, 0)
            if header.get(3) != header.get(2) or not here < position <= stop:
                raise NotPlain
            here, count = _first_value(region, here, header, max_definition)
            for _ in range(count):
                if here + 4 > position:
                    raise NotPlain
                (size,) = struct.unpack("<I", region.read_at(here, 4))
                places.append((here + 4, size))
                here += 4 + size
            if here != position:
                raise NotPlain
    except (IndexError, TypeError, AttributeError, struct.error):
        # What a damaged header says may be of any type, and lead anywhere.
        raise NotPlain from None
    if len(places) != rows:
        raise NotPlain
    offsets, sizes = np.array(places, np.int64).reshape(-1, 2).T
    return offsets, sizes


def _first_value(region: Region, body: int, header: dict[int, Any], max_definition: int) -> tuple[int, int]:
    """Return where the first value of a page lies, and how many there are; all must be there."""
    if header.get(1) == _DATA_PAGE and header.get(5, {}).get(2) == _PLAIN:
        count = header[5].get(1, 0)
        if not max_definition:
            return body, count
        (length,) = struct.unpack("<I", region.read_at(body, 4))
        _require_all_present(region.read_at(body + 4, min(length, 16)), count, max_definition)
        return body + 4 + length, count
    if header.get(1) == _DATA_PAGE_V2 and header.get(8, {}).get(4) == _PLAIN and header[8].get(2) == 0:
        # Levels of 0 missing values need no look; repetition levels do not exist in a column that is no list.
        return body + header[8].get(5, 0) + header[8].get(6, 0), header[8].get(1, 0)
    raise NotPlain


def _require_all_present(levels: bytes, count: int, max_definition: int) -> None:
    """Check that the levels are one run of the highest one, as where no value is missing."""
    run, position = _varint(levels, 0)
    if run & 1 or run >> 1 < count or levels[position : position + 1] != bytes([max_definition]):
        raise NotPlain


def _page_header(region: Region, position: int, stop: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a page header by their numbers, and its length; statistics in it make a few of them long."""
    short, long = (min(count, stop - position) for count in _HEADER_BYTES)
    try:
        return _struct(region.read_at(position, short), 0, 0)
    except IndexError:
        return _struct(region.read_at(position, long), 0, 0)


def _struct(content: bytes, position: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _MAX_DEPTH:
        raise NotPlain
    fields: dict[int, Any] = {}
    number = 0
    while kind := content[position]:
        position += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, position = _zigzag(content, position)
        fields[number], position = _field(content, position, kind & 15, depth)
    return fields, position + 1


def _field(content: bytes, position: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, position
    if kind == 3:
        return content[position], position + 1
    if kind in (4, 5, 6):
        return _zigzag(content, position)
    if kind == 7:
        return None, position + 8
    if kind == 8:
        length, position = _varint(content, position)
        return None, position + length
    if kind == 12:
        return _struct(content, position, depth + 1)
    raise NotPlain


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
        if shift > 63:
            raise NotPlain


def _zigzag(content: bytes, position: int) -> tuple[int, int]:
    value, position = _varint(content, position)
    return (value >> 1) ^ -(value & 1), position
