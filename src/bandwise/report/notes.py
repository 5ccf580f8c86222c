"""Caveats of the numbers, and the configuration and environment that they were made with."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bandwise.config import to_dict
from bandwise.files.schema import plain
from bandwise.report.page import Fold
from bandwise.report.units import binomial_error, percent
from bandwise.report.view import EvaluatedRun, RunView

_FEW_IMAGES = 2000
_GAP_ERRORS = 4.0


def holdout_gap(run: EvaluatedRun) -> str:
    """Say that the holdout is not like the reported images, where the best branch shows it; empty otherwise."""
    results = run.results
    best = results.reference.best_branch.branch
    entry = next(entry for entry in results.branches if entry.branch == best)
    if entry.holdout is None:
        return ""
    held = entry.holdout.top1
    error = math.hypot(binomial_error(held, results.data.n_holdout), binomial_error(entry.top1, results.n_eval))
    if abs(held - entry.top1) <= _GAP_ERRORS * error:
        return ""
    return (
        f"The holdout is not like the reported images: branch {best} is right on {percent(held)} of it and on "
        f"{percent(entry.top1)} of them. Weights and temperatures that were fitted on it may suit the reported "
        "images badly, and the confidence most of all. Near copies of training images in the holdout are a usual cause."
    )


def notes(first: EvaluatedRun, controls: Sequence[RunView]) -> list[str]:
    """List what a fair reader would ask about these numbers."""
    results = first.results
    found = [
        "Every number comes from one training of each network. The p-values say how far the choice of images "
        "explains a difference; they do not cover the luck of another seed.",
        "Fusion weights, temperatures and the best branch were chosen on the holdout, which no branch was trained on."
        if results.data.n_holdout
        else "There is no holdout: nothing was fitted or chosen, and probabilities have temperature 1.",
    ]
    used, planned = results.fusion.rule, first.config.fusion.rule
    if used != planned:
        found.append(
            f"The result uses the rule {used}, the configuration says {planned}. If it was changed after the figures "
            "were seen, they are too good."
        )
    if results.n_eval < _FEW_IMAGES:
        found.append(f"{results.n_eval} images are few: one image is {100 / results.n_eval:.2f} points.")
    if gap := holdout_gap(first):
        found.append(gap)
    branches = range(len(first.config.groups()))
    if missing := sorted(set(branches) - set(results.fusion.branches)):
        found.append(
            f"The fusion uses {len(results.fusion.branches)} of {len(branches)} branches; "
            f"missing: {', '.join(map(str, missing))}."
        )
    evaluated = [run for run in (first, *controls) if isinstance(run, EvaluatedRun)]
    for run in evaluated:
        if unread := run.results.n_total - run.results.n_eval:
            found.append(f"{run.name}: {unread} reported images could not be read and are not scored.")
        found += [f"{run.name}: {start}." for start in _starts(run)]
    if len({run.results.environment.hardware for run in evaluated}) > 1:
        found.append("The runs were made on different machines: their training times do not compare.")
    return found


def _starts(run: EvaluatedRun) -> list[str]:
    """Say where the branches that were not trained from scratch started from."""
    started = [entry.branch for entry in run.results.branches if not entry.from_scratch]
    if not started:
        return []
    source = run.config.initial_branch
    if source is None:
        return ["some branches started from weights of another training"]
    found = ["some branches started from weights of another training"] if source in started else []
    found.append(
        f"the other branches started from the final weights of branch {source}, trained before them; one folder "
        "was sent, and with a machine for every branch it takes the time of two trainings"
    )
    return found


def provenance_folds(views: Sequence[RunView]) -> tuple[Fold, ...]:
    """The full configuration and environment of every run, to open on request."""
    folds = []
    for view in views:
        if view.config is not None:
            folds.append(Fold(f"Configuration of {view.name}", text=_pretty(to_dict(view.config))))
        if isinstance(view, EvaluatedRun):
            folds.append(Fold(f"Environment of {view.name}", text=_pretty(plain(view.results.environment))))
    return tuple(folds)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
