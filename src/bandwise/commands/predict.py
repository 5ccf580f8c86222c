"""`bandwise predict RUN PATHS...`: classify files and folders."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse, percent
from bandwise.errors import TooManyBadInputs, UsageError
from bandwise.machine import keep_freed_memory
from bandwise.serving.cascaded import CascadedEnsemble
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.modes import Mode
from bandwise.serving.predict import Classifier, Prediction, predict_paths, printable, write_csv


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Classify pictures with the fused branches of a run: one row for every input, whatever is wrong with it."""

    run: flags.RunFolder
    paths: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Files and folders; `-` reads a list from the standard input."""
    top: int = 5
    """Classes to name for each picture."""
    batch_size: int = 32
    """Pictures at a time."""
    mode: Mode = "sequential"
    """How the branches run: one after the other, several at a time with a core each, or equal networks stacked."""
    cascade: float | None = None
    """Stop asking branches once the answer is sure enough to keep this share of the holdout accuracy, such as 0.99."""
    csv: Path | None = None
    """Write the rows to this file too, safe to open in a spreadsheet."""
    max_bad: int = 0
    """Inputs that may fail before the exit code is 3."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "predict")
    if not arguments.paths:
        raise UsageError("name the pictures or folders to classify, or - to read their names from the standard input")
    ensemble = _classifier(arguments)
    options = {"batch_size": arguments.batch_size, "top": arguments.top, "stdin": sys.stdin.buffer}
    with keep_freed_memory():
        rows = list(predict_paths(ensemble, arguments.paths, **options))
    if arguments.csv is not None:
        write_csv(arguments.csv, rows, top=arguments.top)
    failed = sum(row.status == "error" for row in rows)
    result = {"n": len(rows), "n_failed": failed, "predictions": [row.to_dict() for row in rows]}
    code = TooManyBadInputs.exit_code if failed > arguments.max_bad else 0
    return Outcome(result, "\n".join(_line(row) for row in rows), code)


def _classifier(arguments: Arguments) -> Classifier:
    if arguments.cascade is not None:
        if arguments.mode != "sequential":
            raise UsageError("--cascade asks the branches in turn; leave --mode out")
        return CascadedEnsemble.from_run(arguments.run, arguments.cascade)
    if arguments.mode == "concurrent":
        torch.set_num_threads(1)
    return SpectralEnsemble.from_run(arguments.run, arguments.mode)


def _line(row: Prediction) -> str:
    if row.status != "ok":
        return f"{printable(row.path)}: {row.status}, {row.reason}: {printable(row.detail)}"
    return f"{printable(row.path)}: " + ", ".join(f"{score.name} {percent(score.probability)}" for score in row.classes)
