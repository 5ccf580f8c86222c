"""`bandwise run RECIPE`: split, train, fuse, evaluate and report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandwise.commands.evaluate import evaluation_outcome
from bandwise.commands.outcome import Outcome
from bandwise.commands.parsing import base_config, core_count, parse, require_out, take_recipe
from bandwise.config import RunConfig, to_dict
from bandwise.config.configfile import config_text
from bandwise.errors import UsageError
from bandwise.launch.cost import require_networks
from bandwise.launch.evaluate import evaluate_run, fuse_run
from bandwise.launch.engines import jobs_that_fit, train_branches
from bandwise.progress import say
from bandwise.report.html import render_report
from bandwise.runs.run import Run, create_run, leaving_no_trace
from bandwise.signals import stop_requested
from bandwise.sources.resolve import open_source
from bandwise.store.preview import write_preview
from bandwise.store.writing.place import require_apart
from bandwise.store.writing.split import split_dataset
from bandwise.store.writing.workers import DECODE_TIMEOUT_S
from bandwise.training.start import find_initial


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Run one recipe from images to report. Started again, it resumes where it stopped."""

    settings: RunConfig
    out: Path | None = None
    """Run folder."""
    store: Path | None = None
    """Store to share with other runs of the same split; OUT/store when left out."""
    workers: int = field(default_factory=core_count)
    """Processes of the split."""
    jobs: int | None = None
    """Branches trained at once, each in a process of its own; when left out, as many as the cores allow with the
    threads of a branch, and 1 on an accelerator."""
    max_bad: int | None = None
    """Unreadable images allowed in the split; 100 or one in ten thousand when left out. None in the reported set."""
    decode_timeout: float = DECODE_TIMEOUT_S
    """Seconds of the split for one picture; one that takes longer, or crashes the decoder, is skipped. 0 does not
    guard."""
    allow_empty_class: bool = False
    """Accept a class folder without images."""
    recipe_set: str = ""
    """Train by a published recipe in place of the row's own: seed, rsb-a1, rsb-a2, rsb-a3 or torchvision."""
    config: Path | None = None
    """YAML or JSON file, merged over the recipe."""
    dry_run: bool = False
    """Print the resolved configuration and the size of the split, and write nothing."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Run, or resume a run."""
    recipe, rest = take_recipe(argv)
    if recipe is None and not {"-h", "--help"} & set(rest):
        raise UsageError("name a recipe (see `bandwise recipes`) or a YAML file first: bandwise run RECIPE --out RUN")
    arguments = parse(Arguments, rest, "run", Arguments(settings=base_config(recipe, rest)))
    out = require_out(arguments.out)
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError(f"jobs is {arguments.jobs}; it must be at least 1")
    jobs = arguments.jobs or jobs_that_fit(arguments.settings.training)
    results = run_config(
        arguments.settings,
        out,
        store=arguments.store,
        workers=arguments.workers,
        jobs=jobs,
        max_bad=arguments.max_bad,
        decode_timeout=arguments.decode_timeout,
        allow_empty_class=arguments.allow_empty_class,
        dry_run=arguments.dry_run,
    )
    if arguments.dry_run:
        plan = "".join(f"# {key}: {value}\n" for key, value in results["split"].items())
        return Outcome(results, f"{config_text(results['config'])}# what the split would write:\n{plan}".rstrip())
    page = render_report([out], out / "report.html")
    outcome = evaluation_outcome(results, arguments.max_bad or 0)
    return Outcome(outcome.result, f"{outcome.text}\nreport: {page}", outcome.exit_code)


def run_config(
    config: RunConfig,
    out: Path,
    *,
    store: Path | None = None,
    workers: int = 1,
    jobs: int = 1,
    max_bad: int | None = None,
    decode_timeout: float = 0.0,
    allow_empty_class: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Take one configuration from images to results; every stage that is done already is only checked.

    Returns:
        The content of `results.json`; with `dry_run`, the configuration and what the split would write.

    Raises:
        BandwiseError: any of the stages' errors; what they finished stays.
    """
    options = {"workers": workers, "max_bad": max_bad, "decode_timeout": decode_timeout}
    options["allow_empty_class"] = allow_empty_class
    if dry_run:
        store_path = out / "store" if store is None else store.expanduser()
        plan = split_dataset(open_source(config.data), config.split, store_path, dry_run=True, **options)
        return {"config": to_dict(config), "split": plan}
    with leaving_no_trace(out):
        run = prepare(config, out, store=store, **options)
        say(f"{config.name}: training {len(run.groups)} branches, {jobs} at a time")
        train_branches(run, jobs=jobs)
    return finish(run)


def prepare(config: RunConfig, out: Path, *, store: Path | None = None, **options: Any) -> Run:
    """Make the run folder, split the images into its store, and draw some samples for the report.

    Args:
        config: the resolved configuration.
        out: the run folder.
        store: a store shared with other runs of the same split; `out/store` when None.
        options: of `split_dataset`.
    """
    source = open_source(config.data)
    require_apart(source, out)
    require_networks(config, channels=source.channels, num_classes=len(source.classes))
    if not any(out.glob("branch-*/*")):
        # Before hours of splitting; what is trained already may have been moved away from its file.
        find_initial(config.network)
    run = create_run(out, config, None if store is None else store.expanduser())
    say(f"{config.name}: splitting {source.name} into {config.split.stride**2} bands in {run.store_path}")
    with stop_requested() as received:
        split_dataset(source, config.split, run.store_path, stop=lambda: received() is not None, **options)
    write_preview(run.store_path, source, run.preview_folder)
    return run


def finish(run: Run) -> dict[str, Any]:
    """Fuse and evaluate a run whose branches are trained; return the content of `results.json`."""
    fuse_run(run)
    return evaluate_run(run)
