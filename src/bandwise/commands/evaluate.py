"""`bandwise evaluate RUN`: score every branch and the fusion on the reported set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bandwise.commands import flags
from bandwise.commands.store_source import CropsFromFlag, crops_from, run_with_store
from bandwise.commands.verb import Outcome, evaluation_outcome, parse, wrote
from bandwise.launch.answers import Answers
from bandwise.launch.evaluate import evaluate_run
from bandwise.runs.documents import write_results


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score a run on the reported set: top-1, top-5, NLL and ECE of every branch and of the fusion."""

    run: flags.RunFolder
    crops: Literal[1, 10] = 1
    """Centre crop, or the mean of ten; the two never share a file or a column."""
    crops_from: CropsFromFlag = "auto"
    data: flags.SourceNow = None
    store: flags.StoreNow = None
    device: flags.Device = None
    batch_size: flags.BatchSize = None
    head: bool = False
    """Train a fusion head too, and score it beside the other rules."""
    max_bad: int = 0
    """Images of the reported set that may have been unreadable before the exit code is 3."""
    record: Path | None = None
    """Copy the results into this folder too, as RECIPE-seedN.json, for the table of evidence."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "evaluate")
    run = run_with_store(arguments.run, arguments.store)
    wanted = crops_from(run, arguments.crops_from, arguments.data)
    on = {"device": arguments.device, "batch_size": arguments.batch_size}
    answers = Answers(run, crops=arguments.crops, crops_from=wanted, **on)
    results = evaluate_run(run, with_head=arguments.head, answers=answers)
    if arguments.record is not None:
        arguments.record.mkdir(parents=True, exist_ok=True)
        crops = "" if results.crops == 1 else f"-{results.crops}crop"
        seed = run.config.training.seed
        write_results(arguments.record / f"{results.name}-seed{seed}{crops}.json", results)
    outcome = evaluation_outcome(results, arguments.max_bad)
    last = wrote(run.results_path(arguments.crops), "report", run.path)
    return replace(outcome, text=f"{outcome.text}\n{last}")
