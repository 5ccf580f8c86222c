"""A recorded result as it is read back: everything that tables and comparisons take for granted is there."""

from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError
from bandwise.files.documents import read_document

FORMAT = "bandwise-results"

_NUMBER = (int, float)
_NEEDED: dict[str, Any] = {
    "name": str,
    "config.training.seed": int,
    "config.training.epochs": int,
    "environment.hardware.processor": str,
    "environment.hardware.accelerator": (str, type(None)),
    "environment.versions.torch": str,
    "data.name": str,
    "n_eval": int,
    "branches": list,
    "fused.top1": _NUMBER,
    "fused.nll": _NUMBER,
    "fused.ece": _NUMBER,
    "fusion.rule": str,
    "rules": dict,
    "reference.best_branch.top1": _NUMBER,
    "cost.params_total": _NUMBER,
    "cost.macs_per_branch": _NUMBER,
    "cost.macs_total": _NUMBER,
    "cost.store_bytes_per_branch": _NUMBER,
}


def read_result(path: Path) -> dict[str, Any]:
    """Read one recorded result.

    Raises:
        CorruptionError: it is damaged, is no result, or lacks what a result has; the field is named.
    """
    content = read_document(path)
    if content.get("format") != FORMAT:
        raise CorruptionError(f"{path} is no result of a run")
    for name, kinds in _NEEDED.items():
        found = _at(content, name)
        if not isinstance(found, kinds) or isinstance(found, bool):
            raise CorruptionError(f"{path} is no result that can be read: {name} is {found!r}")
    if not all(isinstance(entry, dict) and isinstance(entry.get("top1"), _NUMBER) for entry in content["branches"]):
        raise CorruptionError(f"{path} is no result that can be read: a branch has no top1")
    if not all(isinstance(rule, dict) for rule in content["rules"].values()) or not content["branches"]:
        raise CorruptionError(f"{path} is no result that can be read: it lacks a branch or the scores of a rule")
    return content


def _at(content: Any, name: str) -> Any:
    for key in name.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content
