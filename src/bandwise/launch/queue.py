"""The queue of branches: which command starts when, and what its exit code means for the next try.

An engine runs commands and never functions: `bandwise train --out RUN --branch K`. The run folder is the only state, so
a branch has the same bits wherever it ran, and any try goes on from what the one before has saved.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bandwise.errors import BandwiseError, LockedError, Preempted
from bandwise.progress import say
from bandwise.runs.run import FREE_TRAINING, Run, open_run
from bandwise.signals import STOP_SIGNALS, stop_requested

_POLL_S = 0.2
MOST_KILLS = 3
"""Tries of a branch that a signal kills, such as that of a kernel without memory."""
LOCKED_S = 180.0
"""How long a locked branch is tried again; the lock of a machine that was lost lapses within it."""
LOCKED_PAUSE_S = 10.0


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


def train_command(run: Run, branch: int | str) -> list[str]:
    """Return the command that trains a branch, or goes on with it, and writes its logits.

    Its options are what this call was given otherwise than `run.json` has it.
    """
    written, config = open_run(run.path), run.config
    command = [sys.executable, "-m", "bandwise", "train", "--out", os.fspath(run.path), "--branch", str(branch)]
    if run.store_path != written.store_path:
        command += ["--store", os.fspath(run.store_path)]
    for name in FREE_TRAINING:
        if (value := getattr(config.training, name)) != getattr(written.config.training, name):
            command += [f"--{name.replace('_', '-')}", str(value)]
    if config.data.data != written.config.data.data:
        command += [f"--data={config.data.data}"]
    if config.network.initial_checkpoint != written.config.network.initial_checkpoint:
        command += [f"--initial-checkpoint={config.network.initial_checkpoint}"]
    return command


class Job(Protocol):
    """One command that an engine has started."""

    def poll(self) -> int | None:
        """Return its exit code, as a shell or as `subprocess` gives it; None while it runs."""
        ...

    def stop(self) -> None:
        """Ask it to save and end, and return at once."""
        ...


class Engine(Protocol):
    """Runs commands, on this machine or on others that see the same run folder."""

    @property
    def slots(self) -> int:
        """How many commands run at once."""
        ...

    def start(self, command: list[str]) -> Job:
        """Start one command."""
        ...


class Meaning(Enum):
    """What an exit code says of a branch."""

    DONE = "done"
    STOPPED = "stopped"
    LOCKED = "locked"
    KILLED = "killed"
    FAILED = "failed"


STOPPED_CODES = (Preempted.exit_code, *sorted(128 + number for number in STOP_SIGNALS))
"""A branch saves and ends with the first of them; before it could, the signal itself has ended it."""


def meaning_of(code: int) -> Meaning:
    """Return what an exit code says; -15, of `subprocess`, and 143, of a shell, are the same signal."""
    code = code if code >= 0 else 128 - code
    if code in STOPPED_CODES:
        return Meaning.STOPPED
    if code > 128:
        return Meaning.KILLED
    return {0: Meaning.DONE, LockedError.exit_code: Meaning.LOCKED}.get(code, Meaning.FAILED)


@dataclass(slots=True)
class _Waiting:
    """A branch in the queue, and what became of it so far."""

    task: Task
    kills: int = 0
    locked_since: float | None = None
    not_before: float = 0.0


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks as they start: those that others start from first, else as they were."""
    return sorted(tasks, key=lambda task: task.branch != task.run.config.initial_branch)


def run_queue(tasks: Sequence[Task], engine: Engine) -> list[Failure]:
    """Train branches on an engine; return those that could not be trained, when the others are finished.

    A branch that is stopped is started again, one that is locked for `LOCKED_S`, one that a signal kills `MOST_KILLS`
    times. After a signal to this process nothing is started any more, and what runs is asked to save and end:
    `Preempted` comes when all have.
    """
    queue = _Queue(tasks, engine)
    with stop_requested() as received:
        while queue.is_open:
            queue.start()
            # Signals come to the main thread only, so it looks at the jobs now and then and never waits for one.
            time.sleep(_POLL_S)
            if received() is not None:
                queue.stop()
            queue.look()
    if queue.stopping and not queue.failures:
        raise Preempted("stopped by a signal; every branch is saved, the same command continues")
    return queue.failures


class _Queue:
    def __init__(self, tasks: Sequence[Task], engine: Engine) -> None:
        self._engine = engine
        self._waiting = [_Waiting(task) for task in in_order(tasks)]
        self._running: dict[Task, tuple[_Waiting, Job]] = {}
        self.failures: list[Failure] = []
        self.stopping = False

    @property
    def is_open(self) -> bool:
        return bool(self._waiting or self._running)

    def start(self) -> None:
        """Start what is ready, as far as there are slots."""
        unfinished = {*self._running, *(entry.task for entry in self._waiting)}
        now = time.monotonic()
        for entry in list(self._waiting):
            if len(self._running) >= self._engine.slots:
                break
            if entry.task.source not in unfinished and entry.not_before <= now:
                self._waiting.remove(entry)
                self._running[entry.task] = entry, self._engine.start(train_command(entry.task.run, entry.task.branch))

    def stop(self) -> None:
        """Start nothing any more, and ask what runs to save and end."""
        if not self.stopping:
            self.stopping = True
            self._waiting.clear()
            for _, job in self._running.values():
                job.stop()

    def look(self) -> None:
        """Deal with what has ended."""
        for task, (entry, job) in list(self._running.items()):
            if (code := job.poll()) is not None:
                del self._running[task]
                self._ended(entry, code)

    def _ended(self, entry: _Waiting, code: int) -> None:
        meaning = meaning_of(code)
        if meaning is Meaning.DONE or (self.stopping and meaning is Meaning.STOPPED):
            return
        if not self.stopping and self._may_start_again(entry, meaning):
            say(f"{entry.task}: {_reason(code)}; it is started again")
            self._waiting.append(entry)
            return
        waiting = [entry.task for entry in self._waiting]
        self.failures += with_dependents(Failure(entry.task, _reason(code), code if code > 0 else 1), waiting)
        self._waiting = [entry for entry in self._waiting if entry.task in waiting]

    def _may_start_again(self, entry: _Waiting, meaning: Meaning) -> bool:
        now = time.monotonic()
        if meaning is not Meaning.LOCKED:
            entry.locked_since = None
        if meaning is Meaning.STOPPED:
            return True
        if meaning is Meaning.KILLED:
            entry.kills += 1
            return entry.kills < MOST_KILLS
        if meaning is Meaning.LOCKED:
            entry.locked_since = now if entry.locked_since is None else entry.locked_since
            entry.not_before = now + LOCKED_PAUSE_S
            return now < entry.locked_since + LOCKED_S
        return False


def with_dependents(failure: Failure, waiting: list[Task]) -> list[Failure]:
    """Return a failure and those it causes: the branches that were to start from the failed one wait no longer."""
    lost = [task for task in waiting if task.source == failure.task]
    for task in lost:
        waiting.remove(task)
    reason = f"not started, for it starts from branch {failure.task.branch}"
    return [failure, *(Failure(task, reason, failure.exit_code) for task in lost)]


def _reason(code: int) -> str:
    if meaning_of(code) is Meaning.KILLED or code < 0:
        return f"killed by signal {(-code if code < 0 else code - 128)}"
    return f"exit code {code}, see its messages above"
