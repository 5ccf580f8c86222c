"""Named arrays in one safetensors file that carries its own hash, with what the arrays belong to.

Reading raises `CorruptionError` for a file that is missing, damaged or altered; writing `NoSpaceError` on a full disk.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import CorruptionError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import parse_json
from bandwise.files.regular import read_bytes

_META_KEY = "bandwise"
_HASH_KEY = "sha256"
_MAX_HEADER_BYTES = 100 << 20
_LENGTH_BYTES = 8


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> None:
    """Write arrays atomically, with texts that say what they belong to."""
    from safetensors.numpy import save

    assert _HASH_KEY not in meta
    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    # safetensors writes several metadata keys in an order that changes from process to process; one key has one order.
    text = json.dumps({**meta, _HASH_KEY: _hash(solid, meta)}, sort_keys=True)
    write_bytes(path, save(solid, {_META_KEY: text}))


def read_arrays(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read what `write_arrays` wrote: the arrays `names`, or any if that is None, and what they belong to."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = read_bytes(path)
    meta = _meta(path, tensor_header(content, path))
    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    if names is not None and set(arrays) != set(names):
        raise CorruptionError(f"{path} holds {sorted(arrays)}; expected {sorted(names)}")
    written = meta.pop(_HASH_KEY, None)
    if written != _hash(arrays, meta):
        raise CorruptionError(f"{path} is altered: its SHA-256 is not the one that was written; remove it")
    return arrays, meta


def read_arrays_meta(path: Path) -> dict[str, str]:
    """Return what a file says of itself; the arrays are not checked."""
    meta = _meta(path, tensor_header(read_bytes(path), path))
    return {key: value for key, value in meta.items() if key != _HASH_KEY}


def tensor_header(content: bytes, path: Path) -> Any:
    """Return the header of a safetensors file, which has a possible length and names nothing twice.

    The library keeps the last of two tensors of one name, so a file could say different things to two readers.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if length > min(len(content) - _LENGTH_BYTES, _MAX_HEADER_BYTES):
        raise CorruptionError(f"{path} is damaged: its header claims {length} bytes of {len(content)}")
    header = content[_LENGTH_BYTES : _LENGTH_BYTES + length]
    return parse_json(header, path, repeated="a name stands twice in its header")


def _hash(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> str:
    ordered = sorted(arrays.items())
    facts = [[name, array.dtype.str, list(array.shape)] for name, array in ordered]
    digest = hashlib.sha256(json.dumps([dict(meta), facts], sort_keys=True).encode("ascii"))
    for _, array in ordered:
        digest.update(np.ascontiguousarray(array).data)
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
