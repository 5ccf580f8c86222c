"""Tables of accuracies: all systems, every branch, every fusion rule, every class, ten crops."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bandwise.evaluation.metrics import classification_metrics, per_class_accuracy
from bandwise.report.kinds import branch_name, describe
from bandwise.report.page import Table
from bandwise.report.units import amount, percent, percent_with_error, points, seconds
from bandwise.report.verdict import why_not_comparable
from bandwise.report.view import RunView

_SCORES = ("top-1", "top-5", "NLL (nats)", "ECE")


def _scores(entry: Mapping[str, Any], count: int) -> tuple[str, ...]:
    top1 = percent_with_error(entry["top1"], count)
    return top1, percent(entry["top5"]), f"{entry['nll']:.3f}", percent(entry["ece"])


def _count(results: Mapping[str, Any]) -> str:
    return f"{results['n_eval']} of {results['n_total']}"


def headline_table(first: RunView, controls: Sequence[RunView]) -> Table:
    """Every system on the reported images: controls, branches, and all fusion rules."""
    assert first.config is not None
    assert first.results is not None
    results = first.results
    several = len(results["branches"]) > 1
    used = results["fusion"]["rule"]
    what = f"fused by {used}, the result" if several else describe(first.config)
    rows: list[tuple[str, ...]] = [(what, *_scores(first.headline, results["n_eval"]), _count(results))]
    for other in controls:
        if other.results is None or other.config is None:
            rows.append((f"{other.name}: no results", "", "", "", "", ""))
            continue
        rule = "" if len(other.results["branches"]) == 1 else f", fused by {other.results['fusion']['rule']}"
        name = f"{other.name}: {describe(other.config)}{rule}"
        rows.append((name, *_scores(other.headline, other.results["n_eval"]), _count(other.results)))
    for entry in results["branches"] if several else ():
        name = branch_name(first.config, entry["branch"])
        rows.append((name, *_scores(entry, results["n_eval"]), _count(results)))
    for rule, entry in first.rules.items() if several else ():
        if rule != used:
            rows.append((f"fused by {rule}", *_scores(entry, results["n_eval"]), _count(results)))
    rows.append(("chance: always the largest class", percent(results["chance"]), "", "", "", _count(results)))
    crops = "centre crop" if results["crops"] == 1 else f"{results['crops']} crops"
    return Table(
        caption=f"{first.name}{' and its controls' if controls else ''} on the reported images ({crops})",
        head=("system", *_SCORES, "images scored"),
        rows=tuple(rows),
        strong=frozenset({0}),
        note="± is one binomial standard error. NLL is the negative log-likelihood, ECE the expected calibration error "
        "in 15 bins; lower is better for both. A fusion has a temperature fitted on the holdout; a single network has "
        "none.",
    )


def branch_table(view: RunView) -> Table:
    """What each branch of a run reached, what it is worth to the fusion, and what it cost."""
    assert view.config is not None
    assert view.results is not None
    fusion = view.results["fusion"]
    # A head has no weights.
    weights = dict(zip(fusion["branches"], fusion.get("weights", ()), strict=False))
    left_out = {entry["branch"]: entry for entry in view.results.get("leave_one_out", ())}
    worth = ("worth (points)",) if left_out else ()
    rows = []
    for entry in view.results["branches"]:
        branch = entry["branch"]
        gain = left_out.get(branch, {}).get("top1_gain")
        rows.append(
            (
                branch_name(view.config, branch),
                percent_with_error(entry["top1"], view.results["n_eval"]),
                percent(entry["holdout"]["top1"]) if entry.get("holdout") else "–",
                _weight(branch, fusion, weights),
                *(("–" if gain is None else points(gain),) if left_out else ()),
                amount(entry["params"]),
                amount(entry["macs"]),
                seconds(entry["wall_s"]),
                amount(entry["store_bytes"], "B"),
            )
        )
    return Table(
        caption=f"Branches of {view.name}",
        head=("branch", "top-1", "top-1, holdout", "weight", *worth, "parameters", "MACs", "training", "data"),
        rows=tuple(rows),
        note=f"Weight: in the rule {fusion['rule']}. "
        + ("Worth: fused accuracy with the branch minus without it. " if left_out else "")
        + "MACs: multiply-adds of one image, forward. Training: wall time. Data: bytes of the bands of the branch.",
    )


def _weight(branch: int, fusion: Mapping[str, Any], weights: Mapping[int, float]) -> str:
    if branch in weights:
        return percent(weights[branch], 1)
    return "in the head" if branch in fusion["branches"] else "not fused"


def rules_table(view: RunView) -> Table:
    """The fusion rules side by side, with what each was fitted on."""
    assert view.results is not None
    results = view.results
    rows = [
        (
            rule + (f" (p = {entry['p']:g})" if entry.get("p") is not None else ""),
            *_scores(entry, results["n_eval"]),
            f"{entry['temperature']:.3f}",
            f"{entry.get('fitted_on', '?')}, n = {entry.get('n_holdout', '?')}",
        )
        for rule, entry in view.rules.items()
    ]
    used = list(view.rules).index(results["fusion"]["rule"]) if results["fusion"]["rule"] in view.rules else -1
    return Table(
        caption="Fusion rules",
        head=("rule", *_SCORES, "temperature", "fitted on"),
        rows=tuple(rows),
        strong=frozenset({used}) - {-1},
        text_columns=frozenset({0, 6}),
        note="The rule in bold is the result, whichever is best here. Holdout images are training images that no "
        "branch was trained on.",
    )


def weights_table(view: RunView) -> Table:
    """The weight that each rule gives to each branch."""
    assert view.config is not None
    assert view.results is not None
    rules = view.weighing_rules
    branches = view.results["fusion"]["branches"]
    rows = [
        (branch_name(view.config, branch), *(percent(entry["weights"][place], 1) for entry in rules.values()))
        for place, branch in enumerate(branches)
    ]
    return Table(caption="Weights of the branches", head=("branch", *rules), rows=tuple(rows))


def calibration_table(view: RunView) -> Table | None:
    """NLL and ECE of the result with and without its temperature; None without logits."""
    if view.answers is None or view.results is None:
        return None
    temperature = view.results["fusion"]["temperature"]
    labels = torch.from_numpy(view.answers.labels)
    rows = []
    for name, divisor in (("temperature 1", 1.0), (f"temperature {temperature:.3f}, the result", temperature)):
        scores = classification_metrics(torch.from_numpy(view.answers.fused / divisor), labels)
        rows.append((name, f"{scores['nll']:.3f}", percent(scores["ece"])))
    return Table(
        caption="Calibration of the result",
        head=("logits", "NLL (nats)", "ECE"),
        rows=tuple(rows),
        note="A temperature changes the confidence and never the answer. It was fitted on the holdout.",
    )


def class_table(first: RunView, baseline: RunView | None) -> Table | None:
    """Accuracy of every class, beside that of the baseline where it answered the same images; None without logits."""
    if first.answers is None or first.results is None:
        return None
    labels = torch.from_numpy(first.answers.labels)
    ours, counts = per_class_accuracy(torch.from_numpy(first.answers.fused), labels)
    theirs = None
    if baseline is not None and baseline.answers is not None and not why_not_comparable(first, baseline):
        theirs, _ = per_class_accuracy(
            torch.from_numpy(baseline.answers.fused), torch.from_numpy(baseline.answers.labels)
        )
    rows = []
    for number, name in enumerate(first.results["data"]["classes"]):
        if not int(counts[number]):
            rows.append((name, "0", "–", *(("–", "–") if theirs is not None else ())))
            continue
        own = float(ours[number])
        cells = (name, str(int(counts[number])), percent(own, 1))
        if theirs is not None:
            cells += (percent(float(theirs[number]), 1), points(own - float(theirs[number])))
        rows.append(cells)
    more = ("baseline", "difference (points)") if theirs is not None else ()
    return Table(caption="Top-1 of every class", head=("class", "images", first.name, *more), rows=tuple(rows))


def ten_crop_table(views: Sequence[RunView]) -> Table | None:
    """Ten-crop accuracy of the runs that have it; None where no run does."""
    rows = []
    for view in views:
        if view.ten_crop is None or view.results is None:
            continue
        one, ten = view.results["fused"]["top1"], view.ten_crop["fused"]["top1"]
        row = (percent_with_error(one, view.results["n_eval"]), percent_with_error(ten, view.ten_crop["n_eval"]))
        rows.append((view.name, *row, points(ten - one)))
    head = ("run", "centre crop", "ten crops", "difference (points)")
    return Table(caption="Ten crops", head=head, rows=tuple(rows)) if rows else None
