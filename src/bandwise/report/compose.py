"""From the views of some runs to the content of one page."""

from collections.abc import Sequence

import numpy as np
import torch

from bandwise.evaluation.metrics import pairwise_disagreement
from bandwise.report.confusions import confusion_galleries, confusion_table, confusions
from bandwise.report.notes import holdout_gap, notes, provenance_folds
from bandwise.report.page import Card, Figure, Fold, Page, Section, Statement, Table
from bandwise.report.pictures import galleries
from bandwise.report.plots import (
    Bar,
    Line,
    Priced,
    accuracy_chart,
    curve_chart,
    disagreement_chart,
    price_chart,
    reliability_chart,
    weights_chart,
)
from bandwise.report.tables import (
    branch_table,
    calibration_table,
    class_table,
    cost_table,
    data_table,
    difference_table,
    headline_table,
    rules_table,
    ten_crop_table,
    weights_table,
)
from bandwise.report.units import binomial_error, percent, points
from bandwise.report.verdict import Comparison, comparisons, system_name, verdict
from bandwise.report.view import LOW_RESOLUTION, EvaluatedRun, RunView, describe, is_baseline, is_low_resolution
from bandwise.runs.run import open_run
from bandwise.version import __version__


def compose(views: Sequence[RunView]) -> Page:
    """Build the page: the first run is the one reported, the others are its controls."""
    first, controls = views[0], views[1:]
    problems = [Statement(f"{view.name}: {problem}", "bad") for view in views for problem in view.problems]
    provenance = Section("provenance", "Configuration and environment", folds=provenance_folds(views))
    if not isinstance(first, EvaluatedRun):
        sections = [_training(first, None), provenance]
        return Page(first.name, _subtitle(first), tuple(problems), (), _with_content(sections), _footer(first))
    baseline = next((view for view in views if isinstance(view, EvaluatedRun) and is_baseline(view.config)), None)
    other_baseline = None if baseline is first else baseline
    found = comparisons(first, controls)
    sections = [
        _result(first, controls),
        _pictures(first),
        _training(first, other_baseline),
        *([_fusion(first), _branches(first)] if first.is_fused else []),
        Section("cost", "Cost", tables=(cost_table(views, baseline),)),
        _classes(first, other_baseline),
        Section("data", "Data and settings", tables=_tables(data_table(views), difference_table(views))),
        Section("notes", "Read this before you quote a number", paragraphs=tuple(notes(first, controls))),
        provenance,
    ]
    return Page(
        title=first.name,
        subtitle=_subtitle(first),
        statements=(*verdict(first, found), *problems),
        cards=tuple(_cards(first, baseline, found)),
        sections=_with_content(sections),
        footer=_footer(first),
    )


def _with_content(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Leave out sections without content."""
    return tuple(s for s in sections if s.paragraphs or s.tables or s.figures or s.galleries or s.folds)


def _tables(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)


def _subtitle(view: RunView) -> str:
    if view.config is None:
        return "This run could not be read."
    text = f"{describe(view.config)}; {view.config.network.model}, {view.trained}"
    text = text[0].upper() + text[1:]
    if not isinstance(view, EvaluatedRun):
        return f"{text}. No results yet."
    data = view.results.data
    return f"{text}; {data.name}, {len(data.classes)} classes, {view.results.n_eval} reported images."


def _footer(view: RunView) -> str:
    commit = view.results.environment.commit if isinstance(view, EvaluatedRun) else None
    made = f"Results made at commit {commit[:12]}{'+' if commit.endswith('+') else ''}. " if commit else ""
    return f"{made}Page made by Bandwise {__version__}; it loads nothing from anywhere."


def _cards(first: EvaluatedRun, baseline: EvaluatedRun | None, found: Sequence[Comparison]) -> list[Card]:
    results = first.results
    top1 = results.fused.top1
    label = f"Fused ({results.fusion.rule})" if first.is_fused else "This network"
    error = f"± {100 * binomial_error(top1, results.n_eval):.2f} points standard error"
    cards = [Card(label, percent(top1), error)]
    ahead = "fused is" if first.is_fused else "this is"
    for comparison in found:
        detail = f"{ahead} {points(comparison.difference)} points" + ("" if comparison.is_clear else ", not clear")
        if comparison.branch is not None:
            best = comparison.branch == results.reference.best_branch.branch
            name = f"Branch {comparison.branch}, {'best on the holdout' if best else LOW_RESOLUTION}"
            cards.append(Card(name, percent(comparison.top1), detail, comparison.tone))
        elif baseline is not None and comparison.name == system_name(baseline):
            cards.append(Card("Baseline, whole image", percent(comparison.top1), detail, comparison.tone))
    cards.append(Card("Chance", percent(results.chance), f"largest class, n = {results.n_eval}"))
    return cards


def _result(first: EvaluatedRun, controls: Sequence[RunView]) -> Section:
    results = first.results
    branches = results.branches if first.is_fused else ()
    evaluated = [run for run in controls if isinstance(run, EvaluatedRun)]
    bars = [Bar(f"{first.name}, the result", results.fused.top1, results.n_eval, "result")]
    bars += [Bar(run.name, run.results.fused.top1, run.results.n_eval, "control") for run in evaluated]
    for entry in branches:
        low = " (low resolution)" if is_low_resolution(first.config, entry.branch) else ""
        bars.append(Bar(f"branch {entry.branch}{low}", entry.top1, results.n_eval, "branch"))
    priced = [Priced(f"branch {entry.branch}", entry.macs, entry.top1, "branch") for entry in branches]
    for run in (first, *evaluated):
        kind = "result" if run is first else "control"
        priced.append(Priced(run.name, run.results.cost.macs_total, run.results.fused.top1, kind))
    return Section(
        "result",
        "Result",
        tables=_tables(headline_table(first, controls), ten_crop_table([first, *controls])),
        figures=(accuracy_chart(bars, results.chance), price_chart(priced)),
    )


def _pictures(first: EvaluatedRun) -> Section:
    shown, missing = galleries(first.path / "preview")
    lead = "Each branch is trained on one of these pictures of an image, and never sees the others."
    if any(len(bands) > 1 for bands in first.config.groups()):
        lead = "The bands of some images; a branch sees those of its group."
    paragraphs = tuple(text for text in (lead if shown else "", missing) if text)
    return Section("bands", "What the branches see", paragraphs=paragraphs, galleries=shown)


def _training(first: RunView, baseline: RunView | None) -> Section:
    curves = [(f"branch {branch}", rows, False) for branch, rows in first.curves.items()]
    if baseline is not None:
        curves += [(baseline.name, rows, True) for rows in baseline.curves.values()]
    losses = [Line(name, [row.epoch for row in rows], [row.train_loss for row in rows], c) for name, rows, c in curves]
    scores = []
    for name, rows, is_control in curves:
        held = [(row.epoch, 100 * row.holdout_top1) for row in rows if row.holdout_top1 is not None]
        scores.append(Line(name, [epoch for epoch, _ in held], [top1 for _, top1 in held], is_control))
    figures: list[Figure] = []
    if any(line.epochs for line in losses):
        caption = "Training loss of each branch, mean of an epoch."
        figures.append(curve_chart(losses, what="training loss", unit="nats", caption=caption))
    if any(line.epochs for line in scores):
        caption = "Holdout accuracy of each branch after every epoch."
        figures.append(curve_chart(scores, what="holdout top-1", unit="%", caption=caption))
    text = () if figures or first.config is None else ("No branch has finished an epoch yet.",)
    return Section("training", "Training", paragraphs=text, figures=tuple(figures))


def _fusion(first: EvaluatedRun) -> Section:
    rules = first.weighing_rules
    weights = np.array([entry.weights for entry in rules.values()])
    names = [f"branch {branch}" for branch in first.results.fusion.branches]
    gap = holdout_gap(first)
    return Section(
        "fusion",
        "Fusion",
        paragraphs=(gap,) if gap else (),
        tables=_tables(rules_table(first), weights_table(first), calibration_table(first)),
        figures=(weights_chart(list(rules), weights, names), *_reliability(first)),
    )


def _reliability(first: EvaluatedRun) -> tuple[Figure, ...]:
    return () if first.answers is None else (reliability_chart(first.answers.confidence, first.answers.right),)


def _branches(first: EvaluatedRun) -> Section:
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    if first.answers is not None:
        shares = pairwise_disagreement(torch.from_numpy(first.answers.branches)).numpy()
        right = first.answers.branch_right
        apart = percent(float(shares[np.triu_indices(len(shares), 1)].mean()), 1)
        paragraphs = (
            f"Two branches answer differently on {apart} of the images on average. At least one branch is right on "
            f"{percent(float(right.any(axis=0).mean()), 1)} of them, all are right on "
            f"{percent(float(right.all(axis=0).mean()), 1)}.",
        )
        figures = (disagreement_chart(shares, [str(branch) for branch in first.results.fusion.branches]),)
    return Section("branches", "Branches", paragraphs=paragraphs, tables=(branch_table(first),), figures=figures)


def _classes(first: EvaluatedRun, baseline: EvaluatedRun | None) -> Section:
    table = class_table(first, baseline)
    if table is None or first.answers is None:
        return Section("classes", "Classes")
    found = confusions(first.answers)
    galleries, missing = confusion_galleries(first, open_run(first.path).store_path, first.answers, found)
    return Section(
        "classes",
        "Classes",
        paragraphs=(missing,) if missing else (),
        tables=_tables(confusion_table(first, found)),
        galleries=galleries,
        folds=(Fold(f"Accuracy of {len(table.rows)} classes", table=table),),
    )
