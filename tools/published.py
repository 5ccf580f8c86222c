"""The published tables of ImageNet with our columns beside them.

What was published and what a row costs is given by the caller; what was measured comes from the recorded results. One
crop and ten crops never share a column, neither theirs nor ours.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from bandwise.report.tables import Table, escape_markdown, to_markdown
from bandwise.report.units import amount, seconds

NOT_RUN = "not run"
_MIB = 1 << 20
_NONE = "–"

_PUBLISHED_HEAD = (
    "row",
    "published, 1 crop",
    "published, 10 crops",
    "published, crops not said",
    "quoted there",
    "size, published",
    "time, published",
)
_OWN_HEAD = (
    "parameters",
    "MiB",
    "GMACs, one",
    "GMACs, all",
    "activations MiB, one",
    "activations MiB, all",
    "data a node",
    "top-1, 1 crop",
    "top-1, 10 crops",
    "training, longest branch",
    "training, summed",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRow:
    """One row: what was published, what it costs, and which results belong to it."""

    name: str
    dataset: str
    accuracy: float | None
    """Published top-1 in percent."""
    target: float | None
    """Published with a star."""
    crops: Literal[1, 10] | None
    references: tuple[str, ...]
    size: str
    training_time: str
    evidence: str
    """What is there for the accuracy; empty for a row of which nothing was published."""
    unconfirmed: tuple[str, ...]
    parameters: int
    """Of one branch, like all figures without `_all`."""
    mib: float
    """Counted as the published size is: with or without buffers."""
    gmacs: float
    gmacs_all: float
    activation_bytes: int
    """Of one image."""
    activation_bytes_all: int
    bytes_per_node: int
    """Raw pixels of the bands of one branch."""
    classes: frozenset[int]
    """Class counts of the real data set; results on anything else are left out."""
    reported_images: frozenset[int]
    """Likewise, of the reported set."""


def seed_tables(rows: Sequence[SeedRow], results: dict[str, list[dict[str, Any]]]) -> list[Table]:
    """Lay out one table a data set, in the order of the rows.

    Args:
        rows: the rows.
        results: recorded results by recipe.
    """
    datasets = dict.fromkeys(row.dataset for row in rows)
    return [_table(name, [row for row in rows if row.dataset == name], results) for name in datasets]


def seed_markdown(rows: Sequence[SeedRow], results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the tables and what is not confirmed about each published figure, as Markdown."""
    parts = [to_markdown(table) for table in seed_tables(rows, results)]
    parts.append(to_markdown(_evidence(rows)))
    lists = [_unconfirmed(row) for row in rows if row.evidence]
    return "\n".join(parts + lists)


def seed_entry(row: SeedRow, results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return one row with what was measured of it, ready for JSON; top-1 as fractions, times in seconds."""
    one, ten = measured(row, results, 1), measured(row, results, 10)
    costs = _costs(row, results)
    return {
        **{
            field.name: getattr(row, field.name)
            for field in fields(row)
            if not field.name.startswith(("classes", "rep"))
        },
        "measured": {
            "top1_1_crop": [run["fused"]["top1"] for run in one],
            "top1_10_crops": [run["fused"]["top1"] for run in ten],
            "wall_s_longest": [cost["wall_s_longest"] for cost in costs],
            "wall_s_sum": [cost["wall_s_sum"] for cost in costs],
        }
        if costs
        else NOT_RUN,
    }


def measured(row: SeedRow, results: dict[str, list[dict[str, Any]]], crops: int) -> list[dict[str, Any]]:
    """Return the results of a row with one kind of crops, on the real data set only."""
    return [
        run
        for run in results.get(row.name, [])
        if run["crops"] == crops
        and len(run["data"]["classes"]) in row.classes
        and run["n_total"] in row.reported_images
    ]


def _table(dataset: str, rows: Sequence[SeedRow], results: dict[str, list[dict[str, Any]]]) -> Table:
    elsewhere = [row.name for row in rows if results.get(row.name) and not _all_measured(row, results)]
    note = (
        "Left: as published; a star is a target. Right: ours, one network in every column of a row. One: the largest "
        "branch; all: the sum. Data a node: raw pixels of the bands of one branch. MiB counts buffers where the "
        "published size does."
    )
    if elsewhere:
        note += f" Results on other data are left out: {', '.join(elsewhere)}."
    return Table(
        caption=f"Published rows on {dataset}",
        head=_PUBLISHED_HEAD + _OWN_HEAD,
        rows=tuple(_published(row) + _own(row, results) for row in rows),
        note=note,
    )


def _all_measured(row: SeedRow, results: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return measured(row, results, 1) + measured(row, results, 10)


def _published(row: SeedRow) -> tuple[str, ...]:
    figure = [] if row.accuracy is None else [f"{row.accuracy:.2f} %"]
    if row.target is not None:
        figure.append(f"({row.target:.2f} %*)")
    text = " ".join(figure) or _NONE
    cells = {crops: text if crops == row.crops else _NONE for crops in (1, 10, None)}
    return (
        row.name,
        cells[1],
        cells[10],
        cells[None],
        "; ".join(row.references) or _NONE,
        row.size or _NONE,
        row.training_time or _NONE,
    )


def _own(row: SeedRow, results: dict[str, list[dict[str, Any]]]) -> tuple[str, ...]:
    times = _costs(row, results)
    return (
        f"{row.parameters:,}",
        f"{row.mib:.2f}",
        f"{row.gmacs:.2f}",
        f"{row.gmacs_all:.2f}",
        f"{row.activation_bytes / _MIB:.2f}",
        f"{row.activation_bytes_all / _MIB:.2f}",
        amount(row.bytes_per_node, "B"),
        _accuracy(measured(row, results, 1)),
        _accuracy(measured(row, results, 10)),
        seconds(statistics.mean(cost["wall_s_longest"] for cost in times)) if times else NOT_RUN,
        seconds(statistics.mean(cost["wall_s_sum"] for cost in times)) if times else NOT_RUN,
    )


def _costs(row: SeedRow, results: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the costs of a row, one a seed: ten crops are taken of the same trained branches as one."""
    return list({run["config"]["training"]["seed"]: run["cost"] for run in _all_measured(row, results)}.values())


def _accuracy(runs: Sequence[dict[str, Any]]) -> str:
    if not runs:
        return NOT_RUN
    values = [100 * run["fused"]["top1"] for run in runs]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread} % (n={len(values)})"


def _evidence(rows: Sequence[SeedRow]) -> Table:
    known = [row for row in rows if row.evidence]
    return Table(
        caption="What is there for the published accuracies",
        head=("row", "published", "logs and notes"),
        rows=tuple((row.name, _any(row), row.evidence) for row in known),
        text_columns=frozenset({0, 2}),
    )


def _any(row: SeedRow) -> str:
    return next((cell for cell in _published(row)[1:4] if cell != _NONE), _NONE)


def _unconfirmed(row: SeedRow) -> str:
    sentences = "".join(f"- {escape_markdown(sentence)}\n" for sentence in row.unconfirmed)
    return f"**{escape_markdown(row.name)}**\n\n{sentences}"
