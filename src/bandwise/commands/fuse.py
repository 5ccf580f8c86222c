"""`bandwise fuse RUN`: fit the fusion rule on the holdout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from bandwise.commands import flags
from bandwise.commands.store_source import CropsFromFlag, crops_from, run_with_store
from bandwise.commands.verb import Outcome, parse, percent, wrote
from bandwise.config import FusionRule, parse_bands
from bandwise.errors import UsageError
from bandwise.files.schema import plain
from bandwise.fusion.head import TrainedHead
from bandwise.fusion.saved import describe
from bandwise.launch.answers import Answers, require_own_store
from bandwise.launch.fuse import fuse_run
from bandwise.runs.run import Run
from bandwise.store.reading.store import open_store


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Fit the fusion of a run on the holdout logits of its branches; never on the reported set."""

    run: flags.RunFolder
    rule: Annotated[FusionRule | None, tyro.conf.arg(name="fusion")] = None
    """Rule; that of the run when left out."""
    use: str = "all"
    """Branches to fuse, for example 0,2-3."""
    crops: Literal[1, 10] = 1
    """Predictions to fuse: of the centre crop, or the mean of ten crops."""
    crops_from: CropsFromFlag = "auto"
    data: flags.SourceNow = None
    store: flags.StoreNow = None
    device: flags.Device = None
    batch_size: flags.BatchSize = None
    cascade: float | None = None
    """Say too what asking branches one after another saves, when this share of the holdout accuracy is kept."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "fuse")
    run = run_with_store(arguments.run, arguments.store)
    if arguments.store is not None:
        # With logits of all branches here nothing else would look at it.
        require_own_store(run, open_store(run.store_path, ()))
    if arguments.cascade is not None and arguments.crops != 1:
        raise UsageError("--cascade works on the centre crop; leave --crops at 1")
    use = None if arguments.use == "all" else parse_bands(arguments.use, len(run.groups))
    wanted = crops_from(run, arguments.crops_from, arguments.data)
    on = {"device": arguments.device, "batch_size": arguments.batch_size}
    answers = Answers(run, crops=arguments.crops, crops_from=wanted, **on)
    fusion = fuse_run(run, rule=arguments.rule, use=use, answers=answers)
    crops = () if arguments.crops == 1 else ("--crops", arguments.crops)
    last = wrote(run.fusion_path(arguments.crops), "evaluate", run.path, *crops)
    if isinstance(fusion, TrainedHead):
        text = (
            f"head trained on {fusion.n_train} images for {fusion.epochs} epochs, stopped on the holdout; temperature "
            f"{fusion.temperature:.3f}"
        )
        return Outcome(plain(describe(fusion)), f"{text}\n{last}")
    weights = ", ".join(
        f"{branch}: {weight:.3f}" for branch, weight in zip(fusion.branches, fusion.weights, strict=True)
    )
    fitted = "fitted on the holdout" if fusion.n_holdout else "without a holdout"
    text = f"{fusion.rule} {fitted}; weights {weights}; temperature {fusion.temperature:.3f}"
    if arguments.cascade is None:
        return Outcome(fusion.to_dict(), f"{text}\n{last}")
    cascade, summary = _cascade(run, arguments.cascade)
    return Outcome({**fusion.to_dict(), "cascade": cascade}, f"{text}\n{summary}\n{last}")


def _cascade(run: Run, target: float) -> tuple[dict[str, Any], str]:
    from bandwise.fusion.cascade import cascade_report

    report = cascade_report(run, target)
    lines = [f"cascade: branches {', '.join(map(str, report['order']))}; stops above {report['threshold']:.4f}"]
    for split, point in report["chosen"].items():
        whole = report["curves"][split][-1]
        lines.append(
            f"  {split}: {percent(point['accuracy'])} at {percent(point['cost'])} of the cost of all branches, which "
            f"reach {percent(whole['accuracy'])}"
        )
    return report, "\n".join(lines)
