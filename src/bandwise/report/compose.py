"""From the views of some runs to the content of one page."""

from collections.abc import Sequence

import numpy as np
import torch

from bandwise.evaluation.metrics import pairwise_disagreement
from bandwise.report.notes import data_table, difference_table, holdout_gap, notes, provenance_folds
from bandwise.report.cost_tables import cost_table
from bandwise.report.kinds import LOW_RESOLUTION, describe, is_baseline, is_low_resolution
from bandwise.report.page import Card, Figure, Fold, Page, Section, Statement
from bandwise.report.pictures import galleries
from bandwise.report.plots import (
    Bar,
    Line,
    Priced,
    accuracy_chart,
    curve_chart,
    disagreement_chart,
    price_chart,
    weights_chart,
)
from bandwise.report.tables import (
    branch_table,
    calibration_table,
    class_table,
    headline_table,
    rules_table,
    ten_crop_table,
    weights_table,
)
from bandwise.report.units import binomial_error, percent, points
from bandwise.report.verdict import Comparison, comparisons, system_name, verdict
from bandwise.report.view import RunView
from bandwise.version import __version__


def compose(views: Sequence[RunView]) -> Page:
    """Build the page: the first run is the one reported, the others are its controls."""
    first, controls = views[0], views[1:]
    baseline = next((v for v in views if v.config is not None and is_baseline(v.config) and v.results), None)
    problems = [Statement(f"{view.name}: {problem}", "bad") for view in views for problem in view.problems]
    if first.results is None:
        sections = [_training(first, None), _provenance(views)]
        return Page(first.name, _subtitle(first), tuple(problems), (), _present(sections), _footer(first))
    sections = [
        _result(first, controls),
        _pictures(first),
        _training(first, baseline if baseline is not first else None),
        *([_fusion(first), _branches(first)] if _is_fused(first) else []),
        Section("cost", "Cost", tables=(cost_table(views, baseline),)),
        _classes(first, baseline if baseline is not first else None),
        _data(views),
        Section("notes", "Read this before you quote a number", paragraphs=tuple(notes(first, controls))),
        _provenance(views),
    ]
    found = comparisons(first, controls)
    statements = [*verdict(first, found), *problems]
    return Page(
        title=first.name,
        subtitle=_subtitle(first),
        statements=tuple(statements),
        cards=tuple(_cards(first, baseline, found)),
        sections=_present(sections),
        footer=_footer(first),
    )


def _present(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Leave out sections without content."""
    return tuple(s for s in sections if s.paragraphs or s.tables or s.figures or s.galleries or s.folds)


def _is_fused(view: RunView) -> bool:
    return view.results is not None and len(view.results["branches"]) > 1


def _subtitle(view: RunView) -> str:
    if view.config is None:
        return "This run could not be read."
    text = f"{describe(view.config)}; {view.config.network.model}, {view.config.training.epochs} epochs"
    text = text[0].upper() + text[1:]
    if view.results is None:
        return f"{text}. No results yet."
    data = view.results["data"]
    return f"{text}; {data['name']}, {len(data['classes'])} classes, {view.results['n_eval']} reported images."


def _footer(view: RunView) -> str:
    commit = (view.results or {}).get("environment", {}).get("commit")
    made = f"Results made at commit {commit[:12]}{'+' if commit.endswith('+') else ''}. " if commit else ""
    return f"{made}Page made by Bandwise {__version__}; it loads nothing from anywhere."


def _cards(first: RunView, baseline: RunView | None, found: Sequence[Comparison]) -> list[Card]:
    assert first.results is not None
    results = first.results
    top1 = results["fused"]["top1"]
    label = f"Fused ({results['fusion']['rule']})" if _is_fused(first) else "This network"
    error = f"± {100 * binomial_error(top1, results['n_eval']):.2f} points standard error"
    cards = [Card(label, percent(top1), error)]
    ahead = "fused is" if _is_fused(first) else "this is"
    for comparison in found:
        detail = f"{ahead} {points(comparison.difference)} points" + ("" if comparison.is_clear else ", not clear")
        if comparison.branch is not None:
            best = comparison.branch == results["reference"]["best_branch"]["branch"]
            name = f"Branch {comparison.branch}, {'best on the holdout' if best else LOW_RESOLUTION}"
            cards.append(Card(name, percent(comparison.top1), detail, comparison.tone))
        elif baseline is not None and comparison.name == system_name(baseline):
            cards.append(Card("Baseline, whole image", percent(comparison.top1), detail, comparison.tone))
    cards.append(Card("Chance", percent(results["chance"]), f"largest class, n = {results['n_eval']}"))
    return cards


def _result(first: RunView, controls: Sequence[RunView]) -> Section:
    assert first.results is not None
    assert first.config is not None
    results = first.results
    bars = [Bar(f"{first.name}, the result", results["fused"]["top1"], results["n_eval"], "result")]
    bars += [
        Bar(other.name, other.results["fused"]["top1"], other.results["n_eval"], "control")
        for other in controls
        if other.results is not None
    ]
    for entry in results["branches"] if _is_fused(first) else ():
        low = " (low resolution)" if is_low_resolution(first.config, entry["branch"]) else ""
        bars.append(Bar(f"branch {entry['branch']}{low}", entry["top1"], results["n_eval"], "branch"))
    ten = ten_crop_table([first, *controls])
    tables = (headline_table(first, controls), *(() if ten is None else (ten,)))
    figures = (accuracy_chart(bars, results["chance"]), price_chart(_priced(first, controls)))
    return Section("result", "Result", tables=tables, figures=figures)


def _priced(first: RunView, controls: Sequence[RunView]) -> list[Priced]:
    assert first.results is not None
    single = first.results["branches"] if _is_fused(first) else ()
    found = [Priced(f"branch {entry['branch']}", entry["macs"], entry["top1"], "branch") for entry in single]
    for view in (first, *controls):
        if view.results is not None:
            macs, top1 = view.results["cost"]["macs_total"], view.results["fused"]["top1"]
            found.append(Priced(view.name, macs, top1, "result" if view is first else "control"))
    return found


def _pictures(first: RunView) -> Section:
    shown, missing = galleries(first.path / "preview")
    lead = "Each branch is trained on one of these pictures of an image, and never sees the others." if shown else ""
    if first.config is not None and any(len(group) > 1 for group in first.config.groups()):
        lead = "The bands of some images; a branch sees those of its group." if shown else ""
    paragraphs = tuple(text for text in (lead, missing) if text)
    return Section("bands", "What the branches see", paragraphs=paragraphs, galleries=shown)


def _training(first: RunView, baseline: RunView | None) -> Section:
    curves = [(f"branch {branch}", rows, False) for branch, rows in first.curves.items()]
    if baseline is not None:
        curves += [(baseline.name, rows, True) for rows in baseline.curves.values()]
    losses = [Line(name, [r["epoch"] for r in rows], [r["train_loss"] for r in rows], c) for name, rows, c in curves]
    figures: list[Figure] = []
    if any(line.epochs for line in losses):
        caption = "Training loss of each branch, mean of an epoch."
        figures.append(curve_chart(losses, what="training loss", unit="nats", caption=caption))
    held = [(name, [row for row in rows if row["holdout"]], c) for name, rows, c in curves]
    scores = [Line(n, [r["epoch"] for r in rows], [100 * r["holdout"]["top1"] for r in rows], c) for n, rows, c in held]
    if any(line.epochs for line in scores):
        caption = "Holdout accuracy of each branch after every epoch."
        figures.append(curve_chart(scores, what="holdout top-1", unit="%", caption=caption))
    text = () if figures or first.config is None else ("No branch has finished an epoch yet.",)
    return Section("training", "Training", paragraphs=text, figures=tuple(figures))


def _fusion(first: RunView) -> Section:
    assert first.results is not None
    rules = first.weighing_rules
    weights = np.array([entry["weights"] for entry in rules.values()])
    names = [f"branch {branch}" for branch in first.results["fusion"]["branches"]]
    calibration = calibration_table(first)
    tables = (rules_table(first), weights_table(first), *(() if calibration is None else (calibration,)))
    gap = holdout_gap(first)
    paragraphs = (gap,) if gap else ()
    return Section("fusion", "Fusion", paragraphs, tables=tables, figures=(weights_chart(list(rules), weights, names),))


def _branches(first: RunView) -> Section:
    assert first.results is not None
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    if first.answers is not None:
        shares = pairwise_disagreement(torch.from_numpy(first.answers.logits)).numpy()
        right = first.answers.branch_right
        apart = percent(float(shares[np.triu_indices(len(shares), 1)].mean()), 1)
        paragraphs = (
            f"Two branches answer differently on {apart} of the images on average. At least one branch is right on "
            f"{percent(float(right.any(axis=0).mean()), 1)} of them, all are right on "
            f"{percent(float(right.all(axis=0).mean()), 1)}.",
        )
        names = [str(branch) for branch in first.results["fusion"]["branches"]]
        figures = (disagreement_chart(shares, names),)
    return Section("branches", "Branches", paragraphs=paragraphs, tables=(branch_table(first),), figures=figures)


def _classes(first: RunView, baseline: RunView | None) -> Section:
    table = class_table(first, baseline)
    folds = () if table is None else (Fold(f"Accuracy of {len(table.rows)} classes", table=table),)
    return Section("classes", "Classes", folds=folds)


def _data(views: Sequence[RunView]) -> Section:
    differences = difference_table(views)
    tables = (data_table(views), *(() if differences is None else (differences,)))
    return Section("data", "Data and settings", tables=tables)


def _provenance(views: Sequence[RunView]) -> Section:
    return Section("provenance", "Configuration and environment", folds=provenance_folds(views))
