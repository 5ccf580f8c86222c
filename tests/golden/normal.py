"""Takes out of files and texts what two equal runs may differ in: times, memory, machine, versions, commit, places."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEAL = "self_sha256"
FROZEN: dict[str, Any] = {
    "wall_s": 1000.5,
    "wall_s_longest": 1000.5,
    "wall_s_sum": 4002.0,
    "cpu_s": 900.25,
    "cpu_s_sum": 3601.0,
    "images_per_s": 25.5,
    "peak_bytes": 123_456_789,
    "commit": "0" * 40,
    "trained_at": "0" * 40,
}
"""Keys of JSON whose values are left out (with `masked`), or replaced by these (with `frozen`)."""
_SOME_NUMBER = 17
FROZEN_INSIDE = ("versions", "hardware")
"""Keys of JSON objects of which every value is left out."""
FROZEN_ALSO_NONE = ("commit", "trained_at")
"""Those of them that are None where the source lies in no checkout; others are None for a reason."""

_PATTERNS = (
    (r"(\d+/\d+ \S+), \d+ \S+/s, \d+ s left", r"\1, RATE"),
    (r"\b(wall_s\s+)[0-9.]+", r"\1TIME"),
    (r"\b(epochs, )\d+ s\b", r"\1TIME"),
    (r"\b(pid|process) \d+\b", r"\1 NUMBER"),
    (r"\b[0-9a-f]{40}\b\+?", "COMMIT"),
)
# Which device a training takes, and why, is a matter of the machine.
_DEVICE = re.compile(r"^(WARNING: )?training on (the CPU|\S+).*\n", re.MULTILINE)
# So is how fast a core decodes.
_CORE = re.compile(r"^branch \d+: one core reads and augments .*\n", re.MULTILINE)
_CHOICES = re.compile(r"Expected one of \(([^)]*)\)")
_UNFINISHED = re.compile(r"^.*: (\d+)/(\d+) \S+, RATE\n", re.MULTILINE)


def sha256(content: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def replaced(value: Any, change: Callable[[str, Any], Any]) -> Any:
    """Return a copy of plain data in which the values of volatile keys are changed; None stays as a rule."""
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        if key in FROZEN_INSIDE and isinstance(item, dict):
            result[key] = {name: change(key, inside) for name, inside in item.items()}
        elif key in FROZEN and (item is not None or key in FROZEN_ALSO_NONE):
            result[key] = change(key, item)
        else:
            result[key] = replaced(item, change)
    return result


def masked(value: Any) -> Any:
    """Return plain data with a word in the place of every volatile value."""
    return replaced(value, lambda key, item: f"<{key}>")


def frozen(value: Any) -> Any:
    """Return plain data with a constant in the place of every volatile value, of the same type."""
    return replaced(value, lambda key, item: FROZEN.get(key, _SOME_NUMBER if type(item) is int else f"some {key}"))


def canonical(content: Any) -> bytes:
    """Return JSON as a sealed document is written."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode("ascii")


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a document with its own digest in it, as `docs/format.md` says."""
    return {**content, SEAL: sha256(canonical(content))}


def document(raw: bytes, text: Callable[[str], str]) -> str:
    """Return a JSON file as normalised text; what cannot be compared of its bytes is said in its first line."""
    content = json.loads(raw)
    form = "canonical" if raw == canonical(content) else "not canonical"
    if isinstance(content, dict) and SEAL in content:
        bare = {key: value for key, value in content.items() if key != SEAL}
        form += ", sealed" if sealed(bare) == content else ", SEAL BROKEN"
        content = {**bare, SEAL: "<self_sha256>"}
    return text(f"{form}\n{json.dumps(masked(content), indent=1)}\n")


def lines(raw: bytes) -> str:
    """Return a file of one JSON object a line as normalised text."""
    return "".join(json.dumps(masked(json.loads(line))) + "\n" for line in raw.splitlines())


def commit_of_checkpoint(path: Path, text: Callable[[str], str]) -> str:
    """Return COMMIT.json of a checkpoint, whose entry of state.json changes with the times in that file."""
    content = json.loads(path.read_bytes())
    state = (path.parent / "state.json").read_bytes()
    if content["files"]["state.json"] == {"bytes": len(state), "sha256": sha256(state)}:
        content["files"]["state.json"] = "<as the file is>"
    return document(canonical(content), text)


def plain_text(text: str, places: dict[str, str]) -> str:
    """Return text without times, process numbers, commits and the places in `places`, the longest first."""
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    text = _CORE.sub("", _DEVICE.sub("", text))
    for pattern, with_what in _PATTERNS:
        text = re.sub(pattern, with_what, text)
    if _CHOICES.search(text):
        # Named in an order that changes from process to process, and wrapped accordingly.
        text = re.sub(r"[\s-]{2,}", " ", text)
        text = _CHOICES.sub(lambda match: f"Expected one of {sorted(re.split(', ', match[1]))}", text)
    return _UNFINISHED.sub(lambda match: match[0] if match[1] == match[2] else "", text)


def command_json(text: str, *, mask: bool) -> str:
    """Return what `--json` printed, one key a line; text that is no such line is returned as it is."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    form = "one line, keys sorted" if text == json.dumps(content, sort_keys=True) + "\n" else "another form"
    return f"{form}\n{json.dumps(masked(content) if mask else content, indent=1)}\n"


def shape(value: Any) -> Any:
    """Return plain data with the type of every value in its place: for what a machine says of itself."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return "list"
    return type(value).__name__
