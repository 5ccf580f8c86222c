"""Several branches at once: what the launcher makes of a signal and of children that fail."""

import os
import signal
import subprocess
import sys
import threading
from typing import Any, cast

import pytest

from bandwise.config import RunConfig
from bandwise.errors import Preempted
from bandwise.launch import engines
from bandwise.launch.engines import BranchesFailed, Task, train_tasks

WAIT = "import time; time.sleep(60)"
FAIL_WHEN_STOPPED = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(4)); time.sleep(60)"


def tasks(count: int) -> list[Task]:
    """Branches of a run that is never opened: the children are replaced."""
    return [Task(cast(Any, NamedRun()), branch) for branch in range(count)]


class NamedRun:
    """Stands for a run; a task is a key, so it must have a hash."""

    path = "run"
    config = RunConfig()


def children(monkeypatch, programs):
    """Start these programs instead of branches, in order; return those that ran."""
    started: list[subprocess.Popen[bytes]] = []

    def start(task):
        started.append(subprocess.Popen([sys.executable, "-c", programs[task.branch]], start_new_session=True))
        return started[-1]

    monkeypatch.setattr(engines, "_start", start)
    return started


def interrupt_after(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_children_that_are_still_starting_count_as_stopped(monkeypatch):
    started = children(monkeypatch, [WAIT, WAIT, WAIT])
    interrupt_after(1.0)
    with pytest.raises(Preempted, match="the same command continues"):
        train_tasks(tasks(3), jobs=2)
    assert [process.returncode for process in started] == [-signal.SIGTERM] * 2


def test_a_child_that_fails_while_stopping_is_a_failure(monkeypatch):
    children(monkeypatch, [WAIT, FAIL_WHEN_STOPPED])
    interrupt_after(1.0)
    with pytest.raises(BranchesFailed, match="run branch 1: exit code 4") as caught:
        train_tasks(tasks(2), jobs=2)
    assert caught.value.exit_code == 4


def test_one_that_fails_does_not_stop_the_others(monkeypatch):
    started = children(monkeypatch, ["raise SystemExit(7)", "pass", "pass"])
    with pytest.raises(BranchesFailed, match="1 of 3 branches failed"):
        train_tasks(tasks(3), jobs=2)
    assert [process.returncode for process in started] == [7, 0, 0]
