"""`bandwise evaluate RUN`: score every branch and the fusion on the reported set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bandwise.commands.outcome import Outcome, percent
from bandwise.commands.parsing import parse
from bandwise.commands.store_source import crops_from
from bandwise.errors import TooManyBadInputs
from bandwise.evaluation.metrics import SCORES, Score
from bandwise.evaluation.views import WantedOrigin
from bandwise.launch.answers import Answers
from bandwise.launch.evaluate import evaluate_run
from bandwise.runs.documents import Results, Scores, write_results
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


def evaluation_outcome(results: Results, max_bad: int) -> Outcome:
    """Show results as a table; more unreadable images than allowed give exit code 3."""
    code = TooManyBadInputs.exit_code if results.n_total - results.n_eval > max_bad else 0
    return Outcome(results.to_dict(), results_text(results), code)


def results_text(results: Results) -> str:
    """Lay out the figures of one run for a terminal."""
    crops = "centre crop" if results.crops == 1 else f"{results.crops} crops (from {results.views})"
    lines = [
        f"{results.name}: {results.n_eval} of {results.n_total} reported images, {len(results.data.classes)} classes, "
        f"{crops}",
        f"  {'':<22}" + "".join(f"{score.name:>{_width(score)}}" for score in SCORES),
    ]
    for entry in results.branches:
        bands = ",".join(map(str, entry.bands))
        note = "  (low-resolution control)" if results.config["split"]["stride"] > 1 and bands == "0" else ""
        lines.append(_line(f"branch {entry.branch}, bands {bands}", entry) + note)
    for rule, entry in results.rules.items():
        if rule != results.fusion.rule:
            lines.append(_line(f"fused, {rule}", entry))
    lines.append(_line(f"fused, {results.fusion.rule}", results.fused) + "  (the result)")
    best = results.reference.best_branch
    lines.append(f"  best branch on the holdout: {best.branch}, {percent(best.top1)} here")
    return "\n".join(lines)


def _line(name: str, scores: Scores) -> str:
    values = [(score, getattr(scores, score.key)) for score in SCORES]
    cells = (percent(value) if score.kind == "accuracy" else f"{value:.3f}" for score, value in values)
    return f"  {name:<22}" + "".join(f"{cell:>{_width(score)}}" for (score, _), cell in zip(values, cells, strict=True))


def _width(score: Score) -> int:
    return 9 if score.kind == "accuracy" else 8
