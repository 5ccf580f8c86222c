"""JSON files of ours: one form to write them in, and documents that carry their own hash.

`self_sha256` is the SHA-256 of the canonical JSON of everything else. A document is read back only if its bytes are
exactly the ones that were written, so no flipped bit, added blank or repeated key goes unseen. A file without the key
was not written by this version and is refused: there is nothing to check it against. Reading raises `CorruptionError`
for a file that is missing, no regular file or not as it was written; writing raises `NoSpaceError` on a full disk.
"""

import json
from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError
from bandwise.files.atomic import create_bytes, write_bytes
from bandwise.files.regular import read_bytes, sha256_bytes

SEAL = "self_sha256"
MAX_BYTES = 256 << 20
_START = "0" * 64


def json_bytes(value: Any) -> bytes:
    """Serialise to the one JSON form that we hash and compare; NaN and infinity are a ValueError."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically in the form of `json_bytes`."""
    write_bytes(path, json_bytes(value))


def read_json(path: Path) -> Any:
    """Read a JSON file of ours; refuse one that is larger than 256 MiB, no JSON, or repeats a key."""
    return parse_json(read_bytes(path, max_bytes=MAX_BYTES), path)


def parse_json(content: bytes, what: object, *, repeated: str = "a key stands twice in one object") -> Any:
    """Parse the content of a JSON file of ours; `what` says in messages where it comes from."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError(repeated)
        return result

    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(f"{what} is damaged: {error}") from error


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """Return `content` with the SHA-256 of its canonical JSON under `self_sha256`."""
    return {**content, SEAL: sha256_bytes(json_bytes(content))}


def write_document(path: Path, content: dict[str, Any]) -> None:
    """Write a sealed document atomically."""
    write_json(path, seal(content))


def create_document(path: Path, content: dict[str, Any]) -> bool:
    """Write a sealed document, unless there is a file of that name; return whether it was written."""
    return create_bytes(path, json_bytes(seal(content)))


def read_document(path: Path) -> dict[str, Any]:
    """Read what `write_document` wrote, without the seal."""
    return without_seal(read_sealed(path))


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_document` wrote, with the seal; it must be byte for byte what was written."""
    raw = read_bytes(path, max_bytes=MAX_BYTES)
    content = parse_json(raw, path)
    if not isinstance(content, dict):
        raise CorruptionError(f"{path} is damaged: it does not hold a JSON object")
    if SEAL not in content:
        raise CorruptionError(f"{path} is damaged: it carries no SHA-256 of its content ({SEAL})")
    try:
        if content != seal(without_seal(content)):
            raise CorruptionError(f"{path} is damaged: its content does not match its own hash")
        if raw != json_bytes(content):
            raise CorruptionError(f"{path} is damaged: it is not byte for byte as it was written")
    except ValueError as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    return content


def without_seal(content: dict[str, Any]) -> dict[str, Any]:
    """Return a document without its seal."""
    return {key: value for key, value in content.items() if key != SEAL}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically; the seal of each also covers all lines before it."""
    lines, before = [], _START
    for row in rows:
        before = _chained(row, before)
        lines.append(_line(row, before))
    write_bytes(path, b"".join(lines))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read what `write_rows` wrote, without the seals.

    Lines that are missing at the end cannot be seen here; compare the number of rows with what is known of it.
    """
    rows, before = [], _START
    for number, line in enumerate(read_bytes(path, max_bytes=MAX_BYTES).splitlines(keepends=True), start=1):
        what = f"{path}, line {number},"
        content = parse_json(line, what)
        if not isinstance(content, dict):
            raise CorruptionError(f"{what} is damaged: it is no JSON object")
        row = without_seal(content)
        try:
            before = _chained(row, before)
            if line != _line(row, before):
                raise CorruptionError(f"{what} is damaged: it does not match its own hash")
        except ValueError as error:
            raise CorruptionError(f"{what} is damaged: {error}") from error
        rows.append(row)
    return rows


def _line(row: dict[str, Any], seal_of_line: str) -> bytes:
    return (json.dumps({**row, SEAL: seal_of_line}, allow_nan=False, sort_keys=True) + "\n").encode("ascii")


def _chained(row: dict[str, Any], before: str) -> str:
    return sha256_bytes(before.encode("ascii") + json_bytes(row))
