"""The table of the recorded benchmarks, generated from JSON files only."""

from collections.abc import Sequence
from typing import Any

from bandwise.report.page import Table, to_markdown

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
