"""Train branches on this machine: in turn in this process, or several at once in processes of their own.

A branch never talks to another one; this file only decides when each starts. A branch in a process of its own is the
command `bandwise train --out RUN --branch K`: the run folder is all that the two share.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bandwise.config import TrainingConfig
from bandwise.errors import BandwiseError, Preempted
from bandwise.launch.answers import write_missing_answers
from bandwise.machine import usable_cores
from bandwise.progress import say
from bandwise.runs.run import FREE_TRAINING, Run
from bandwise.signals import launched_environment, stop_requested
from bandwise.training.determinism import choose_device
from bandwise.training.trainer import train_branch

_POLL_S = 0.2
# A branch that is starting, or only writes its logits, has no handler and dies of the signal with nothing unsaved.
_STOPPED = (Preempted.exit_code, -signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Task:
    """One branch to train."""

    run: Run
    branch: int

    @property
    def source(self) -> "Task | None":
        """The task whose weights this one starts from."""
        source = self.run.config.source_of(self.branch)
        return None if source is None else Task(self.run, source)

    def __str__(self) -> str:
        return f"{self.run.path} branch {self.branch}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one branch could not be trained."""

    task: Task
    reason: str
    exit_code: int


class BranchesFailed(BandwiseError):
    """Some branches could not be trained; others are finished and kept. The exit code is that of the first."""

    def __init__(self, failures: Sequence[Failure], total: int) -> None:
        lines = "\n  ".join(f"{failure.task}: {failure.reason}" for failure in failures)
        others = ", the others are finished" if total > len(failures) else ""
        super().__init__(f"{len(failures)} of {total} branches failed{others}:\n  {lines}")
        self.exit_code = failures[0].exit_code


def jobs_that_fit(training: TrainingConfig) -> int:
    """Return how many branches this machine trains at once without sharing a core or an accelerator."""
    if choose_device(training.device).type != "cpu":
        return 1
    return max(1, usable_cores() // training.threads)


def train_one(task: Task) -> None:
    """Train one branch, or resume it, and write its logits on the holdout and the reported set."""
    run, branch = task.run, task.branch
    start = None if task.source is None else run.branch_folder(task.source.branch)
    train_branch(run.config, run.store_path, run.branch_folder(branch), branch, start=start)
    write_missing_answers(run, branch)


def train_branches(run: Run, branches: Sequence[int] | None = None, *, jobs: int = 1) -> None:
    """Train several branches of one run, or all of them; see `train_tasks`."""
    wanted = range(len(run.groups)) if branches is None else branches
    train_tasks([Task(run, branch) for branch in wanted], jobs=jobs)


def train_tasks(tasks: Sequence[Task], *, jobs: int = 1) -> None:
    """Train branches of one or several runs; one that fails stops only those that were to start from it.

    They start in the order of `tasks`, but for those that others start from, which come first. With more than one job,
    each is a process of its own. `BranchesFailed` comes after the others are finished; `Preempted` after every branch
    has saved its state.
    """
    waiting = sorted(tasks, key=lambda task: task.branch != task.run.config.initial_branch)
    failures = _in_turn(waiting) if jobs == 1 or len(tasks) == 1 else _in_processes(waiting, jobs)
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
            failures += _with_dependents(Failure(task, str(error), error.exit_code), waiting)
    return failures


def _in_processes(waiting: list[Task], jobs: int) -> list[Failure]:
    """Keep `jobs` processes running; after a signal start no more, and ask those that run to save and stop.

    Python delivers signals to the main thread only, so it looks at the processes now and then and never waits for one.
    """
    running: dict[Task, subprocess.Popen[bytes]] = {}
    failures: list[Failure] = []
    stopping = False
    with stop_requested() as received:
        while waiting or running:
            ready = [task for task in waiting if task.source not in running and task.source not in waiting]
            for task in ready[: jobs - len(running)]:
                waiting.remove(task)
                running[task] = _start(task)
            time.sleep(_POLL_S)
            if received() is not None and not stopping:
                stopping = True
                waiting.clear()
                for process in running.values():
                    process.send_signal(signal.SIGTERM)
            for task in [task for task, process in running.items() if process.poll() is not None]:
                process = running.pop(task)
                if process.stdin is not None:
                    process.stdin.close()
                code = process.wait()
                if code != 0 and not (stopping and code in _STOPPED):
                    reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}, see its messages above"
                    failures += _with_dependents(Failure(task, reason, code if code > 0 else 1), waiting)
    if stopping and not failures:
        raise Preempted("stopped by a signal; every branch is saved, the same command continues")
    return failures


def _with_dependents(failure: Failure, waiting: list[Task]) -> list[Failure]:
    """Return a failure and those it causes: the branches that were to start from the failed one wait no longer."""
    lost = [task for task in waiting if task.source == failure.task]
    for task in lost:
        waiting.remove(task)
    reason = f"not started, for it starts from branch {failure.task.branch}"
    return [failure, *(Failure(task, reason, failure.exit_code) for task in lost)]


def _start(task: Task) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the launcher only, which then stops the branches in order. Nothing is ever
    # written to the pipe; its end tells the branch that the launcher is gone.
    return subprocess.Popen(
        _command(task),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=launched_environment(),
    )


def _command(task: Task) -> list[str]:
    config = task.run.config
    command = [sys.executable, "-m", "bandwise", "train", "--out", os.fspath(task.run.path)]
    command += ["--branch", str(task.branch), "--store", os.fspath(task.run.store_path)]
    # These may have been given to this call and stand otherwise in run.json.
    for name in FREE_TRAINING:
        command += [f"--{name.replace('_', '-')}", str(getattr(config.training, name))]
    return [*command, f"--data={config.data.data}", f"--initial-checkpoint={config.network.initial_checkpoint}"]
