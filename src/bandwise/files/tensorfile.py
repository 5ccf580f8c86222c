"""Safetensors files as bytes: what the library itself does not check of their header."""

import json
from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError
from bandwise.files.atomic import read_bytes

_MAX_HEADER_BYTES = 100 << 20
_LENGTH_BYTES = 8


def read_tensor_file(path: Path) -> bytes:
    """Read a whole safetensors file whose header has a possible length and names nothing twice.

    The library keeps the last of two tensors of one name, so a file could say different things to two readers.

    Raises:
        CorruptionError: the file is missing, no regular file, or its header is damaged.
    """
    content = read_bytes(path)
    try:
        length = int.from_bytes(content[:_LENGTH_BYTES], "little")
        if length > min(len(content) - _LENGTH_BYTES, _MAX_HEADER_BYTES):
            raise ValueError(f"its header claims {length} bytes of {len(content)}")
        json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length].decode("utf-8"), object_pairs_hook=_refuse_repeated)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    return content


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return result
