"""What the accuracy was paid with: for one branch and for all of them, beside the baseline."""

from collections.abc import Sequence
from typing import Any

from bandwise.report.page import Table
from bandwise.report.units import amount, ratio, seconds
from bandwise.report.view import RunView

_ONE = ("params_per_branch", "macs_per_branch", "wall_s_longest", "store_bytes_per_branch")
_ALL = ("params_total", "macs_total", "wall_s_sum", "store_bytes_total")


def cost_table(views: Sequence[RunView], baseline: RunView | None) -> Table:
    """Two rows a run, the largest branch and the total, with the ratio to the total of the baseline."""
    reference = None if baseline is None or baseline.results is None else baseline.results["cost"]
    rows: list[tuple[str, ...]] = []
    for view in views:
        if view.results is None:
            rows.append((f"{view.name}: no results", "", "", "", "", ""))
            continue
        cost = view.results["cost"]
        count = len(view.results["branches"])
        shown = None if view is baseline else reference
        peaks = [summary.peak_bytes for summary in view.summaries.values()]
        peak = amount(max(peaks), "B") if peaks else "–"
        if count > 1:
            rows.append((f"{view.name}, largest of {count} branches", *_cells(cost, _ONE, shown), peak))
            rows.append((f"{view.name}, all {count} branches", *_cells(cost, _ALL, shown), ""))
        else:
            rows.append((f"{view.name}, one network", *_cells(cost, _ALL, shown), peak))
    note = (
        "MACs: multiply-adds of one image, forward. Training: wall time of the slowest branch (with a machine for "
        "each) and the sum over branches. Data: bytes of the bands in the store. Peak memory: of the largest training "
        "process."
    )
    if reference is not None and baseline is not None:
        note += f" In brackets: times that of {baseline.name}."
    return Table(
        caption="Cost of one branch and of all of them",
        head=("system", "parameters", "MACs", "training", "data", "peak memory"),
        rows=tuple(rows),
        note=note,
    )


def _cells(cost: dict[str, Any], keys: Sequence[str], reference: dict[str, Any] | None) -> tuple[str, ...]:
    texts = [
        amount(cost[keys[0]]),
        amount(cost[keys[1]]),
        seconds(cost[keys[2]]),
        amount(cost[keys[3]], "B"),
    ]
    if reference is None:
        return tuple(texts)
    return tuple(
        f"{text} ({ratio(cost[key], reference[total])})" for text, key, total in zip(texts, keys, _ALL, strict=True)
    )
