"""F10: one writer for a folder. Two starts at the same time have one winner; a dead holder is taken over."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.faults import material
from tests.faults.forkserver import Child, ForkServer
from tests.faults.scale import share

from bandwise.files.locks import LOCK_NAME, SILENT_S

pytestmark = pytest.mark.timeout(900)


def race(server: ForkServer, folder: Path, broken: str | None = None) -> tuple[Child, Child | None, list[Child]]:
    """Start two splits of one folder at once; return who works in it, who has given up, and both.

    The winner waits at its first picture, so it is still there however slow the other one starts.
    """
    marks = folder / "marks"
    marks.mkdir(parents=True)
    children = [
        server.start("split_held", out=folder / "store", marks=marks, go=folder / "go", broken=broken) for _ in range(2)
    ]
    waiting = time.monotonic() + 60
    while time.monotonic() < waiting:
        working = [child for child in children if (marks / str(child.pid)).exists()]
        ended = [child for child in children if not child.running()]
        if len(working) + len(ended) == 2:
            break
        time.sleep(0.002)
    assert len(working) == 1, f"{len(working)} processes write to one folder"
    return working[0], ended[0] if ended else None, children


def check_race(server: ForkServer, folder: Path, reference: dict[str, str], broken: str | None = None) -> None:
    """One winner, and a loser that ends with 5 and names the host and the process of the winner."""
    winner, loser, _ = race(server, folder, broken)
    assert loser is not None
    lost = loser.wait()
    assert lost.code == 5, f"it was not refused:\n{lost.log}"
    assert f"is being written by process {winner.pid} on {socket.gethostname()}, started 2" in lost.log
    (folder / "go").touch()
    won = winner.wait()
    assert won.code == 0, won.log
    assert material.tree(folder / "store") == reference


@pytest.fixture(scope="module")
def held_reference(small) -> dict[str, str]:
    return material.tree(small)


def test_of_two_starts_one_wins(server, held_reference, tmp_path, figure):
    repeats = share(50, 6)
    for number in range(repeats):
        check_race(server, tmp_path / str(number), held_reference)
    figure("double starts with one winner", repeats, repeats, "exit 5 names host and process")


def test_a_dead_holder_is_taken_over(server, held_reference, tmp_path, figure):
    repeats = share(20, 3)
    for number in range(repeats):
        folder = tmp_path / str(number)
        winner, _, _ = race(server, folder)
        winner.signal(signal.SIGKILL)
        assert winner.wait().code == -signal.SIGKILL
        assert (folder / "store" / LOCK_NAME).exists()
        again = server.run("split", out=folder / "store", small="yes")
        assert again.code == 0, again.log
        assert material.tree(folder / "store") == held_reference
    figure("dead holders taken over", repeats, repeats)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff" * 5000,
        json.dumps({"host": socket.gethostname(), "pid": 1, "started": "2020-01-01T00:00:00+0000"}).encode(),
    ],
    ids=["empty", "cut off", "rubbish", "number in use again"],
)
def test_what_a_left_lock_file_says_does_not_matter(server, held_reference, tmp_path, content):
    """Only the kernel knows whether its holder lives: numbers of processes are given out again."""
    out = tmp_path / "store"
    out.mkdir()
    (out / LOCK_NAME).write_bytes(content)
    assert server.run("split", out=out, small="yes").code == 0
    assert material.tree(out) == held_reference


def test_the_lock_of_another_host_counts_until_it_is_silent(server, held_reference, tmp_path):
    out = tmp_path / "store"
    out.mkdir()
    holder = {"host": "another-host", "pid": 1, "started": "2020-01-01T00:00:00+0000"}
    (out / LOCK_NAME).write_text(json.dumps(holder))
    refused = server.run("split", out=out, small="yes")
    assert refused.code == 5
    assert "is being written by process 1 on another-host, started 2020" in refused.log
    long_ago = time.time() - 2 * SILENT_S
    os.utime(out / LOCK_NAME, (long_ago, long_ago))
    assert server.run("split", out=out, small="yes").code == 0
    assert material.tree(out) == held_reference


def test_a_live_holder_with_a_damaged_lock_file_still_holds(server, held_reference, tmp_path):
    winner, loser, _ = race(server, tmp_path)
    assert loser is not None
    assert loser.wait().code == 5
    (tmp_path / "store" / LOCK_NAME).write_bytes(b"rubbish")
    third = server.run("split", out=tmp_path / "store", small="yes")
    assert third.code == 5
    assert "is being written by another process" in third.log
    (tmp_path / "go").touch()
    assert winner.wait().code == 0


def test_without_the_lock_two_write(server, held_reference, tmp_path, control):
    # Where one removes the temporary files of the other before it has come to its first picture, that one ends early.
    with pytest.raises(AssertionError, match=r"2 processes write to one folder|it was not refused"):
        check_race(server, tmp_path, held_reference, "no_lock")
    (tmp_path / "go").touch()
    control()
