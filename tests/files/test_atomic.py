"""Write-then-rename, full disks, locks."""

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from bandwise.errors import CorruptionError, LockedError, NoSpaceError, UsageError
from bandwise.files import atomic
from bandwise.files.locks import LOCK_NAME, folder_lock


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_json(path, {"a": 1})

    def fail_half_way() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert atomic.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_is_a_clear_error(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr("builtins.open", full)
    with pytest.raises(NoSpaceError, match=r"no space left while writing .*a\.bin"):
        atomic.write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_torch_words_for_a_full_disk_are_understood(tmp_path):
    with pytest.raises(NoSpaceError), atomic.explain_full_disk(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="another"), atomic.explain_full_disk(tmp_path):
        raise RuntimeError("another reason")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match=r"x\.json"):
        atomic.read_json(path)


def test_json_has_one_form_and_no_nan():
    assert atomic.json_bytes({"b": 1, "a": [1.5]}) == b'{\n  "a": [\n    1.5\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.json_bytes({"a": float("nan")})


def test_space_is_checked_before_the_work(tmp_path):
    with pytest.raises(NoSpaceError, match="are needed"):
        atomic.require_space(tmp_path, 1 << 60)
    atomic.require_space(tmp_path, 0, reserve_bytes=0)


def test_an_unwritable_folder_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write in"):
        atomic.require_writable(tmp_path / "file" / "below")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def write_then_fail(folder):
        (folder / "a").write_bytes(b"1")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NoSpaceError):
        atomic.commit_folder(tmp_path / "out", write_then_fail)
    assert list(tmp_path.iterdir()) == []
    atomic.commit_folder(tmp_path / "out", lambda folder: (folder / "a").write_bytes(b"1") and None)
    assert (tmp_path / "out" / "a").read_bytes() == b"1"


def test_stale_temporaries_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".tmp-x.1.ab").write_bytes(b"")
    (tmp_path / ".tmp-dir.1.ab").mkdir()
    (tmp_path / "keep").write_bytes(b"")
    assert len(atomic.remove_temporaries(tmp_path)) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["keep"]


def test_a_temporary_file_that_vanishes_meanwhile_is_no_error(tmp_path, monkeypatch):
    gone = [tmp_path / ".tmp-file.1.ab", tmp_path / ".tmp-folder.1.ab"]
    monkeypatch.setattr(type(tmp_path), "glob", lambda *_: gone)
    monkeypatch.setattr(type(tmp_path), "is_dir", lambda path: path == gone[1])
    assert atomic.remove_temporaries(tmp_path) == gone


def test_a_folder_or_a_pipe_in_the_place_of_a_json_file_is_refused(tmp_path):
    (tmp_path / "a.json").mkdir()
    os.mkfifo(tmp_path / "b.json")
    for name in ("a.json", "b.json"):
        with pytest.raises(CorruptionError, match=f"{name} is no file"):
            atomic.read_json(tmp_path / name)


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not UTF-8"):
        atomic.require_writable(tmp_path / os.fsdecode(b"a\xff"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_probe(tmp_path, monkeypatch):
    def full(path, _):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(NoSpaceError):
        atomic.require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def hold(folder, ready, release):
    with folder_lock(folder):
        ready.set()
        release.wait(30)


def test_the_second_writer_is_told_who_is_first(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, release))
    holder.start()
    try:
        assert ready.wait(30)
        with pytest.raises(LockedError, match=f"process {holder.pid} on "), folder_lock(tmp_path):
            pass
    finally:
        release.set()
        holder.join(30)
    with folder_lock(tmp_path):
        assert (tmp_path / LOCK_NAME).exists()
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_dead_holder_is_taken_over(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from bandwise.files.locks import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == process.pid
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()


def race(folder, start, results):
    start.wait()
    try:
        with folder_lock(folder):
            time.sleep(0.2)
            results.put("won")
    except LockedError:
        results.put("lost")


def test_one_of_several_starts_wins(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=race, args=(tmp_path, start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    time.sleep(2)
    start.set()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(outcomes) == ["lost", "lost", "won"]


def test_a_probe_that_the_holder_of_the_lock_sweeps_away_proves_enough(tmp_path, monkeypatch):
    """Two starts at once: one tests whether it can write while the other, which has the lock, removes leftovers."""
    rename = os.rename

    def swept(source, target):
        atomic.remove_temporaries(tmp_path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", swept)
    atomic.require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
