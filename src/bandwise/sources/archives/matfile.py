"""Reads an array of structures from a MATLAB level-5 file: as much of the format as the ImageNet devkit needs.

Format: "MAT-File Format", MathWorks, the chapter on level-5 files. Only text and numbers are read; what else a
structure holds is left out. Every length is checked against what is there.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence

_MAX_BYTES = 256 << 20
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_STRUCT_CLASS, _CHAR_CLASS = 2, 4
_NUMBER_CLASSES = range(6, 16)

Value = str | float | None


def read_structs(content: bytes, variable: str, fields: Sequence[str]) -> list[dict[str, Value]]:
    """Return the wanted fields of every element of a variable that is an array of structures.

    Args:
        content: the whole file.
        variable: its name in the file.
        fields: names of the fields.

    Returns:
        For each element its fields: text, a number, or None where the field is empty or anything else.

    Raises:
        ValueError: the file is no level-5 file, is damaged, or does not hold such a variable.
    """
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI"):
        raise ValueError("it is no MATLAB file of level 5")
    order = "<" if content[126:128] == b"IM" else ">"
    try:
        for kind, data in _elements(content[128:], order):
            if kind == _COMPRESSED:
                kind, data = next(_elements(_inflate(data), order))
            if kind == _MATRIX and (found := _structs(data, order, variable, fields)) is not None:
                return found
    except (struct.error, zlib.error, UnicodeDecodeError, StopIteration, IndexError) as error:
        raise ValueError(f"the MATLAB file is damaged: {error}") from error
    raise ValueError(f"it holds no array of structures {variable!r}")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of each element."""
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, position)
        if kind >> 16:
            # A small element: size and type share four bytes, the data are the next four.
            kind, size = kind & 0xFFFF, kind >> 16
            start, position = position + 4, position + 8
            if size > 4:
                raise ValueError(f"a small element says that it has {size} bytes")
        else:
            start = position + 8
            position = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(content):
            raise ValueError(f"an element of {size} bytes does not fit into the file")
        yield kind, content[start : start + size]


def _inflate(data: bytes) -> bytes:
    plain = zlib.decompressobj().decompress(data, _MAX_BYTES)
    if len(plain) == _MAX_BYTES:
        raise ValueError(f"a variable has more than {_MAX_BYTES} bytes")
    return plain


def _structs(data: bytes, order: str, variable: str, wanted: Sequence[str]) -> list[dict[str, Value]] | None:
    parts = _elements(data, order)
    matrix_class = _array_class(next(parts)[1], order)
    count = 1
    for extent in struct.unpack(order + f"{len(dims := next(parts)[1]) // 4}i", dims):
        count *= extent
    if next(parts)[1].decode("latin-1") != variable:
        return None
    if matrix_class != _STRUCT_CLASS:
        raise ValueError(f"{variable} is no array of structures")
    (length,) = struct.unpack(order + "i", next(parts)[1])
    packed = next(parts)[1]
    names = [_c_string(packed[start : start + length]) for start in range(0, len(packed), max(1, length))]
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f"{variable} has no field {', '.join(missing)}; it has {', '.join(names)}")
    values = [_value(part, order) for kind, part in parts if kind == _MATRIX]
    if count < 0 or len(values) != count * len(names):
        raise ValueError(f"{variable} has {len(values)} values for {count} elements of {len(names)} fields")
    rows = (
        dict(zip(names, values[start : start + len(names)], strict=True)) for start in range(0, len(values), len(names))
    )
    return [{name: row[name] for name in wanted} for row in rows]


def _value(data: bytes, order: str) -> Value:
    if not data:
        return None
    parts = list(_elements(data, order))
    matrix_class = _array_class(parts[0][1], order)
    if len(parts) < 4:
        return None
    kind, content = parts[3]
    if matrix_class == _CHAR_CLASS and kind in _TEXTS:
        codec = _TEXTS[kind]
        return content.decode(codec + ("-le" if order == "<" else "-be") if codec in ("utf-16", "utf-32") else codec)
    if matrix_class in _NUMBER_CLASSES and kind in _NUMBERS and content:
        return float(struct.unpack_from(order + _NUMBERS[kind], content)[0])
    return None


def _array_class(flags: bytes, order: str) -> int:
    return struct.unpack_from(order + "I", flags)[0] & 0xFF


def _c_string(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("latin-1")
