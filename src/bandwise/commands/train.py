"""`bandwise train`: one branch, or all of them; resumes by itself."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bandwise.commands import flags
from bandwise.commands.store_source import store_here
from bandwise.commands.verb import Outcome, base_config, parse, require_out, take_recipe, wrote
from bandwise.config import RunConfig, to_dict
from bandwise.errors import UsageError
from bandwise.launch.pipeline import train
from bandwise.progress import report_to_launcher
from bandwise.runs.documents import SUMMARY_NAME, read_summary
from bandwise.runs.run import Run
from bandwise.signals import follow_launcher


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train the branches of a run on the bands of a store. Killed and started again, it ends with the same weights."""

    settings: RunConfig
    out: Path | None = None
    """Run folder."""
    store: str | None = None
    """Store to train from, a folder or an address such as s3://bucket/store; OUT/store when left out."""
    branch: int | Literal["auto"] | None = None
    """Train only this branch, with `auto` that of this job of an array; all of them, in turn, when left out."""
    jobs: int = 1
    """Branches trained at once, each in a process of its own."""
    push: str = ""
    """Address, such as s3://bucket/run, to bring branches back from that were begun elsewhere, and to copy them to when
    they are finished or a signal ends them."""
    recipe_set: flags.RecipeSet = ""
    config: flags.ConfigFile = None
    dry_run: bool = False
    """Print the resolved configuration, and write nothing."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    follow_launcher()
    report_to_launcher()
    recipe, rest = take_recipe(argv)
    arguments = parse(Arguments, rest, "train", Arguments(settings=base_config(recipe, rest, resume=True)))
    out = require_out(arguments.out)
    groups = arguments.settings.groups()
    branch = _branch_of_this_job() if arguments.branch == "auto" else arguments.branch
    branches = None if branch is None else (branch,)
    if branch is not None and not 0 <= branch < len(groups):
        raise UsageError(f"branch {branch} does not exist; there are 0 to {len(groups) - 1}")
    if arguments.jobs < 1:
        raise UsageError(f"jobs is {arguments.jobs}; it must be at least 1")
    if arguments.dry_run:
        return Outcome(
            {"config": to_dict(arguments.settings)}, f"would train {len(branches or groups)} branches in {out}"
        )
    needed = (band for number in branches or range(len(groups)) for band in groups[number])
    store = store_here(arguments.store, needed)
    with _kept_at(arguments.push, arguments.settings, out, branches or range(len(groups))):
        run = train(arguments.settings, out, store=store, branches=branches, jobs=arguments.jobs)
    summaries = [read_summary(run.branch_folder(branch)) for branch in branches or range(len(groups))]
    text = "\n".join(
        f"branch {summary.branch} (bands {list(summary.bands)}): {summary.epochs} epochs, {summary.wall_s:.0f} s"
        for summary in summaries
    )
    here = all((run.branch_folder(number) / SUMMARY_NAME).exists() for number in range(len(groups)))
    last = wrote(run.path, "fuse" if here else "status", run.path)
    return Outcome({"run": str(run.path), "branches": [each.to_dict() for each in summaries]}, f"{text}\n{last}")


@contextlib.contextmanager
def _kept_at(address: str, config: RunConfig, out: Path, branches: Sequence[int]) -> Iterator[None]:
    """Bring branches back from an address before they are trained, and copy them there however that ends."""
    if not address:
        yield
        return
    from bandwise.launch.push import pull_branches, push_branches

    run = Run(out, config, out / "store")
    pull_branches(run, branches, address)
    try:
        yield
    finally:
        push_branches(run, branches, address)


def _branch_of_this_job() -> int:
    # Here, so that other trainings do not wait for it.
    from bandwise.launch.arrays import branch_of_this_job

    return branch_of_this_job()
