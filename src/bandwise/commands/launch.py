"""`bandwise launch RUN`: train the branches of a prepared run on an engine, then fuse, evaluate and report."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, command, parse
from bandwise.errors import UsageError
from bandwise.launch.queue import Task, in_order, train_command
from bandwise.runs.run import Run, open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train the branches of a run that `bandwise run RECIPE --out RUN --prepare` has begun; started again, go on."""

    run: flags.RunFolder
    on: Literal["processes", "slurm", "ray"] = "processes"
    """What runs the branches: processes of this machine, or a SLURM or Ray cluster that sees the run folder."""
    slots: int | None = None
    """Branches at once; when left out, as many as the machine or the cluster has room for."""
    devices: flags.Devices = None
    per_device: flags.PerDevice = None
    sbatch: str = ""
    """SLURM: options for sbatch, such as '--partition=gpu --gres=gpu:1 --time=8:00:00'."""
    address: str | None = None
    """Ray: a running cluster, such as auto or HOST:6379; one of this machine for this call when left out."""
    store: Path | None = None
    """Where the store is now, should it have moved: a folder that every machine of the run sees."""
    dry_run: bool = False
    """Print what would be started or submitted, and start nothing."""
    json: flags.Json = False


_ONLY = {"devices": ("processes",), "per_device": ("processes", "ray"), "sbatch": ("slurm",), "address": ("ray",)}


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, _with_sbatch(argv), "launch")
    for name in ("slots", "per_device"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1")
    for name, engines in _ONLY.items():
        if getattr(arguments, name) and arguments.on not in engines:
            flag, allowed = f"--{name.replace('_', '-')}", " and ".join(engines)
            raise UsageError(f"{flag} is for --on {allowed}, and this is --on {arguments.on}; leave it out")
    # Other machines and the commands of the branches have other current folders.
    store = None if arguments.store is None else arguments.store.expanduser().resolve()
    run = open_run(arguments.run.resolve(), store)
    return _slurm(run, arguments) if arguments.on == "slurm" else _engine(run, arguments)


def _with_sbatch(argv: Sequence[str]) -> list[str]:
    """Join `--sbatch` with the options that follow it, which would pass for our own."""
    words = list(argv)
    if "--sbatch" in words[:-1]:
        at = words.index("--sbatch")
        words[at : at + 2] = [f"--sbatch={words[at + 1]}"]
    return words


def _engine(run: Run, arguments: Arguments) -> Outcome:
    # Here, since submitting to a cluster needs no torch.
    from bandwise.commands.run import run_outcome
    from bandwise.launch.engines.processes import processes_for
    from bandwise.launch.engines.ray import ray_for
    from bandwise.launch.pipeline import launch

    training, slots, per_device = run.config.training, arguments.slots, arguments.per_device
    if arguments.dry_run:
        tasks = in_order([Task(run, branch) for branch in range(len(run.groups))])
        commands = [shlex.join(train_command(run, task.branch)) for task in tasks]
        return Outcome({"commands": commands}, "\n".join(commands))
    if arguments.on == "ray":
        with ray_for(training, len(run.groups), arguments.address, slots, per_device or 1) as engine:
            return run_outcome(run, launch(run, engine))
    return run_outcome(run, launch(run, processes_for(training, slots, arguments.devices, per_device)))


def _slurm(run: Run, arguments: Arguments) -> Outcome:
    from bandwise.launch.engines.slurm import LOGS, submissions, submit

    wanted = submissions(run, arguments.sbatch, slots=arguments.slots)
    if arguments.dry_run:
        texts = [f"# {each.name}{_after(each.after)}\n{each.script}" for each in wanted]
        return Outcome({"scripts": {each.name: each.script for each in wanted}}, "\n".join(texts).rstrip())
    jobs = submit(run, wanted)
    lines = [f"{each.name}: job {jobs[each.name]}{_after(each.after)}" for each in wanted]
    return Outcome(
        {"run": str(run.path), "jobs": jobs},
        "\n".join([*lines, f"messages: {run.path / LOGS}; next: {command('status', run.path, '--watch')}"]),
    )


def _after(after: tuple[str, str] | None) -> str:
    return "" if after is None else f", {after[0]} {after[1]}"
