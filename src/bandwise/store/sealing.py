"""JSON files that carry their own hash, so that an altered one is noticed when it is read."""

from pathlib import Path
from typing import Any

from bandwise.atomic import json_bytes, read_json, sha256_bytes
from bandwise.errors import CorruptionError

SEAL = "self_sha256"


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """Return `content` with the SHA-256 of its canonical JSON under `self_sha256`."""
    return {**content, SEAL: sha256_bytes(json_bytes(content))}


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `seal` made, with the seal.

    Raises:
        CorruptionError: the file is missing, no JSON object, or its content does not match its own hash.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise CorruptionError(f"{path} is damaged: it does not hold a JSON object")
    unsealed = {key: value for key, value in content.items() if key != SEAL}
    try:
        intact = content.get(SEAL) == seal(unsealed)[SEAL]
    except ValueError as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    if not intact:
        raise CorruptionError(f"{path} is damaged: its content does not match its own hash")
    return content
