"""The tables of a report: accuracies, fusion, cost, data and settings.

A new score is a field of `runs.documents.Scores`, computed in `evaluation.metrics`; its column here follows.
"""

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bandwise.config import to_dict
from bandwise.evaluation.metrics import per_class_accuracy
from bandwise.report.answers import Answers
from bandwise.report.page import Table
from bandwise.report.units import amount, percent, percent_with_error, points, ratio, seconds
from bandwise.report.verdict import why_not_comparable
from bandwise.report.view import EvaluatedRun, RunView, branch_name, describe
from bandwise.runs.documents import SCORES, Cost, Results, ScoredWeights, Scores, WeightsRecord

_DASH = "–"
_SCORES = tuple(score.name + (" (nats)" if score.kind == "nats" else "") for score in SCORES)


def _scores(scores: Scores, results: Results) -> tuple[str, ...]:
    values = [(score, getattr(scores, score.key)) for score in SCORES]
    cells = [f"{value:.3f}" if score.kind == "nats" else percent(value) for score, value in values]
    return percent_with_error(scores.top1, results.n_eval), *cells[1:]


def headline_table(first: EvaluatedRun, controls: Sequence[RunView]) -> Table:
    """Every system on the reported images: controls, branches, and all fusion rules."""
    results = first.results
    used = results.fusion.rule

    def row(name: str, scores: Scores, of: Results = results) -> tuple[str, ...]:
        return name, *_scores(scores, of), f"{of.n_eval} of {of.n_total}"

    rows = [row(f"fused by {used}, the result" if first.is_fused else describe(first.config), first.headline)]
    for other in controls:
        if not isinstance(other, EvaluatedRun):
            rows.append((f"{other.name}: no results", "", "", "", "", ""))
            continue
        rule = f", fused by {other.results.fusion.rule}" if other.is_fused else ""
        rows.append(row(f"{other.name}: {describe(other.config)}{rule}", other.headline, other.results))
    if first.is_fused:
        rows += [row(branch_name(first.config, entry.branch), entry) for entry in results.branches]
        rows += [row(f"fused by {rule}", entry) for rule, entry in first.rules.items() if rule != used]
    scored = f"{results.n_eval} of {results.n_total}"
    rows.append(("chance: always the largest class", percent(results.chance), "", "", "", scored))
    crops = "centre crop" if results.crops == 1 else f"{results.crops} crops"
    return Table(
        caption=f"{first.name}{' and its controls' if controls else ''} on the reported images ({crops})",
        head=("system", *_SCORES, "images scored"),
        rows=tuple(rows),
        strong=frozenset({0}),
        note="± is one binomial standard error. NLL is the negative log-likelihood, ECE the expected calibration error "
        "in 15 bins; lower is better for both. A fusion has a temperature fitted on the holdout; a single network has "
        "none.",
    )


def branch_table(run: EvaluatedRun) -> Table:
    """What each branch of a run reached, what it is worth to the fusion, and what it cost."""
    results = run.results
    gains = {entry.branch: entry.top1_gain for entry in results.leave_one_out or ()}
    rows = []
    for entry in results.branches:
        gain = gains.get(entry.branch)
        rows.append(
            (
                branch_name(run.config, entry.branch),
                percent_with_error(entry.top1, results.n_eval),
                _DASH if entry.holdout is None else percent(entry.holdout.top1),
                _weight(entry.branch, results),
                *((_DASH if gain is None else points(gain),) if gains else ()),
                amount(entry.params),
                amount(entry.macs),
                seconds(entry.wall_s),
                amount(entry.store_bytes, "B"),
            )
        )
    worth = ("worth (points)",) if gains else ()
    return Table(
        caption=f"Branches of {run.name}",
        head=("branch", "top-1", "top-1, holdout", "weight", *worth, "parameters", "MACs", "training", "data"),
        rows=tuple(rows),
        note=f"Weight: in the rule {results.fusion.rule}. "
        + ("Worth: fused accuracy with the branch minus without it. " if gains else "")
        + "MACs: multiply-adds of one image, forward. Training: wall time. Data: bytes of the bands of the branch.",
    )


def _weight(branch: int, results: Results) -> str:
    fusion = results.fusion
    if branch not in fusion.branches:
        return "not fused"
    if isinstance(fusion, WeightsRecord):
        return percent(fusion.weights[fusion.branches.index(branch)], 1)
    return "in the head"


def rules_table(run: EvaluatedRun) -> Table:
    """The fusion rules side by side, with what each was fitted on."""
    rows = []
    for rule, entry in run.rules.items():
        p = f" (p = {entry.p:g})" if isinstance(entry, ScoredWeights) and entry.p is not None else ""
        fitted = f"{entry.fitted_on}, n = {entry.n_holdout}"
        rows.append((rule + p, *_scores(entry, run.results), f"{entry.temperature:.3f}", fitted))
    used = run.results.fusion.rule
    return Table(
        caption="Fusion rules",
        head=("rule", *_SCORES, "temperature", "fitted on"),
        rows=tuple(rows),
        strong=frozenset(place for place, rule in enumerate(run.rules) if rule == used),
        text_columns=frozenset({0, 2 + len(_SCORES)}),
        note="The rule in bold is the result, whichever is best here. Holdout images are training images that no "
        "branch was trained on.",
    )


def weights_table(run: EvaluatedRun) -> Table:
    """The weight that each rule gives to each branch."""
    rules = run.weighing_rules
    rows = [
        (branch_name(run.config, branch), *(percent(entry.weights[place], 1) for entry in rules.values()))
        for place, branch in enumerate(run.results.fusion.branches)
    ]
    return Table(caption="Weights of the branches", head=("branch", *rules), rows=tuple(rows))


def calibration_table(run: EvaluatedRun) -> Table | None:
    """NLL and ECE of the result with and without its temperature; None without logits."""
    if run.answers is None:
        return None
    temperature = run.results.fusion.temperature
    named = {
        "temperature 1": run.answers.uncalibrated,
        f"temperature {temperature:.3f}, the result": run.answers.calibrated,
    }
    rows = [(name, f"{scores.nll:.3f}", percent(scores.ece)) for name, scores in named.items()]
    return Table(
        caption="Calibration of the result",
        head=("logits", "NLL (nats)", "ECE"),
        rows=tuple(rows),
        note="A temperature changes the confidence and never the answer. It was fitted on the holdout.",
    )


def _per_class(answers: Answers, classes: int) -> tuple[Tensor, Tensor]:
    return per_class_accuracy(torch.from_numpy(answers.fused), torch.from_numpy(answers.labels), classes)


def class_table(first: EvaluatedRun, baseline: EvaluatedRun | None) -> Table | None:
    """Accuracy of every class, beside that of the baseline where it answered the same images; None without logits."""
    if first.answers is None:
        return None
    ours, counts = _per_class(first.answers, len(first.results.data.classes))
    theirs = None
    if baseline is not None and baseline.answers is not None and not why_not_comparable(first, baseline):
        theirs, _ = _per_class(baseline.answers, len(baseline.results.data.classes))
    rows = []
    for number, name in enumerate(first.results.data.classes):
        if not int(counts[number]):
            rows.append((name, "0", _DASH, *((_DASH, _DASH) if theirs is not None else ())))
            continue
        own = float(ours[number])
        cells = (name, str(int(counts[number])), percent(own, 1))
        if theirs is not None:
            cells += (percent(float(theirs[number]), 1), points(own - float(theirs[number])))
        rows.append(cells)
    more = ("baseline", "difference (points)") if theirs is not None else ()
    return Table(caption="Top-1 of every class", head=("class", "images", first.name, *more), rows=tuple(rows))


def ten_crop_table(runs: Sequence[RunView]) -> Table | None:
    """Ten-crop accuracy of the runs that have it; None where no run does."""
    rows = []
    for run in runs:
        if isinstance(run, EvaluatedRun) and run.ten_crop is not None:
            one, ten = run.results, run.ten_crop
            accuracies = [percent_with_error(results.fused.top1, results.n_eval) for results in (one, ten)]
            rows.append((run.name, *accuracies, points(ten.fused.top1 - one.fused.top1)))
    head = ("run", "centre crop", "ten crops", "difference (points)")
    return Table(caption="Ten crops", head=head, rows=tuple(rows)) if rows else None


def cost_table(runs: Sequence[RunView], baseline: EvaluatedRun | None) -> Table:
    """Two rows a run, the largest branch and the total, with the ratio to the total of the baseline."""
    rows: list[tuple[str, ...]] = []
    for run in runs:
        if not isinstance(run, EvaluatedRun):
            rows.append((f"{run.name}: no results", "", "", "", "", ""))
            continue
        cost, count = run.results.cost, len(run.results.branches)
        reference = None if baseline is None or run is baseline else baseline.results.cost
        peak = amount(max(summary.peak_bytes for summary in run.summaries.values()), "B") if run.summaries else _DASH
        if count > 1:
            largest = _with_ratios(_costs_of_largest(cost), reference)
            rows.append((f"{run.name}, largest of {count} branches", *largest, peak))
            rows.append((f"{run.name}, all {count} branches", *_with_ratios(_costs_of_all(cost), reference), ""))
        else:
            rows.append((f"{run.name}, one network", *_with_ratios(_costs_of_all(cost), reference), peak))
    note = (
        "MACs: multiply-adds of one image, forward. Training: wall time of the slowest branch (with a machine for "
        "each) and the sum over branches. Data: bytes of the bands in the store. Peak memory: of the largest training "
        "process."
    )
    if baseline is not None:
        note += f" In brackets: times that of {baseline.name}."
    return Table(
        caption="Cost of one branch and of all of them",
        head=("system", "parameters", "MACs", "training", "data", "peak memory"),
        rows=tuple(rows),
        note=note,
    )


def _costs_of_largest(cost: Cost) -> tuple[float, ...]:
    return cost.params_per_branch, cost.macs_per_branch, cost.wall_s_longest, cost.store_bytes_per_branch


def _costs_of_all(cost: Cost) -> tuple[float, ...]:
    return cost.params_total, cost.macs_total, cost.wall_s_sum, cost.store_bytes_total


def _with_ratios(values: tuple[float, ...], reference: Cost | None) -> list[str]:
    params, macs, wall_s, stored = values
    texts = [amount(params), amount(macs), seconds(wall_s), amount(stored, "B")]
    if reference is None:
        return texts
    compared = zip(texts, values, _costs_of_all(reference), strict=True)
    return [f"{text} ({ratio(value, total)})" for text, value, total in compared]


def data_table(runs: Sequence[RunView]) -> Table:
    """How many images each run was trained, tuned and scored on, and how many were skipped."""
    rows = []
    for run in runs:
        if not isinstance(run, EvaluatedRun):
            rows.append((f"{run.name}: no results", "", "", "", "", "", ""))
            continue
        data = run.results.data
        scored = f"{run.results.n_eval} of {run.results.n_total}"
        counts = (len(data.classes), data.n_train, data.n_holdout, scored, data.skipped)
        rows.append((run.name, data.name, *map(str, counts)))
    return Table(
        caption="Images",
        head=("run", "data", "classes", "trained on", "holdout", "scored", "skipped in all splits"),
        rows=tuple(rows),
        text_columns=frozenset({0, 1}),
        note="Skipped images could not be decoded; they are left out of every band alike.",
    )


def difference_table(runs: Sequence[RunView]) -> Table | None:
    """The configuration fields in which the runs differ; None where there is only one run."""
    known = [(run.name, _flat(to_dict(run.config))) for run in runs if run.config is not None]
    if len(known) < 2:
        return None
    keys = dict.fromkeys(key for _, fields in known for key in fields if key != "name")
    cells = {key: [_setting(fields.get(key)) for _, fields in known] for key in keys}
    rows = tuple((key, *values) for key, values in cells.items() if len(set(values)) > 1)
    return Table(
        caption="Settings in which the runs differ",
        head=("setting", *(name for name, _ in known)),
        rows=rows,
        text_columns=frozenset(range(len(known) + 1)),
        note="All other settings are equal." if rows else "All settings are equal.",
    )


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
