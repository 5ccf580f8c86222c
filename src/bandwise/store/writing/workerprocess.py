"""A process that writes groups for `workers`, and says at any moment which picture it is at.

A decoder is foreign code that meets hostile bytes. When it brings its process down, or never comes back, the parent has
to know at which picture; so every process keeps that in memory which it shares with its parent.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bandwise.errors import BandwiseError
from bandwise.files.atomic import TEMPORARY_PREFIX
from bandwise.signals import die_with_parent
from bandwise.sources.decoding.decode import BadImage, load_canvas
from bandwise.store.writing.group import Job, Stage, Work, stopped, write_group

_SAMPLE, _SINCE, _DONE = range(3)
_NONE = -1.0
_GRACE_S = 10.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Suspect:
    """One picture at which a process was lost: to be loaded again, alone."""

    sample: int
    path: bytes


Task = Job | Suspect
Answer = dict[str, Any] | Exception | None
"""The commit record of a job, nothing for a suspect that could be loaded (or is plainly bad), or an error."""


class Worker:
    """The parent's side of one process; `job` and `suspect` are what it was given last."""

    def __init__(self, work: Work, halted: Any) -> None:
        """Start the process.

        Args:
            work: what all jobs share.
            halted: an event of the `spawn` context; once it is set, the process drops its group.
        """
        # Not fork: a forked copy of a process that has threads (BLAS, a progress bar) may hang.
        context = multiprocessing.get_context("spawn")
        self._out = work.out
        self.connection, theirs = context.Pipe()
        self._place = context.Array("d", (_NONE, 0.0, 0.0), lock=False)
        self._process = context.Process(target=_serve, args=(theirs, work, halted, self._place), daemon=True)
        self.job: Job | None = None
        self.suspect: Suspect | None = None
        with one_thread_each():
            self._process.start()
        theirs.close()

    def give(self, job: Job, suspect: Suspect | None = None) -> None:
        """Let it write a group; with a suspect of that group, only load this one picture."""
        self.job, self.suspect = job, suspect
        self._place[:] = (_NONE, 0.0, 0.0)
        # A process that died just now is noticed when its answer is awaited.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(suspect or job)

    def done(self) -> int:
        """Return how many pictures of its group it has begun."""
        return 0 if self.suspect else int(self._place[_DONE])

    def overdue(self, timeout_s: float) -> bool:
        """Say whether the picture that it decodes now has taken longer than `timeout_s`; 0 is for ever."""
        since = self._place[_SINCE]
        return bool(timeout_s and since and time.monotonic() - since > timeout_s)

    def picture(self) -> int | None:
        """Return the id of the picture that it reads or decodes, or did when it died."""
        sample = self._place[_SAMPLE]
        return None if sample == _NONE else int(sample)

    def end(self, *, now: bool = False) -> int:
        """Wait for its end, or kill it, and return its exit code; minus the signal that killed it.

        What it had not finished to write is removed.
        """
        self.connection.close()
        if now:
            self._process.kill()
        self._process.join(_GRACE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        assert self._process.exitcode is not None
        if self._process.exitcode:
            for path in self._out.glob(f"*/{TEMPORARY_PREFIX}*.{self._process.pid}.*"):
                path.unlink(missing_ok=True)
        return self._process.exitcode


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that start now use one BLAS thread each: they are as many as the cores already."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Connection, work: Work, halted: Any, place: Any) -> None:
    # Ctrl-C reaches every process of the terminal; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A decoder that crashes shall not leave a memory image in the current folder.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    die_with_parent()

    def step(sample: int, stage: Stage) -> None:
        if halted.is_set():
            raise stopped(work)
        if stage == "read":
            place[_SAMPLE] = sample
            place[_DONE] += 1
        elif stage == "decode":
            place[_SINCE] = time.monotonic()
        else:
            place[_SINCE] = 0.0
            place[_SAMPLE] = _NONE

    # The parent closes its end, or dies, when no more is to be done.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            connection.send(_perform(work, connection.recv(), step))


def _perform(work: Work, task: Task, step: Any) -> Answer:
    try:
        if isinstance(task, Job):
            return write_group(work, task, step)
        step(task.sample, "read")
        step(task.sample, "decode")
        # Whatever it raises is met again, and reported, when its group is written.
        with contextlib.suppress(BadImage, BandwiseError, OSError):
            load_canvas(work.source, task.path, work.config)
        return None
    except Exception as error:
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        return error
