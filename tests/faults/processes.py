"""Children that start in milliseconds: one process imports everything once, and each trial is a fork of it.

A child runs one function of `tests.faults.jobs` in a process group of its own, and ends with the exit code that the
command line would give for what the function raised.
"""

import contextlib
import errno
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOT_BROKEN = 91
"""Exit code of a child in which the line to break is not there any more; such a control would prove nothing."""
CRASHED = 70
"""Exit code of a child whose job raised something that is no documented error."""
PATIENCE_S = 240.0
"""Seconds after which a trial hangs. One takes a fraction of a second, and on a busy machine many times that."""
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, or minus the signal; None when it was stopped for taking too long."""

    code: int | None
    log: str


class Child:
    """One running trial."""

    def __init__(self, process: Any, log: Path) -> None:
        self._process, self._log = process, log
        process.start()

    def running(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: int) -> None:
        """Send a signal to the child and everything it has started; it may have ended already."""
        # It leads a group as soon as it runs.
        for send in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                send(self._process.pid, number)
                return

    def wait(self, timeout_s: float = PATIENCE_S) -> Ended:
        """Wait for the end; past `timeout_s` the child is killed and its code is None."""
        self._process.join(timeout_s)
        code = self._process.exitcode
        if code is None:
            self.signal(signal.SIGKILL)
            self._process.join()
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        if code == NOT_BROKEN:
            raise RuntimeError(f"the line to break is not where it was:\n{log}")
        return Ended(code, log)


class Server:
    """Starts trials with `start`, or runs one to its end with `run`; `memory` bounds the bytes it may still take."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._count = logs, 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["pytest", "tests.faults.preloaded"])

    def start(self, job: str, *, memory: int | None = None, **arguments: Any) -> Child:
        self._count += 1
        log = self._logs / f"{self._count:06d}.log"
        plain = {key: os.fspath(value) if isinstance(value, Path) else value for key, value in arguments.items()}
        return Child(self._context.Process(target=_run, args=(log, job, plain, memory)), log)

    def run(self, job: str, *, timeout_s: float = PATIENCE_S, memory: int | None = None, **arguments: Any) -> Ended:
        return self.start(job, memory=memory, **arguments).wait(timeout_s)


def _run(log: Path, job: str, arguments: dict[str, Any], memory: int | None) -> None:
    code = CRASHED
    try:
        os.setpgid(0, 0)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for number in (1, 2):
            os.dup2(descriptor, number)
        from tests.faults import jobs

        if memory is not None:
            held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (held + memory,) * 2)
        code = _code_of(getattr(jobs, job), arguments)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        # Nothing that was inherited is tidied up twice.
        os._exit(code)


def _code_of(job: Callable[..., int | None], arguments: dict[str, Any]) -> int:
    from bandwise.errors import BandwiseError, Preempted

    try:
        return job(**arguments) or 0
    except BandwiseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return Preempted.exit_code
    except OSError as error:
        traceback.print_exc()
        return 6 if error.errno in _FULL_DISK else 1
    except BaseException:
        traceback.print_exc()
        return CRASHED
