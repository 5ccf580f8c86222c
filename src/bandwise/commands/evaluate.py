"""`bandwise evaluate RUN`: score every branch and the fusion on the reported set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bandwise.commands.store_source import crops_from
from bandwise.commands.verb import Outcome, evaluation_outcome, parse
from bandwise.evaluation.views import WantedOrigin
from bandwise.launch.answers import Answers
from bandwise.launch.evaluate import evaluate_run
from bandwise.runs.documents import write_results
from bandwise.runs.run import open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score a run on the reported set: top-1, top-5, NLL and ECE of every branch and of the fusion."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    crops: Literal[1, 10] = 1
    """Centre crop, or the mean of ten; the two never share a file or a column."""
    crops_from: WantedOrigin = "auto"
    """Pixels of the crops: the branch's own stored bands, images rebuilt from a store of all bands, or the source
    decoded again. auto takes the first of these, in this order, that can give the crops exactly or is there."""
    data: str | None = None
    """Where the source is now; where the run found it when left out."""
    head: bool = False
    """Train a fusion head too, and score it beside the other rules."""
    max_bad: int = 0
    """Images of the reported set that may have been unreadable before the exit code is 3."""
    record: Path | None = None
    """Copy the results into this folder too, as RECIPE-seedN.json, for the table of evidence."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Evaluate."""
    arguments = parse(Arguments, argv, "evaluate")
    run = open_run(arguments.run)
    wanted = crops_from(run, arguments.crops_from, arguments.data)
    answers = Answers(run, crops=arguments.crops, crops_from=wanted)
    results = evaluate_run(run, with_head=arguments.head, answers=answers)
    if arguments.record is not None:
        arguments.record.mkdir(parents=True, exist_ok=True)
        crops = "" if results.crops == 1 else f"-{results.crops}crop"
        seed = run.config.training.seed
        write_results(arguments.record / f"{results.name}-seed{seed}{crops}.json", results)
    return evaluation_outcome(results, arguments.max_bad)
