"""Named arrays in one safetensors file that carries its own hash, with what the arrays belong to.

They are written some rows at a time and read as mapped memory, so neither takes memory for all of them. Reading raises
`CorruptionError` for a file that is missing, damaged or altered; writing `NoSpaceError` on a full disk.
"""

import hashlib
import io
import json
import math
import mmap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bandwise.errors import CorruptionError
from bandwise.files.atomic import replacing
from bandwise.files.documents import parse_json
from bandwise.files.regular import open_regular

_META_KEY = "bandwise"
_HASH_KEY = "sha256"
_MAX_HEADER_BYTES = 100 << 20
_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 20
_NAMES = ("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "F64", "I64", "U64")
_TYPES = ("|b1", "|u1", "|i1", "<i2", "<u2", "<f2", "<i4", "<u4", "<f4", "<f8", "<i8", "<u8")
# In this order, the last first, the library lays tensors out, so that each begins at a multiple of its item size.
_NAME_OF: dict[str, str] = dict(zip(_TYPES, _NAMES, strict=True))
_TYPE_OF = dict(zip(_NAMES, _TYPES, strict=True))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one array lies behind the header of a file."""

    offset: int
    type: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.type.itemsize


class ArraysWriter:
    """A file of arrays of known shapes that is being written."""

    def __init__(self, stream: BinaryIO, places: Mapping[str, _Place], start: int) -> None:
        """Write to an empty file that is open for writing and reading; its header ends at `start`."""
        self._stream, self._places, self._start = stream, places, start
        self._missing = {name: place.nbytes for name, place in places.items()}

    def put(self, name: str, row: int, values: NDArray[Any]) -> None:
        """Write some rows of an array, each row once; rows have the shape of `values[0]` and are counted from 0."""
        place = self._places[name]
        content = np.ascontiguousarray(values, place.type)
        self._stream.seek(self._start + place.offset + row * math.prod(content.shape[1:]) * content.itemsize)
        self._stream.write(content.data.cast("B") if content.size else b"")
        self._missing[name] -= content.nbytes

    def require_whole(self) -> None:
        assert not any(self._missing.values()), self._missing


@contextmanager
def writing_arrays(
    path: Path, kinds: Mapping[str, tuple[DTypeLike, tuple[int, ...]]], meta: Mapping[str, str]
) -> Iterator[ArraysWriter]:
    """Yield what writes arrays of these types and shapes; the file is there, whole, when the block ends well.

    `meta` are texts that say what the arrays belong to.
    """
    assert _HASH_KEY not in meta
    types = {name: np.dtype(kind) for name, (kind, _) in kinds.items()}
    order = sorted(kinds, key=lambda name: (-_TYPES.index(types[name].str), name))
    places, offset = {}, 0
    for name in order:
        places[name] = _Place(offset, types[name], tuple(kinds[name][1]))
        offset += places[name].nbytes
    start = len(_first_bytes(places, meta, "0" * 64))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "x+b") as stream:
        writer = ArraysWriter(stream, places, start)
        yield writer
        writer.require_whole()
        stream.flush()
        content = _first_bytes(places, meta, _hash(stream, places, start, meta))
        stream.seek(0)
        stream.write(content)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> None:
    """Write arrays atomically, with texts that say what they belong to."""
    with writing_arrays(path, {name: (array.dtype, array.shape) for name, array in arrays.items()}, meta) as writer:
        for name, array in arrays.items():
            writer.put(name, 0, array.reshape(-1))


def open_arrays(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Check what `writing_arrays` wrote and map it: the arrays `names`, or any if None, and what they belong to.

    The arrays are read-only and take memory for what of them is touched; `drop_pages` gives that back.
    """
    with open_regular(path) as stream:
        header, start = _read_header(stream, path)
        meta = _meta(path, header)
        places = _places(path, header)
        if names is not None and set(places) != set(names):
            raise CorruptionError(f"{path} holds {sorted(places)}; expected {sorted(names)}")
        written = meta.pop(_HASH_KEY, None)
        if written != _hash(stream, places, start, meta):
            raise CorruptionError(f"{path} is altered: its SHA-256 is not the one that was written; remove it")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return {
        name: np.ndarray(place.shape, place.type, buffer=mapped, offset=start + place.offset if place.nbytes else 0)
        for name, place in places.items()
    }, meta


def read_arrays(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read arrays into memory; otherwise as `open_arrays`."""
    arrays, meta = open_arrays(path, names)
    return {name: np.array(array) for name, array in arrays.items()}, meta


def drop_pages(array: NDArray[Any]) -> None:
    """Give back the memory of a mapped array and of those in the same file; what is touched again is read again."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def all_finite(array: NDArray[Any]) -> bool:
    """Say whether an array of two axes, which may be mapped, is finite; a piece of it is in memory at a time."""
    step = max(1, _CHUNK_BYTES // max(1, array.shape[1]))
    for start in range(0, len(array), step):
        if not np.isfinite(array[start : start + step]).all():
            return False
        drop_pages(array)
    return True


def read_arrays_meta(path: Path) -> dict[str, str]:
    """Return what a file says of itself; the arrays are not checked."""
    with open_regular(path) as stream:
        meta = _meta(path, _read_header(stream, path)[0])
    return {key: value for key, value in meta.items() if key != _HASH_KEY}


def tensor_header(content: bytes, path: Path) -> Any:
    """Return the header of a safetensors file, which has a possible length and names nothing twice.

    The library keeps the last of two tensors of one name, so a file could say different things to two readers.
    """
    return _read_header(io.BytesIO(content), path)[0]


def _read_header(stream: BinaryIO, path: Path) -> tuple[Any, int]:
    """Return the header of an open file, and where what follows it begins."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if length > min(size - _LENGTH_BYTES, _MAX_HEADER_BYTES):
        raise CorruptionError(f"{path} is damaged: its header claims {length} bytes of {size}")
    header = parse_json(stream.read(length), path, repeated="a name stands twice in its header")
    return header, _LENGTH_BYTES + length


def _places(path: Path, header: Any) -> dict[str, _Place]:
    """Return where the arrays lie; the library checks that header and file are a possible safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as checked:
            names = checked.keys()
        facts = {name: header[name] for name in names}
        return {
            name: _Place(fact["data_offsets"][0], np.dtype(_TYPE_OF[fact["dtype"]]), tuple(fact["shape"]))
            for name, fact in facts.items()
        }
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error


def _first_bytes(places: Mapping[str, _Place], meta: Mapping[str, str], digest: str) -> bytes:
    """Return the length of the header and the header, as the library writes them; offsets count from its end."""
    # One key in the order of names: the library writes several in an order that changes from process to process.
    text = json.dumps({**meta, _HASH_KEY: digest}, sort_keys=True)
    header: dict[str, Any] = {"__metadata__": {_META_KEY: text}}
    for name, place in places.items():
        ends = [place.offset, place.offset + place.nbytes]
        header[name] = {"dtype": _NAME_OF[place.type.str], "shape": list(place.shape), "data_offsets": ends}
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    content += b" " * (-len(content) % _LENGTH_BYTES)
    return len(content).to_bytes(_LENGTH_BYTES, "little") + content


def _hash(stream: BinaryIO, places: Mapping[str, _Place], start: int, meta: Mapping[str, str]) -> str:
    ordered = sorted(places.items())
    facts = [[name, place.type.str, list(place.shape)] for name, place in ordered]
    digest = hashlib.sha256(json.dumps([dict(meta), facts], sort_keys=True).encode("ascii"))
    for _, place in ordered:
        stream.seek(start + place.offset)
        left = place.nbytes
        while piece := stream.read(min(left, _CHUNK_BYTES)):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _meta(path: Path, header: Any) -> dict[str, str]:
    facts = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    text = facts.get(_META_KEY) if isinstance(facts, dict) else None
    if not isinstance(text, str):
        raise CorruptionError(f"{path} does not say what it belongs to; remove it")
    meta = parse_json(text.encode("utf-8"), path)
    if not (isinstance(meta, dict) and all(isinstance(value, str) for value in meta.values())):
        raise CorruptionError(f"{path} is damaged: what it says of itself is no mapping of texts")
    return meta
