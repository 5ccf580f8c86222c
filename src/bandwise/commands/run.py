"""`bandwise run RECIPE`: split, train, fuse, evaluate and report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bandwise.commands import flags
from bandwise.commands.verb import (
    Outcome,
    base_config,
    evaluation_outcome,
    own_store,
    parse,
    require_out,
    take_recipe,
    wrote,
)
from bandwise.config import RunConfig, to_dict
from bandwise.config.configfile import config_text
from bandwise.errors import UsageError
from bandwise.launch.engines.processes import processes_or_none
from bandwise.launch.pipeline import SplitOptions, prepare, run
from bandwise.machine import usable_cores
from bandwise.report.html import render_report
from bandwise.runs.documents import Results
from bandwise.runs.run import Run, open_run
from bandwise.sources.resolve import open_source
from bandwise.store.writing.split import split_dataset
from bandwise.store.writing.workers import DECODE_TIMEOUT_S


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Run one recipe from images to report. Started again, it resumes where it stopped."""

    settings: RunConfig
    out: Path | None = None
    """Run folder."""
    store: flags.SharedStore = None
    workers: int = field(default_factory=usable_cores)
    """Processes of the split."""
    jobs: int | None = None
    """Branches trained at once, each in a process of its own; when left out, as many as the cores allow with the
    threads of a branch, and one on every accelerator."""
    devices: flags.Devices = None
    per_device: flags.PerDevice = None
    max_bad: int | None = None
    """Unreadable images allowed in the split; 100 or one in ten thousand when left out. None in the reported set."""
    decode_timeout: float = DECODE_TIMEOUT_S
    """Seconds of the split for one picture; one that takes longer, or crashes the decoder, is skipped. 0 does not
    guard."""
    allow_empty_class: flags.AllowEmptyClass = False
    recipe_set: flags.RecipeSet = ""
    config: flags.ConfigFile = None
    prepare: bool = False
    """Stop after the split; `bandwise launch OUT` trains, here or on other machines."""
    dry_run: bool = False
    """Print the resolved configuration and the size of the split, and write nothing."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    recipe, rest = take_recipe(argv, required="bandwise run RECIPE --out RUN")
    arguments = parse(Arguments, rest, "run", Arguments(settings=base_config(recipe, rest)))
    out = require_out(arguments.out)
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError(f"jobs is {arguments.jobs}; it must be at least 1")
    config = arguments.settings
    store = own_store(arguments.store)
    options = SplitOptions(
        workers=arguments.workers,
        max_bad=arguments.max_bad,
        decode_timeout=arguments.decode_timeout,
        allow_empty_class=arguments.allow_empty_class,
    )
    if arguments.dry_run:
        plan = split_dataset(open_source(config.data), config.split, store or out / "store", dry_run=True, **options)
        result = {"config": to_dict(config), "split": plan}
        lines = "".join(f"# {key}: {value}\n" for key, value in plan.items())
        return Outcome(result, f"{config_text(result['config'])}# what the split would write:\n{lines}".rstrip())
    if arguments.prepare:
        prepared = prepare(config, out, store=store, **options)
        text = f"{config.name}: prepared, {len(prepared.groups)} branches to train\n{wrote(out, 'launch', out)}"
        return Outcome({"run": str(out), "store": str(prepared.store_path), "branches": len(prepared.groups)}, text)
    engine = processes_or_none(
        config.training, len(config.groups()), arguments.jobs, arguments.devices, arguments.per_device
    )
    results = run(config, out, store=store, engine=engine, **options)
    return run_outcome(open_run(out), results, arguments.max_bad or 0)


def run_outcome(run: Run, results: Results | None, max_bad: int = 0) -> Outcome:
    """Write the report of a finished run, and show its results."""
    last = wrote(page := render_report([run.path], run.path / "report.html"), "predict", run.path, "PICTURES")
    if results is None:
        name, fusion = run.config.name, run.fusion_path()
        text = f"{name}: trained and fused, {fusion}; there is no reported set, so no scores\n{last}"
        return Outcome({"run": str(run.path), "fusion": str(fusion), "report": str(page)}, text)
    outcome = evaluation_outcome(results, max_bad)
    return Outcome(outcome.result, f"{outcome.text}\n{last}", outcome.exit_code)
