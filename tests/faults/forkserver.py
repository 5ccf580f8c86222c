"""Processes that start in milliseconds: a server imports everything once and forks one child for each trial.

The client (`ForkServer`, in the test process) and the server (`main`, started with `-m`) talk in lines of JSON. A child
runs one function of `tests.faults.jobs` in a process group of its own and ends with the exit code that the command line
would give for what the function raised.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
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

    def __init__(self, server: "ForkServer", pid: int, log: Path) -> None:
        self._server, self.pid, self._log = server, pid, log

    def signal(self, number: int) -> None:
        """Send a signal to the child and everything it has started; it may have ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, timeout_s: float = PATIENCE_S) -> Ended:
        """Wait for the end; past `timeout_s` the child is killed and its code is None."""
        answer = self._server.ask({"wait": self.pid, "timeout_s": timeout_s})
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        if answer["code"] == NOT_BROKEN:
            raise RuntimeError(f"the line to break is not where it was:\n{log}")
        return Ended(answer["code"], log)

    def running(self) -> bool:
        """Return whether the child has not ended yet."""
        return self._server.ask({"running": self.pid})["running"]


class ForkServer:
    """The client: start trials with `start`, or run one to its end with `run`."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._count = logs, 0
        logs.mkdir(parents=True, exist_ok=True)
        paths = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.faults.forkserver"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # The imports take seconds, which no test may take for the time of its own work.
        self.ask({"ready": True})

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send one line and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            code = self._process.wait()
            raise RuntimeError(f"the server of the trials has ended with exit code {code}; its messages stand above")
        return json.loads(answer)

    def start(self, job: str, *, memory: int | None = None, **arguments: Any) -> Child:
        """Start `jobs.<job>(**arguments)`; paths travel as texts. `memory` bounds the bytes it may still take."""
        self._count += 1
        log = self._logs / f"{self._count:06d}.log"
        plain = {key: os.fspath(value) if isinstance(value, Path) else value for key, value in arguments.items()}
        answer = self.ask({"start": job, "arguments": plain, "log": os.fspath(log), "memory": memory})
        return Child(self, answer["pid"], log)

    def run(self, job: str, *, timeout_s: float = PATIENCE_S, memory: int | None = None, **arguments: Any) -> Ended:
        """Run one job to its end."""
        return self.start(job, memory=memory, **arguments).wait(timeout_s)

    def close(self) -> None:
        """End the server; no child is running any more."""
        self._process.communicate()


@contextlib.contextmanager
def fork_server(logs: Path) -> Iterator[ForkServer]:
    """Run a server for the length of a block."""
    server = ForkServer(logs)
    try:
        yield server
    finally:
        server.close()


def _start(question: dict[str, Any], jobs: Any, answers: int) -> int:
    child = os.fork()
    if child:
        # Both sides do it, so that there is a group to kill whoever comes first.
        with contextlib.suppress(ProcessLookupError):
            os.setpgid(child, child)
        return child
    code = CRASHED
    try:
        os.setpgid(0, 0)
        os.close(answers)
        log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        quiet = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((quiet, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        if question["memory"] is not None:
            held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (held + question["memory"],) * 2)
        code = _code_of(getattr(jobs, question["start"]), question["arguments"])
    finally:
        # Buffers inherited from the server must not be flushed twice.
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _code_of(job: Any, arguments: dict[str, Any]) -> int:
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


def _wait(child: int, timeout_s: float) -> int | None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main() -> None:
    """Serve until the standard input ends."""
    # What the imports print must not be taken for an answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    from tests.faults import jobs

    # A pool that a library has started does not live on in the child, and none of them waits for one.
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
    with tempfile.TemporaryDirectory() as folder:
        jobs.warm_up(Path(folder))
    # A kill leaves what the kernel holds alone, so waiting for the disk would only take time. What is lost in a power
    # cut is the subject of `powerloss`.
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    alive: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer = {"pid": _start(question, jobs, answers)}
            alive.add(answer["pid"])
        elif "ready" in question:
            answer = {"ready": True}
        elif "running" in question:
            answer = {"running": os.waitid(os.P_PID, question["running"], os.WEXITED | os.WNOHANG | os.WNOWAIT) is None}
        else:
            answer = {"code": _wait(question["wait"], question["timeout_s"])}
            alive.discard(question["wait"])
        os.write(answers, (json.dumps(answer) + "\n").encode())
    for child in alive:
        # A test that failed may have left them waiting.
        _wait(child, 0)


if __name__ == "__main__":
    main()
