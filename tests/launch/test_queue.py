"""What the queue makes of exit codes, signals and branches that start from others, on an engine that runs nothing."""

import os
import signal
from dataclasses import replace

import pytest
from tests.launch.conftest import CONFIG

from bandwise.errors import Preempted
from bandwise.launch import queue
from bandwise.launch.pipeline import train_tasks
from bandwise.launch.queue import BranchesFailed, Task, train_command
from bandwise.runs.run import create_run, open_run


class Scripted:
    """The tries of a branch end with the codes in its list; where that is None, when they are asked to stop."""

    def __init__(self, codes: dict[int, list[int | None]], slots: int = 2, stopped: int = 75) -> None:
        self.codes, self.slots, self.stopped = codes, slots, stopped
        self.started: list[int] = []
        self.running: list[ScriptedJob] = []

    def start(self, command: list[str]) -> "ScriptedJob":
        branch = int(command[command.index("--branch") + 1])
        self.started.append(branch)
        job = ScriptedJob(self.codes[branch].pop(0), self.stopped)
        self.running = [other for other in self.running if other.poll() is None] + [job]
        assert len(self.running) <= self.slots
        return job


class ScriptedJob:
    def __init__(self, code: int | None, stopped: int) -> None:
        self.code, self.stopped = code, stopped

    def poll(self) -> int | None:
        return self.code

    def stop(self) -> None:
        if self.code is None:
            self.code = self.stopped


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """The clock of the queue goes on by a second whenever it looks."""
    now = iter(range(1_000_000))
    monkeypatch.setattr(queue.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(queue, "_POLL_S", 0.0)


def tasks(tmp_path, branches: str = "0;1;2", **changes) -> list[Task]:
    run = create_run(tmp_path / "run", replace(CONFIG, branches=branches, **changes))
    return [Task(run, branch) for branch in range(len(run.groups))]


@pytest.mark.parametrize("code", [75, 143, -15, 138, -10, 130, -2])
def test_what_was_stopped_is_started_again_until_it_is_done(tmp_path, code):
    engine = Scripted({0: [code, code, code, code, 0], 1: [0], 2: [0]})
    train_tasks(tasks(tmp_path), engine)
    assert sorted(engine.started) == [0] * 5 + [1, 2]


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6, 7])
def test_what_failed_is_final_and_stops_no_other(tmp_path, code):
    engine = Scripted({0: [code], 1: [0], 2: [0]})
    with pytest.raises(BranchesFailed, match=f"1 of 3 branches failed,(?s:.*)branch 0: exit code {code},") as caught:
        train_tasks(tasks(tmp_path), engine)
    assert caught.value.exit_code == code
    assert sorted(engine.started) == [0, 1, 2]


@pytest.mark.parametrize(("code", "number"), [(-9, 9), (137, 9), (-11, 11)])
def test_what_a_signal_kills_has_three_tries(tmp_path, code, number):
    engine = Scripted({0: [code] * 3, 1: [code, code, 0], 2: [0]})
    with pytest.raises(BranchesFailed, match=f"branch 0: killed by signal {number}$"):
        train_tasks(tasks(tmp_path), engine)
    assert sorted(engine.started) == [0, 0, 0, 1, 1, 1, 2]


def test_a_locked_branch_is_tried_for_three_minutes_and_others_meanwhile(tmp_path):
    engine = Scripted({0: [5] * 100, 1: [5, 5, 0], 2: [0]})
    with pytest.raises(BranchesFailed, match=r"1 of 3 branches failed,(?s:.*)branch 0: exit code 5") as caught:
        train_tasks(tasks(tmp_path), engine)
    assert caught.value.exit_code == 5
    assert engine.started[:3] == [0, 1, 2]
    assert engine.started.count(1) == 3
    # One try in ten seconds at most, though the clock was asked far more often.
    assert 5 <= engine.started.count(0) <= 19


def interrupted(engine: Scripted, when: int) -> Scripted:
    """Send this process SIGINT when that many branches have been started."""
    start = engine.start

    def watched(command):
        job = start(command)
        if len(engine.started) == when:
            os.kill(os.getpid(), signal.SIGINT)
        return job

    engine.start = watched
    return engine


@pytest.mark.parametrize("code", [75, -15, -10])
def test_after_a_signal_nothing_starts_and_what_runs_is_stopped(tmp_path, code):
    engine = interrupted(Scripted({0: [None], 1: [None]}, stopped=code), when=2)
    with pytest.raises(Preempted, match="the same command continues"):
        train_tasks(tasks(tmp_path), engine)
    assert engine.started == [0, 1]
    assert [job.poll() for job in engine.running] == [code, code]


def test_a_branch_that_fails_while_it_stops_is_a_failure(tmp_path):
    engine = interrupted(Scripted({0: [None], 1: [None]}, stopped=4), when=2)
    with pytest.raises(BranchesFailed, match=r"2 of 3 branches failed, (?s:.*)branch 1: exit code 4") as caught:
        train_tasks(tasks(tmp_path), engine)
    assert caught.value.exit_code == 4


def test_those_that_start_from_another_branch_wait_for_it_through_all_its_tries(tmp_path):
    engine = Scripted({0: [0], 1: [75, -9, 0], 2: [0]}, slots=3)
    train_tasks(tasks(tmp_path, initial_branch=1), engine)
    assert engine.started == [1, 1, 1, 0, 2]


def test_those_that_start_from_a_branch_that_failed_are_not_tried(tmp_path):
    engine = Scripted({0: [0], 1: [4], 2: [0]}, slots=3)
    with pytest.raises(BranchesFailed, match=r"branch 0: not started, (?s:.*)branch 2: not started") as caught:
        train_tasks(tasks(tmp_path, initial_branch=1), engine)
    assert engine.started == [1]
    assert "finished" not in str(caught.value)


def test_a_command_says_what_was_given_otherwise_than_the_run_has_it(tmp_path):
    run = tasks(tmp_path)[0].run
    plain = train_command(run, "auto")
    assert plain[1:] == ["-m", "bandwise", "train", "--out", str(run.path), "--branch", "auto"]
    config = replace(run.config, training=replace(run.config.training, threads=3, cache="none"))
    changed = replace(open_run(run.path, tmp_path / "moved"), config=config)
    assert train_command(changed, 2)[-6:] == ["--store", str(tmp_path / "moved"), "--threads", "3", "--cache", "none"]
