"""Runs the jobs of a split here or in worker processes; what they write does not depend on which.

A decoder is foreign code that meets hostile bytes: it may bring its process down, or never come back. So every process
keeps in memory that it shares with its parent at which picture it is. A picture at which a process died, or did not
come back in time, is loaded again alone in a fresh process. If that ends the same way the picture is skipped and its
group is written without it; else the group is simply written again. So what a split leaves is a function of the
pictures, and a process killed from outside leaves no trace.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from bandwise.errors import BandwiseError
from bandwise.files.atomic import TEMPORARY_PREFIX
from bandwise.progress import say
from bandwise.signals import die_with_parent
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import load_canvas
from bandwise.store.manifest import CommitRecord
from bandwise.store.writing.group import CRASHED, TIMED_OUT, Job, Stage, Work, stopped, write_group

DECODE_TIMEOUT_S = 60.0
"""What the command line allows for one picture: a thousand times what a large photograph takes."""

_POLL_S = 0.2
_GRACE_S = 10.0
_ATTEMPTS = 3
# From outside: the out-of-memory killer, a scheduler, a person. This says nothing about the picture.
_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Places in the shared memory of a worker; no picture has the id -1.
_SAMPLE, _SINCE, _DONE = range(3)
_AT_NONE = (-1.0, 0.0, 0.0)

Result = tuple[Job, CommitRecord]
_Advance = Callable[[int], None]
_Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture at which a process was lost."""

    sample: int
    path: bytes

    def __str__(self) -> str:
        return f"{self.path.decode('utf-8', 'backslashreplace')!r} (id {self.sample})"


def run_jobs(
    work: Work, jobs: Sequence[Job], workers: int, decode_timeout: float, advance: _Advance, stop: _Stop
) -> Iterator[Result]:
    """Write groups, and yield each with its commit record as soon as it is committed, in whatever order they finish.

    `decode_timeout` is in seconds for the decoding of one picture. 0 sets no limit, and then one worker works in this
    process, which a decoder that crashes takes down. `advance` is called with how many pictures were just finished.
    """

    def step(sample: int, stage: Stage) -> None:
        if stage == "read":
            if stop():
                raise stopped(work)
            advance(1)

    if not decode_timeout and (workers == 1 or len(jobs) <= 1):
        for job in jobs:
            yield job, write_group(work, job, step)
    elif jobs:
        yield from _Supervisor(work, jobs, decode_timeout, advance, stop).run(min(workers, len(jobs)))


class _Worker:
    """The parent's side of one process; it writes `job`, or loads only the picture `alone` of that job."""

    def __init__(self, work: Work, halted: Any) -> None:
        # Not fork: a forked copy of a process that has threads (BLAS, a progress bar) may hang.
        context = multiprocessing.get_context("spawn")
        self._out = work.out
        self.connection, theirs = context.Pipe()
        self._shared = context.Array("d", _AT_NONE, lock=False)
        self._process = context.Process(target=_serve, args=(theirs, work, halted, self._shared), daemon=True)
        self.job: Job | None = None
        self.alone: Picture | None = None
        with one_thread_each():
            self._process.start()
        theirs.close()

    def give(self, job: Job, alone: Picture | None = None) -> None:
        self.job, self.alone = job, alone
        self._shared[:] = _AT_NONE
        # A process that died just now is noticed when its answer is awaited.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(alone or job)

    def begun(self) -> int:
        """Return how many pictures of its group it has begun."""
        return 0 if self.alone or not self.job else int(self._shared[_DONE])

    def is_overdue(self, timeout_s: float) -> bool:
        """Say whether the picture that it decodes now has taken longer than `timeout_s`; 0 is for ever."""
        since = self._shared[_SINCE]
        return bool(timeout_s and since and time.monotonic() - since > timeout_s)

    def picture(self) -> Picture | None:
        """Return the picture that it reads or decodes, or did when it died."""
        sample = int(self._shared[_SAMPLE])
        if self.job is None or sample < 0:
            return None
        return Picture(sample, self.job.paths[sample - self.job.group.ids.start])

    def end(self, *, now: bool = False) -> int:
        """Wait for its end, or kill it, remove what it had not finished to write, and return its exit code."""
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


class _Supervisor:
    """Hands out jobs to processes, replaces those that are lost, and finds the picture that was to blame."""

    def __init__(self, work: Work, jobs: Sequence[Job], decode_timeout: float, advance: _Advance, stop: _Stop) -> None:
        self._work, self._decode_timeout, self._advance, self._stop = work, decode_timeout, advance, stop
        self._waiting = deque(jobs)
        self._halted = multiprocessing.get_context("spawn").Event()
        self._workers: list[_Worker] = []
        self._losses: Counter[str] = Counter()
        self._finished = self._shown = 0

    def run(self, count: int) -> Iterator[Result]:
        try:
            for _ in range(count):
                self._workers.append(_Worker(self._work, self._halted))
            while self._waiting or any(worker.job for worker in self._workers):
                for worker in self._workers:
                    if worker.job is None and self._waiting:
                        worker.give(self._waiting.popleft())
                multiprocessing.connection.wait([worker.connection for worker in self._workers], timeout=_POLL_S)
                for worker in list(self._workers):
                    yield from self._attend(worker)
                self._show_progress()
                if self._stop():
                    raise stopped(self._work)
        finally:
            self._halted.set()
            for worker in self._workers:
                worker.end()

    def _attend(self, worker: _Worker) -> Iterator[Result]:
        """Take the answer of one process, or notice that there will be none."""
        if not worker.connection.poll():
            if worker.is_overdue(self._decode_timeout):
                self._replace(worker, late=True)
            return
        try:
            answer = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker, late=False)
            return
        if isinstance(answer, Exception):
            raise answer
        job = worker.job
        assert job is not None
        if worker.alone is not None:
            self._try_again(worker, job, f"but {worker.alone} could be loaded alone")
            return
        worker.job = None
        self._finished += len(job.group.ids)
        yield job, answer

    def _replace(self, worker: _Worker, *, late: bool) -> None:
        """Put a fresh process in the place of a lost one, and give it the next step of the lost one's group."""
        code, picture, job = worker.end(now=late), worker.picture(), worker.job
        killed = not late and code in _OUTSIDE
        if killed:
            # A signal to the whole process group kills the workers, perhaps before it has reached us.
            time.sleep(_POLL_S)
        if self._stop():
            raise stopped(self._work)
        fresh = self._workers[self._workers.index(worker)] = _Worker(self._work, self._halted)
        how = f"took more than {self._decode_timeout:g} s" if late else _ending(code)
        if job is None:
            return
        if picture is None:
            self._try_again(fresh, job, how)
        elif killed:
            self._try_again(fresh, job, f"{how} at {picture}")
        elif worker.alone is None:
            say(f"decoding {picture} {how}; trying it alone")
            fresh.give(job, alone=picture)
        else:
            reason = TIMED_OUT if late else CRASHED
            say(f"decoding {picture} {how} again: skipped, {reason}")
            fresh.give(replace(job, skipped={**job.skipped, picture.sample: reason}))

    def _try_again(self, worker: _Worker, job: Job, why: str) -> None:
        self._losses[job.record] += 1
        if self._losses[job.record] == _ATTEMPTS:
            raise BandwiseError(
                f"a worker process writing {self._work.out} died {_ATTEMPTS} times at {job.record} ({why}); finished "
                "groups are kept: run again, with fewer --workers if memory is short"
            )
        worker.give(job)

    def _show_progress(self) -> None:
        now = self._finished + sum(worker.begun() for worker in self._workers)
        # A group that is written again does not count a second time.
        if now > self._shown:
            self._advance(now - self._shown)
            self._shown = now


def _ending(code: int) -> str:
    names = {number.value: number.name for number in signal.Signals}
    return f"ended with {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended its process with code {code}"


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that start now use one BLAS thread each: they are as many as the cores already."""
    before = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in _THREAD_VARIABLES:
            del os.environ[name]
        os.environ.update(before)


def _serve(connection: Connection, work: Work, halted: Any, shared: Any) -> None:
    # Ctrl-C reaches every process of the terminal; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A decoder that crashes shall not leave a memory image in the current folder.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    die_with_parent()

    def step(sample: int, stage: Stage) -> None:
        if halted.is_set():
            raise stopped(work)
        if stage == "read":
            shared[_SAMPLE] = sample
            shared[_DONE] += 1
        elif stage == "decode":
            shared[_SINCE] = time.monotonic()
        else:
            shared[_SINCE], shared[_SAMPLE] = 0.0, -1.0

    # The parent closes its end, or dies, when no more is to be done.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            connection.send(_perform(work, connection.recv(), step))


def _perform(work: Work, task: Job | Picture, step: Callable[[int, Stage], None]) -> CommitRecord | Exception | None:
    """Return the commit record of a job, nothing for a picture that could be loaded or is plainly bad, or an error."""
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
