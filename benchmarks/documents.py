"""Recorded benchmarks: one JSON a benchmark and kind of machine under `benchmarks/`, and the table made from them."""

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
from bandwise.report.page import Table, to_markdown
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


MARKS = ("<!-- benchmarks -->", "<!-- /benchmarks -->")
_MAX_PEERS = 10
_VERDICT = {True: "yes", False: "no", None: ""}


def benchmarks_markdown(documents: Sequence[dict[str, Any]], *, brief: bool = False) -> str:
    """Return one Markdown table for every recorded benchmark.

    Args:
        documents: as recorded.
        brief: one table instead, of the figures that were measured and are meant to reach something; those that differ
            only in the size of the pictures share a row.
    """
    if brief:
        return to_markdown(_brief(documents))
    return "\n".join(to_markdown(_table(document)) for document in documents)


def line_of(figure: dict[str, Any]) -> str:
    """Write one figure as a line for a terminal."""
    ours, *rest = _row(figure)
    peers, ratio, of, reach, holds = rest[1:]
    said = {"yes": "holds", "no": "MISSED", "": ""}[holds]
    parts = [
        f"{ours}: {rest[0] or 'not measured'}",
        f"peers {peers}" if peers else "",
        f"{of} = {ratio}" if ratio else "",
    ]
    parts += [f"reach {reach}" if reach else "", said]
    return "; ".join(part for part in parts if part)


def _table(document: dict[str, Any]) -> Table:
    environment = document["environment"]
    hardware, versions = environment["hardware"], environment["versions"]
    notes = list(dict.fromkeys(figure["note"] for figure in document["figures"] if figure["note"]))
    machine = hardware["accelerator"] or f"one core of {hardware['processor']}"
    made = ", ".join(f"{name} {versions[name]}" for name in ("torch", "numpy", "pyarrow", "pillow", "numba"))
    return Table(
        caption=f"python -m benchmarks {document['bench']}",
        head=("figure", "ours", "peers", "ratio", "which is", "reach", "holds"),
        rows=tuple(_row(figure) for figure in document["figures"]),
        text_columns=frozenset({0, 2, 4}),
        note=f"{machine}; {made}; commit {(environment['commit'] or 'unknown')[:12]}. " + ". ".join(notes),
    )


def _brief(documents: Sequence[dict[str, Any]]) -> Table:
    figures = [figure for document in documents for figure in document["figures"] if figure["holds"] is not None]
    kept = sum(figure["holds"] for figure in figures)
    machines = dict.fromkeys(
        document["environment"]["hardware"]["accelerator"] or document["environment"]["hardware"]["processor"]
        for document in documents
    )
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for figure in figures:
        alike.setdefault(_kind(figure), []).append(figure)
    return Table(
        caption="Measured beside peers",
        head=("figure", "ratio", "which is", "meant to be", "hold"),
        rows=tuple(_alike(group) for group in alike.values()),
        text_columns=frozenset({0, 2}),
        note=f"{kept} of {len(figures)} hold. Measured on: {', '.join(machines)}.",
    )


def _kind(figure: dict[str, Any]) -> tuple[str, ...]:
    """What figures of other sizes share: the name without parts that say a size, the ratio, the sense of the aim."""
    parts = [part for part in figure["name"].split("/") if not any(sign.isdigit() for sign in part)]
    return "/".join(parts), figure["ratio_of"], figure["reach"]["op"]


def _alike(figures: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    shared, ratio_of, op = _kind(figures[0])
    name = shared if len(figures) > 1 else figures[0]["name"]
    ratios = [figure["ratio"] for figure in figures]
    reaches = [figure["reach"]["value"] for figure in figures]
    held = sum(figure["holds"] for figure in figures)
    return name, _range(ratios), ratio_of, f"{op} {_range(reaches)}", f"{held} of {len(figures)}"


def _range(values: Sequence[float]) -> str:
    low, high = _number(min(values)), _number(max(values))
    return low if low == high else f"{low} to {high}"


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    unit, reach = figure["unit"], figure["reach"]
    peers = [f"{name} {_number(value)}" for name, value in figure["peers"].items() if value is not None]
    if len(peers) > _MAX_PEERS:
        peers = [*peers[: _MAX_PEERS - 2], "...", peers[-1]]
    return (
        figure["name"],
        "" if figure["ours"] is None else f"{_number(figure['ours'])} {unit}",
        ", ".join(peers),
        "" if figure["ratio"] is None else _number(figure["ratio"]),
        figure["ratio_of"],
        "" if reach is None else f"{reach['op']} {_number(reach['value'])}",
        _VERDICT[figure["holds"]],
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
