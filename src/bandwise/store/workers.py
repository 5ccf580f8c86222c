"""Runs the jobs of a split here or in worker processes; what they write does not depend on which."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from bandwise.errors import BandwiseError, Preempted
from bandwise.store.groups import Job, Work, write_group

_POLL_S = 0.2
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_worker: dict[str, Any] = {}


def run_jobs(
    work: Work,
    jobs: Sequence[Job],
    *,
    workers: int,
    advance: Callable[[int], None],
    stop: Callable[[], bool],
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Write groups, and yield each with its commit record as soon as it is committed, in whatever order they finish.

    Args:
        work: what all jobs share.
        jobs: what to write.
        workers: number of processes; 1 works in this one.
        advance: told how many pictures were just finished.
        stop: asked often; once it says true, unfinished groups are dropped.

    Raises:
        Preempted: `stop` said true.
        BandwiseError: a worker died, or any error of `write_group`.
    """
    if workers == 1 or len(jobs) <= 1:
        yield from _run_here(work, jobs, advance, stop)
    else:
        yield from _run_in_processes(work, jobs, min(workers, len(jobs)), advance, stop)


def _run_here(
    work: Work, jobs: Sequence[Job], advance: Callable[[int], None], stop: Callable[[], bool]
) -> Iterator[tuple[Job, dict[str, Any]]]:
    def step() -> None:
        if stop():
            raise _stopped(work)
        advance(1)

    for job in jobs:
        yield job, write_group(work, job, step)


def _run_in_processes(
    work: Work, jobs: Sequence[Job], workers: int, advance: Callable[[int], None], stop: Callable[[], bool]
) -> Iterator[tuple[Job, dict[str, Any]]]:
    # Not fork: a forked copy of a process that has threads (BLAS, a progress bar) may hang.
    context = multiprocessing.get_context("spawn")
    halted, counter = context.Event(), context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (work, halted, counter))
    pending: dict[Future[dict[str, Any]], Job] = {}
    seen = 0
    try:
        with _one_thread_each():
            pending = {pool.submit(_write_in_worker, job): job for job in jobs}
        while pending:
            done, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            now = counter.value
            if now > seen:
                advance(now - seen)
            seen = now
            for future in done:
                yield pending.pop(future), _result(work, future, stop)
            if stop():
                raise _stopped(work)
    finally:
        halted.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _result(work: Work, future: Future[dict[str, Any]], stop: Callable[[], bool]) -> dict[str, Any]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        # A signal to the whole process group kills the workers, perhaps before it has reached us.
        time.sleep(_POLL_S)
        if stop():
            raise _stopped(work) from error
        raise BandwiseError(
            f"a worker process writing {work.out} died (killed, out of memory, or a decoder crashed); "
            "finished groups are kept: run again, with fewer --workers if memory is short"
        ) from error


def _stopped(work: Work) -> Preempted:
    return Preempted(f"{work.out}: stopped; finished groups are kept, the same command continues")


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
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


def _start_worker(work: Work, halted: Any, counter: Any) -> None:
    # Ctrl-C reaches every process of the terminal; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _worker.update(work=work, halted=halted, counter=counter)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _write_in_worker(job: Job) -> dict[str, Any]:
    work, halted, counter = _worker["work"], _worker["halted"], _worker["counter"]

    def step() -> None:
        if halted.is_set():
            raise _stopped(work)
        with counter.get_lock():
            counter.value += 1

    return write_group(work, job, step)
