"""What the numbers rest on: the data, how the configurations differ, and what a reader should hold against them."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bandwise.config import RunConfig, to_dict
from bandwise.report.page import Fold, Table
from bandwise.report.units import binomial_error, percent
from bandwise.report.view import RunView

_SMALL = 2000
_GAP_ERRORS = 4.0


def data_table(views: Sequence[RunView]) -> Table:
    """How many images each run was trained, tuned and scored on, and how many were skipped."""
    rows = []
    for view in views:
        if view.results is None:
            rows.append((f"{view.name}: no results", "", "", "", "", "", ""))
            continue
        data = view.results["data"]
        rows.append(
            (
                view.name,
                data["name"],
                str(len(data["classes"])),
                str(data["n_train"]),
                str(data["n_holdout"]),
                f"{view.results['n_eval']} of {view.results['n_total']}",
                str(data["skipped"]),
            )
        )
    return Table(
        caption="Images",
        head=("run", "data", "classes", "trained on", "holdout", "scored", "skipped in all splits"),
        rows=tuple(rows),
        text_columns=frozenset({0, 1}),
        note="Skipped images could not be decoded; they are left out of every band alike.",
    )


def difference_table(views: Sequence[RunView]) -> Table | None:
    """The configuration fields in which the runs differ; None where there is only one run."""
    known = [(view.name, _flat(to_dict(view.config))) for view in views if view.config is not None]
    if len(known) < 2:
        return None
    keys = list(dict.fromkeys(key for _, fields in known for key in fields if key != "name"))
    rows = [
        (key, *(_text(fields.get(key)) for _, fields in known))
        for key in keys
        if len({_text(fields.get(key)) for _, fields in known}) > 1
    ]
    return Table(
        caption="Settings in which the runs differ",
        head=("setting", *(name for name, _ in known)),
        rows=tuple(rows),
        text_columns=frozenset(range(len(known) + 1)),
        note="All other settings are equal." if rows else "All settings are equal.",
    )


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def holdout_gap(view: RunView) -> str:
    """Say that the holdout is not like the reported images, where the best branch shows it; empty otherwise."""
    assert view.results is not None
    best = view.results["reference"]["best_branch"]["branch"]
    entry = next(entry for entry in view.results["branches"] if entry["branch"] == best)
    held, n_held = entry.get("holdout"), view.results["data"]["n_holdout"]
    if not held or not n_held:
        return ""
    error = math.hypot(binomial_error(held["top1"], n_held), binomial_error(entry["top1"], view.results["n_eval"]))
    if abs(held["top1"] - entry["top1"]) <= _GAP_ERRORS * error:
        return ""
    return (
        f"The holdout is not like the reported images: branch {best} is right on {percent(held['top1'])} of it and on "
        f"{percent(entry['top1'])} of them. Weights and temperatures that were fitted on it may suit the reported "
        "images badly, and the confidence most of all. Near copies of training images in the holdout are a usual cause."
    )


def notes(first: RunView, controls: Sequence[RunView]) -> list[str]:
    """List what a fair reader would ask about these numbers."""
    assert first.results is not None
    assert first.config is not None
    results = first.results
    found = [
        "Every number comes from one training of each network. The p-values say how far the choice of images "
        "explains a difference; they do not cover the luck of another seed.",
        "Fusion weights, temperatures and the best branch were chosen on the holdout, which no branch was trained on.",
    ]
    used, planned = results["fusion"]["rule"], first.config.fusion.rule
    if used != planned:
        found.append(
            f"The result uses the rule {used}, the configuration says {planned}. If it was changed after the figures "
            "were seen, they are too good."
        )
    if results["n_eval"] < _SMALL:
        found.append(f"{results['n_eval']} images are few: one image is {100 / results['n_eval']:.2f} points.")
    if gap := holdout_gap(first):
        found.append(gap)
    missing = sorted(set(range(len(first.config.groups()))) - set(results["fusion"]["branches"]))
    if missing:
        listed = ", ".join(map(str, missing))
        found.append(
            f"The fusion uses {len(results['fusion']['branches'])} of {len(first.config.groups())} branches; "
            f"missing: {listed}."
        )
    for view in (first, *controls):
        if view.results is None:
            continue
        lost = view.results["n_total"] - view.results["n_eval"]
        if lost:
            found.append(f"{view.name}: {lost} reported images could not be read and are not scored.")
        if not all(entry.get("from_scratch", True) for entry in view.results["branches"]):
            found += [f"{view.name}: {said}." for said in _starts(view.config, view.results["branches"])]
    machines = {
        json.dumps(view.results["environment"].get("hardware"), sort_keys=True)
        for view in (first, *controls)
        if view.results is not None
    }
    if len(machines) > 1:
        found.append("The runs were made on different machines: their training times do not compare.")
    return found


def _starts(config: RunConfig | None, branches: Sequence[dict[str, Any]]) -> list[str]:
    """Say where the branches that were not trained from scratch started from."""
    source = None if config is None else config.initial_branch
    said = []
    if any(entry["branch"] == source or source is None for entry in branches if not entry.get("from_scratch", True)):
        said.append("some branches started from weights of another training")
    if source is not None:
        said.append(
            f"the other branches started from the final weights of branch {source}, trained before them; one folder "
            "was sent, and with a machine for every branch it takes the time of two trainings"
        )
    return said


def provenance_folds(views: Sequence[RunView]) -> tuple[Fold, ...]:
    """The full configuration and environment of every run, to open on request."""
    folds = []
    for view in views:
        if view.config is not None:
            folds.append(Fold(f"Configuration of {view.name}", text=_pretty(to_dict(view.config))))
        if view.results is not None:
            folds.append(Fold(f"Environment of {view.name}", text=_pretty(view.results["environment"])))
    return tuple(folds)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
