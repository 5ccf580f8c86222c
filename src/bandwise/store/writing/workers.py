"""Runs the jobs of a split here or in worker processes; what they write does not depend on which.

A picture at which a process died, or did not come back in time, is loaded again alone in a fresh process. If that ends
the same way the picture is skipped and its group is written without it; else the group is simply written again. So what
a split leaves is a function of the pictures, and a process killed from outside leaves no trace.
"""

import dataclasses
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bandwise.errors import BandwiseError
from bandwise.progress import say
from bandwise.store.writing.group import CRASHED, TIMED_OUT, Job, Stage, Work, stopped, write_group
from bandwise.store.writing.workerprocess import Suspect, Worker

DECODE_TIMEOUT_S = 60.0
"""What the command line allows for one picture: a thousand times what a large photograph takes."""

_POLL_S = 0.2
_ATTEMPTS = 3
# From outside: the out-of-memory killer, a scheduler, a person. This says nothing about the picture.
_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)

Result = tuple[Job, dict[str, Any]]


def run_jobs(
    work: Work,
    jobs: Sequence[Job],
    *,
    workers: int,
    decode_timeout: float,
    advance: Callable[[int], None],
    stop: Callable[[], bool],
) -> Iterator[Result]:
    """Write groups, and yield each with its commit record as soon as it is committed, in whatever order they finish.

    Args:
        work: what all jobs share.
        jobs: what to write.
        workers: number of processes.
        decode_timeout: seconds that the decoding of one picture may take; reading it may take longer. 0 sets no limit,
            and then one worker works in this process, which a decoder that crashes takes down.
        advance: told how many pictures were just finished.
        stop: asked often; once it says true, unfinished groups are dropped.

    Raises:
        Preempted: `stop` said true.
        BandwiseError: processes died three times at one group and no picture is to blame, or any error of
            `write_group`.
    """
    if not decode_timeout and (workers == 1 or len(jobs) <= 1):
        yield from _run_here(work, jobs, advance, stop)
    elif jobs:
        yield from _Supervisor(work, jobs, decode_timeout, advance, stop).run(min(workers, len(jobs)))


def _run_here(
    work: Work, jobs: Sequence[Job], advance: Callable[[int], None], stop: Callable[[], bool]
) -> Iterator[Result]:
    def step(sample: int, stage: Stage) -> None:
        if stage != "read":
            return
        if stop():
            raise stopped(work)
        advance(1)

    for job in jobs:
        yield job, write_group(work, job, step)


class _Supervisor:
    """Hands out jobs to processes, replaces those that are lost, and finds the picture that was to blame."""

    def __init__(
        self,
        work: Work,
        jobs: Sequence[Job],
        decode_timeout: float,
        advance: Callable[[int], None],
        stop: Callable[[], bool],
    ) -> None:
        self._work, self._decode_timeout, self._advance, self._stop = work, decode_timeout, advance, stop
        self._waiting = deque(jobs)
        self._halted = multiprocessing.get_context("spawn").Event()
        self._workers: list[Worker] = []
        self._losses: Counter[str] = Counter()
        self._finished = self._shown = 0

    def run(self, count: int) -> Iterator[Result]:
        try:
            for _ in range(count):
                self._workers.append(self._start())
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

    def _start(self) -> Worker:
        return Worker(self._work, self._halted)

    def _attend(self, worker: Worker) -> Iterator[Result]:
        """Take the answer of one process, or notice that there will be none."""
        if not worker.connection.poll():
            if worker.overdue(self._decode_timeout):
                self._replace(worker, late=True)
            return
        try:
            answer = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker, late=False)
            return
        if isinstance(answer, Exception):
            raise answer
        job, suspect = worker.job, worker.suspect
        assert job is not None
        if suspect is not None:
            self._try_again(worker, job, f"but {_named(suspect)} could be loaded alone")
            return
        worker.job = None
        self._finished += len(job.group.ids)
        yield job, answer

    def _replace(self, worker: Worker, *, late: bool) -> None:
        """Put a fresh process in the place of a lost one, and decide what happens to its group."""
        code, sample, job = worker.end(now=late), worker.picture(), worker.job
        if not late and code in _OUTSIDE:
            # A signal to the whole process group kills the workers, perhaps before it has reached us.
            time.sleep(_POLL_S)
        if self._stop():
            raise stopped(self._work)
        fresh = self._workers[self._workers.index(worker)] = self._start()
        if job is None:
            return
        how = f"took more than {self._decode_timeout:g} s" if late else _ending(code)
        if sample is None or (not late and code in _OUTSIDE):
            at = "" if sample is None else f" at {_named(_suspect(job, sample))}"
            self._try_again(fresh, job, f"{how}{at}")
            return
        suspect = _suspect(job, sample)
        if worker.suspect is None:
            say(f"decoding {_named(suspect)} {how}; trying it alone")
            fresh.give(job, suspect)
            return
        reason = TIMED_OUT if late else CRASHED
        say(f"decoding {_named(suspect)} {how} again: skipped, {reason}")
        fresh.give(dataclasses.replace(job, condemned={**job.condemned, sample: reason}))

    def _try_again(self, worker: Worker, job: Job, why: str) -> None:
        self._losses[job.record] += 1
        if self._losses[job.record] == _ATTEMPTS:
            raise BandwiseError(
                f"a worker process writing {self._work.out} died {_ATTEMPTS} times at {job.record} ({why}); finished "
                "groups are kept: run again, with fewer --workers if memory is short"
            )
        worker.give(job)

    def _show_progress(self) -> None:
        now = self._finished + sum(worker.done() for worker in self._workers if worker.job)
        # A group that is written again does not count twice.
        if now > self._shown:
            self._advance(now - self._shown)
            self._shown = now


def _suspect(job: Job, sample: int) -> Suspect:
    return Suspect(sample, job.paths[sample - job.group.ids.start])


def _named(suspect: Suspect) -> str:
    return f"{suspect.path.decode('utf-8', 'backslashreplace')!r} (id {suspect.sample})"


def _ending(code: int) -> str:
    names = {number.value: number.name for number in signal.Signals}
    return f"ended with {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended its process with code {code}"
