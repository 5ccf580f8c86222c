"""Named arrays in one safetensors file that carries its own hash, with what the arrays belong to."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import CorruptionError
from bandwise.files.atomic import parse_json, sha256_bytes, write_bytes
from bandwise.files.tensorfile import read_tensor_file

_META_KEY = "bandwise"
_HASH_KEY = "sha256"


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> None:
    """Write arrays atomically, with texts that say what they belong to.

    Raises:
        NoSpaceError: the disk is full.
    """
    from safetensors.numpy import save

    assert _HASH_KEY not in meta
    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    # safetensors writes several metadata keys in an order that changes from process to process; one key has one order.
    text = json.dumps({**meta, _HASH_KEY: _hash(solid, meta)}, sort_keys=True)
    write_bytes(path, save(solid, {_META_KEY: text}))


def read_arrays(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read what `write_arrays` wrote: the arrays, whatever they are called if `names` is None, and what they belong to.

    Raises:
        CorruptionError: the file is missing, damaged, altered, or does not hold exactly the arrays `names`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = read_tensor_file(path)
    meta = _meta(path, content)
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
    """Return what a file says of itself; the arrays are not checked.

    Raises:
        CorruptionError: the file is missing, or its header is damaged.
    """
    meta = _meta(path, read_tensor_file(path))
    return {key: value for key, value in meta.items() if key != _HASH_KEY}


def _hash(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> str:
    ordered = sorted(arrays.items())
    facts = [[name, array.dtype.str, list(array.shape)] for name, array in ordered]
    head = json.dumps([dict(meta), facts], sort_keys=True).encode("ascii")
    return sha256_bytes(b"".join([head, *(array.tobytes() for _, array in ordered)]))


def _meta(path: Path, content: bytes) -> dict[str, str]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(_META_KEY) if isinstance(header, dict) else None
    if text is None:
        raise CorruptionError(f"{path} does not say what it belongs to; remove it")
    meta = parse_json(text.encode("utf-8"), path)
    if not (isinstance(meta, dict) and all(isinstance(value, str) for value in meta.values())):
        raise CorruptionError(f"{path} is damaged: what it says of itself is no mapping of texts")
    return meta
