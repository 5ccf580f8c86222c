"""Benchmarks as files: one JSON a benchmark and kind of machine under `benchmarks/`."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import json_bytes, read_json
from bandwise.files.schema import plain
from bandwise.runs.provenance import environment
from benchmarks.figures import Figure

_FORMAT = "bandwise-bench"
_PACKAGES = ("numba", "scipy", "webdataset")


def document(name: str, data: str, smallest: bool, figures: Sequence[Figure]) -> dict[str, Any]:
    """Put figures together with what they were measured on."""
    made = plain(environment())
    versions = {each: _version(each) for each in _PACKAGES}
    return {
        "format": _FORMAT,
        "bench": name,
        "data": Path(data).name,
        "smallest": smallest,
        "figures": [figure.to_dict() for figure in figures],
        "environment": {
            **made,
            "versions": {**made["versions"], **versions},
            "hardware": {
                **made["hardware"],
                "system": f"{platform.system()} {platform.release()}",
                "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
                "load_average": round(os.getloadavg()[0], 2),
            },
        },
    }


def record(folder: Path, content: dict[str, Any]) -> Path:
    """Write a document to its place in `folder` and return the path.

    Raises:
        UsageError: it was made with `smallest`, whose numbers mean nothing.
    """
    if content["smallest"]:
        raise UsageError("what --smallest measures is no figure to record; leave out --smallest or --record")
    folder.mkdir(parents=True, exist_ok=True)
    where = "-accelerator" if content["environment"]["hardware"]["accelerator"] else ""
    path = folder / f"{content['bench']}{where}.json"
    write_bytes(path, json_bytes(content))
    return path


def read_documents(folder: Path) -> list[dict[str, Any]]:
    """Read every recorded benchmark, by file name.

    Raises:
        UsageError: the folder holds none.
        CorruptionError: a file is damaged or no benchmark.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise CorruptionError(f"{path} is no recorded benchmark")
        found.append(content)
    if not found:
        raise UsageError(f"{folder} holds no benchmarks; record them with `python -m benchmarks all --record {folder}`")
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
