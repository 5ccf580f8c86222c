"""`bandwise launch RUN`: train the branches of a prepared run on an engine, then fuse, evaluate and report."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bandwise.commands import flags
from bandwise.commands.run import run_outcome
from bandwise.commands.verb import Outcome, parse
from bandwise.errors import UsageError
from bandwise.launch.engines.processes import processes_for
from bandwise.launch.pipeline import launch
from bandwise.launch.queue import Task, in_order, train_command
from bandwise.runs.run import open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train the branches of a run that `bandwise run RECIPE --out RUN --prepare` has begun; started again, go on."""

    run: flags.RunFolder
    on: Literal["processes"] = "processes"
    """What runs the branches: processes of this machine."""
    slots: int | None = None
    """Branches at once; when left out, as many as the machine or the cluster has room for."""
    devices: flags.Devices = None
    per_device: flags.PerDevice = None
    store: flags.StoreNow = None
    dry_run: bool = False
    """Print what would be started or submitted, and start nothing."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "launch")
    if arguments.slots is not None and arguments.slots < 1:
        raise UsageError(f"slots is {arguments.slots}; it must be at least 1")
    # Other machines and the commands of the branches have other current folders.
    run = open_run(arguments.run.resolve(), None if arguments.store is None else arguments.store.resolve())
    engine = processes_for(run.config.training, arguments.slots, arguments.devices, arguments.per_device)
    if arguments.dry_run:
        tasks = in_order([Task(run, branch) for branch in range(len(run.groups))])
        commands = [shlex.join(train_command(run, task.branch)) for task in tasks]
        result = {"slots": engine.slots, "devices": list(engine.devices), "commands": commands}
        on = f" on devices {', '.join(engine.devices)}" if engine.devices else ""
        return Outcome(result, "\n".join([f"# {engine.slots} at a time{on}", *commands]))
    return run_outcome(run, launch(run, engine))
