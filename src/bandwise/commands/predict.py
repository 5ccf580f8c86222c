"""`bandwise predict RUN PATHS...`: classify files and folders."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse, percent
from bandwise.errors import Preempted, TooManyBadInputs, UsageError
from bandwise.files.hub import local_folder
from bandwise.machine import keep_freed_memory
from bandwise.progress import say, show
from bandwise.serving.cascaded import CascadedEnsemble
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.inputs import Input, list_inputs
from bandwise.serving.modes import Mode
from bandwise.serving.predict import Classifier, Prediction, predict_inputs, printable
from bandwise.serving.release import is_release
from bandwise.serving.table import KeptRows, identity_of, require_place
from bandwise.signals import stop_requested
from bandwise.training.determinism import choose_device


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Classify pictures with the fused branches of a run: one row for every input, whatever is wrong with it."""

    run: flags.Model
    paths: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Files and folders; `-` reads a list from the standard input."""
    top: int = 5
    """Classes to name for each picture."""
    batch_size: int = 32
    """Pictures at a time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks run: cpu, cuda, or auto for CUDA where there is one."""
    mode: Mode = "sequential"
    """How the branches run: one after the other, several at a time with a core each, or equal networks stacked."""
    cascade: float | None = None
    """Stop asking branches once the answer is sure enough to keep this share of the holdout accuracy, such as 0.99."""
    votes: bool = False
    """Say too what every branch answers by itself."""
    csv: Annotated[Path | None, tyro.conf.arg(aliases=["--table"])] = None
    """Write the rows to this file too: .jsonl, .parquet, or else CSV that is safe to open in a spreadsheet; FILE.part
    keeps them until all are there, and the same command goes on from it."""
    max_bad: int = 0
    """Inputs that may fail before the exit code is 3."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "predict")
    if not arguments.paths:
        raise UsageError("name the pictures or folders to classify, or - to read their names from the standard input")
    if arguments.csv is not None:
        require_place(arguments.csv)
    inputs = list_inputs(arguments.paths, sys.stdin.buffer)
    model = local_folder(arguments.run)
    ensemble = _classifier(arguments, model).to(choose_device(arguments.device))
    if arguments.csv is None:
        rows = _predict(arguments, ensemble, inputs, None)
    else:
        options = {"top": arguments.top, "mode": arguments.mode, "cascade": arguments.cascade, "votes": arguments.votes}
        with KeptRows(arguments.csv, identity_of(model, inputs, **options)) as kept:
            rows = _predict(arguments, ensemble, inputs, kept)
            kept.finish(arguments.top)
        say(f"wrote {arguments.csv}: {len(rows)} rows")
    failed = sum(row.status == "error" for row in rows)
    result = {"n": len(rows), "n_failed": failed, "predictions": [row.to_dict() for row in rows]}
    code = TooManyBadInputs.exit_code if failed > arguments.max_bad else 0
    return Outcome(result, "", code)


def _predict(
    arguments: Arguments, ensemble: Classifier, inputs: Sequence[Input], kept: KeptRows | None
) -> list[Prediction]:
    """Classify the inputs, and keep or print their rows batch by batch; a signal stops after a batch."""
    rows: list[Prediction] = [] if kept is None else list(kept.rows)
    options = {"batch_size": arguments.batch_size, "top": arguments.top, "votes": arguments.votes}
    if not arguments.json:
        _print(rows)
    with keep_freed_memory(), stop_requested() as received:
        for batch in predict_inputs(ensemble, inputs[len(rows) :], **options):
            rows += batch
            if kept is not None:
                kept.add(batch)
            if not arguments.json:
                _print(batch)
            if (number := received()) is not None and len(rows) < len(inputs):
                where = "with --csv FILE they would be kept" if kept is None else f"their rows are in {kept.path}"
                raise Preempted(
                    f"stopped by {number.name} after {len(rows)} of {len(inputs)} inputs; {where}, and the same "
                    "command would go on"
                )
    return rows


def _print(rows: Sequence[Prediction]) -> None:
    for row in rows:
        show(_line(row), sys.stdout)


def _classifier(arguments: Arguments, model: Path) -> SpectralEnsemble | CascadedEnsemble:
    if arguments.cascade is not None:
        if is_release(model):
            raise UsageError("--cascade is fitted on the holdout logits of a run, which a released model does not have")
        if arguments.mode != "sequential":
            raise UsageError("--cascade asks the branches in turn; leave --mode out")
        return CascadedEnsemble.from_run(model, arguments.cascade)
    if arguments.mode == "concurrent":
        torch.set_num_threads(1)
    return SpectralEnsemble.from_pretrained(model, arguments.mode)


def _line(row: Prediction) -> str:
    if row.status != "ok":
        return f"{printable(row.path)}: {row.status}, {row.reason}: {printable(row.detail)}"
    said = ", ".join(f"{score.name} {percent(score.probability)}" for score in row.classes)
    votes = ", ".join(f"{vote.branch} {vote.name}" for vote in row.votes or ())
    return f"{printable(row.path)}: {said}" + (f"; branches: {votes}" if votes else "")
