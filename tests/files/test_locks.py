"""One writer: exactly one of two starts wins, other machines count, and nothing in the place of a lock file harms."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from bandwise.errors import LockedError, UsageError
from bandwise.files import locks
from bandwise.files.locks import LOCK_NAME, SILENT_S, folder_lock

STARTS = 20


def start(folder: Path, go: Path, tried: Path) -> int:
    """Fork a process that waits for `go`, tries the lock, and holds it until both have tried; 0 won, 5 lost."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        while not go.exists():
            pass
        try:
            with folder_lock(folder):
                (tried / str(os.getpid())).touch()
                code = 0
                while len(list(tried.iterdir())) < 2:
                    time.sleep(0.001)
        except LockedError as error:
            (tried / str(os.getpid())).touch()
            code = 5 if "process " in str(error) and "started 2" in str(error) else 6
    finally:
        os._exit(code)


def double_starts(tmp_path: Path, count: int) -> list[list[int]]:
    outcomes = []
    for number in range(count):
        folder, tried, go = (tmp_path / f"{name}-{number}" for name in ("folder", "tried", "go"))
        folder.mkdir()
        tried.mkdir()
        children = [start(folder, go, tried) for _ in range(2)]
        go.touch()
        outcomes.append(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
    return outcomes


def test_of_two_starts_exactly_one_wins_and_the_other_names_it(tmp_path):
    assert double_starts(tmp_path, STARTS) == [[0, 5]] * STARTS


def test_without_the_lock_both_win(tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    assert double_starts(tmp_path, 3) == [[0, 0]] * 3


def left_behind(folder: Path, *, host: str, age_s: float) -> Path:
    path = folder / LOCK_NAME
    path.write_text(json.dumps({"host": host, "pid": 4711, "started": "2026-01-01T00:00:00+0000"}))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_the_fresh_lock_of_another_machine_counts(tmp_path):
    path = left_behind(tmp_path, host="elsewhere", age_s=5)
    with (
        pytest.raises(LockedError, match=r"process 4711 on elsewhere, started 2026.* lapses after 60 s") as caught,
        folder_lock(tmp_path),
    ):
        pass
    assert caught.value.exit_code == 5
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_a_silent_one_is_taken_over(tmp_path):
    left_behind(tmp_path, host="elsewhere", age_s=SILENT_S + 5)
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "content", ["", "{", "\0" * 5000, "4711", str(os.getpid())], ids=["empty", "torn", "zeros", "alien", "own"]
)
def test_the_lock_of_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path, content):
    """Whatever its file says: only the kernel knows whether its holder lives, numbers of processes are given again."""
    path = left_behind(tmp_path, host=os.uname().nodename, age_s=1)
    path.write_text(path.read_text().replace("4711", content) if content.isdigit() else content)
    with folder_lock(tmp_path):
        pass
    assert not path.exists()


def test_a_live_holder_with_a_damaged_lock_file_still_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_READ_PAUSE_S", 0.001)
    with folder_lock(tmp_path):
        (tmp_path / LOCK_NAME).write_bytes(b"rubbish")
        with pytest.raises(LockedError, match="is being written by another process"), folder_lock(tmp_path):
            pass


def killed_holder(folder: Path, *, outlived_s: float) -> None:
    """Kill a process that holds the lock and has just started another one, which keeps the descriptor for a while."""
    ready = folder / "ready"
    holder = os.fork()
    if holder == 0:
        try:
            with folder_lock(folder):
                if os.fork() == 0:
                    time.sleep(outlived_s)
                    os._exit(0)
                ready.touch()
                time.sleep(60)
        finally:
            os._exit(1)
    while not ready.exists():
        time.sleep(0.001)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)


def test_a_start_right_after_a_kill_waits_until_the_lock_is_let_go(tmp_path):
    killed_holder(tmp_path, outlived_s=0.5)
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()


def test_it_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_DEAD_HOLDER_S", 0.1)
    killed_holder(tmp_path, outlived_s=2.0)
    with pytest.raises(LockedError, match="is being written by process"), folder_lock(tmp_path):
        pass


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "RENEWED_S", 0.01)
    path = tmp_path / LOCK_NAME
    with folder_lock(tmp_path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < SILENT_S


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_lock_file_is_refused(tmp_path, kind):
    """Nor is a link followed."""
    path, target = tmp_path / LOCK_NAME, tmp_path / "precious"
    target.write_text("content")
    {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "link": lambda: path.symlink_to(target)}[kind]()
    with pytest.raises(UsageError, match="is no lock file"), folder_lock(tmp_path):
        pass
    assert target.read_text() == "content"
