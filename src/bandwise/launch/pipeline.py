"""One way through: from images to results. Behind `bandwise run`, `demo`, `reproduce` and `bandwise.run`.

Every stage leaves files in the run folder and only checks what is there already, so the same call resumes.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

from bandwise.config import RunConfig, format_bands
from bandwise.errors import BandwiseError, Preempted, UsageError
from bandwise.fusion.rules import needs_holdout
from bandwise.launch.answers import Answers, require_own_store, write_missing_answers
from bandwise.launch.cost import require_networks
from bandwise.launch.engines.processes import processes_or_none
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.launch.queue import BranchesFailed, Engine, Failure, Task, in_order, run_queue, with_dependents
from bandwise.progress import say
from bandwise.runs.documents import Results
from bandwise.runs.run import RUN_NAME, Run, begun_run, open_run
from bandwise.signals import stop_requested
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import SampleList
from bandwise.store.preview import write_preview
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import require_apart, split_dataset
from bandwise.training.determinism import explain_device
from bandwise.training.identity import check_store
from bandwise.training.start import find_initial
from bandwise.training.trainer import require_settings, train_branch


class SplitOptions(TypedDict, total=False):
    """Options of `split_dataset` that a run passes on."""

    workers: int
    max_bad: int | None
    decode_timeout: float
    allow_empty_class: bool


def run(
    config: RunConfig,
    out: Path,
    *,
    store: Path | None = None,
    jobs: int = 1,
    engine: Engine | None = None,
    **options: Unpack[SplitOptions],
) -> Results | None:
    """Take one configuration from images to results: split, train, fuse, evaluate.

    Args:
        config: the experiment.
        out: the run folder; a run of the same configuration is continued.
        store: a store shared with other runs of the same split; `out/store` when None.
        jobs: branches trained at once; with more than one, each is a process of its own.
        engine: what trains the branches in place of so many processes.
        options: of `split_dataset`: `workers`, `max_bad`, `decode_timeout`, `allow_empty_class`.

    Returns:
        What `results.json` holds; None with `data.reported` none, where there is nothing to score.

    Raises:
        BandwiseError: any of the stages' errors; what they finished stays.
    """
    _require_path(out)
    engine = engine or processes_or_none(config.training, len(config.groups()), jobs)
    return run_together({out: config}, store=store, engine=engine, **options)[0]


def run_together(
    configs: Mapping[Path, RunConfig],
    *,
    store: Path | None = None,
    engine: Engine | None = None,
    **options: Unpack[SplitOptions],
) -> list[Results | None]:
    """Take several configurations, by their run folders, from images to results; as `run`.

    The branches of all of them are trained as one list, so that no core is idle while one run ends; without an engine
    in turn and in this process.
    """
    with contextlib.ExitStack() as stack:
        runs = [_prepare(stack, config, out, store, options) for out, config in configs.items()]
        for device in sorted({config.training.device for config in configs.values()}):
            say(explain_device(device))
        tasks = [Task(run, branch) for run in runs for branch in range(len(run.groups))]
        slots = 1 if engine is None else engine.slots
        say(f"{' and '.join(run.config.name for run in runs)}: training {len(tasks)} branches, {slots} at a time")
        train_tasks(tasks, engine)
    return [_finish(run) for run in runs]


def prepare(config: RunConfig, out: Path, *, store: Path | None = None, **options: Unpack[SplitOptions]) -> Run:
    """Begin a run and split its images: all that `launch` needs, on this machine or on others that see the folder."""
    _require_path(out)
    with contextlib.ExitStack() as stack:
        return _prepare(stack, config, out, store, options)


def launch(run: Run, engine: Engine) -> Results | None:
    """Train the branches of a prepared run on an engine, fuse and evaluate; returns what `run` does."""
    require_own_store(run, open_store(run.store_path, [band for group in run.groups for band in group]))
    say(f"{run.config.name}: training {len(run.groups)} branches, {engine.slots} at a time")
    train_branches(run, engine=engine)
    return _finish(run)


def train(
    config: RunConfig, out: Path, *, store: Path | None = None, branches: Sequence[int] | None = None, jobs: int = 1
) -> Run:
    """Train branches of a run, all when None, on a store that is there; the run folder is made where it is not.

    The store is that of the run, or `out/store`, when None; it needs the bands of these branches only.
    """
    groups = config.groups()
    of_run = open_run(out).store_path if (out / RUN_NAME).exists() else out / "store"
    opened = open_store(of_run if store is None else store, ())
    needed = {band for branch in branches or range(len(groups)) for band in groups[branch]}
    opened.require_split(replace(config.split, bands=format_bands(tuple(sorted(needed)))))
    require_networks(config, channels=opened.channels, num_classes=len(opened.classes))
    with begun_run(out, config, store) as run:
        require_own_store(run, opened)
        say(explain_device(config.training.device))
        train_branches(run, branches, processes_or_none(config.training, len(branches or groups), jobs))
    return run


def train_one(task: Task) -> None:
    """Train one branch, or resume it, and write its logits on the holdout and the reported set."""
    run, branch = task.run, task.branch
    start = None if task.source is None else run.branch_folder(task.source.branch)
    train_branch(run.config, run.store_path, run.branch_folder(branch), branch, start=start)
    write_missing_answers(run, branch)


def train_branches(run: Run, branches: Sequence[int] | None = None, engine: Engine | None = None) -> None:
    """Train several branches of one run, or all of them; see `train_tasks`."""
    wanted = range(len(run.groups)) if branches is None else branches
    train_tasks([Task(run, branch) for branch in wanted], engine)


def train_tasks(tasks: Sequence[Task], engine: Engine | None = None) -> None:
    """Train branches of one or several runs; one that fails stops only those that were to start from it.

    They start in the order of `tasks`, but for those that others start from, which come first; without an engine in
    turn and in this process. `BranchesFailed` comes after the others are finished; `Preempted` after every branch has
    saved its state.
    """
    failures = _in_turn(in_order(tasks)) if engine is None else run_queue(tasks, engine)
    if failures:
        raise BranchesFailed(failures, len(tasks))


def _in_turn(waiting: list[Task]) -> list[Failure]:
    failures: list[Failure] = []
    while waiting:
        task = waiting.pop(0)
        try:
            train_one(task)
        except Preempted:
            raise
        except BandwiseError as error:
            say(f"{task} failed: {error}")
            failures += with_dependents(Failure(task, str(error), error.exit_code), waiting)
    return failures


def _require_path(out: Path) -> None:
    """Let the system say so where a file has the name of the folder, or of one around it."""
    with contextlib.suppress(FileNotFoundError):
        (out / RUN_NAME).stat()


def _prepare(
    stack: contextlib.ExitStack, config: RunConfig, out: Path, store: Path | None, options: SplitOptions
) -> Run:
    """Make the run folder, split the images into its store, and draw some samples for the report."""
    source = open_source(config.data)
    require_apart(source, out)
    if len(source.classes) < 2:
        raise UsageError(f"{source.name} has one class; a classifier needs at least 2: add another class folder")
    require_networks(config, channels=source.channels, num_classes=len(source.classes))
    require_settings(config, source.channels)
    if not any(out.glob("branch-*/*")):
        # Before hours of splitting; what is trained already may have been moved away from its file.
        find_initial(config.network)
    run = stack.enter_context(begun_run(out, config, store))
    say(f"{config.name}: splitting {source.name} into {config.split.stride**2} bands in {run.store_path}")
    with stop_requested() as received:
        split_dataset(
            source,
            config.split,
            run.store_path,
            stop=lambda: received() is not None,
            found=partial(_require_samples, config, source.name),
            **options,
        )
    opened = open_store(run.store_path, [band for group in run.groups for band in group])
    require_own_store(run, opened)
    check_store(opened, config)
    write_preview(run.store_path, source, run.preview_folder)
    return run


def _require_samples(config: RunConfig, name: str, samples: SampleList) -> None:
    """Refuse, before the first picture is read, images with which a run could not be brought to its end."""
    train, holdout, reported = samples.counts
    batch, rule, branches = config.training.batch_size, config.fusion.rule, len(config.groups())
    if train < batch:
        raise UsageError(
            f"{name} has {train} images to train on beside the holdout, fewer than one batch of {batch}; use "
            f"--batch-size {train} or less"
        )
    if not reported and config.data.reported != "none":
        raise UsageError(
            f"{name} has no reported set, neither val nor test, so nothing could be scored; add one, or train and fuse "
            "without scores with --reported none: a reported set may be added later"
        )
    if not holdout and needs_holdout(rule, branches):
        raise UsageError(
            f"{name} has no holdout (--holdout {config.split.holdout:g}, --holdout-min {config.split.holdout_min}), "
            f"and the fusion {rule!r} of {branches} branches is fitted on it; give --holdout 0.15, or --fusion mean, "
            "which needs none"
        )


def _finish(run: Run) -> Results | None:
    answers = Answers(run)
    fuse_run(run, answers=answers)
    if run.config.data.reported == "none" and not answers.has("val", ()):
        say(f"{run.config.name}: no reported set, so nothing is scored")
        return None
    return evaluate_run(run, answers=answers)
