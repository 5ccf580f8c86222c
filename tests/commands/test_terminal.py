"""What a terminal shows: colours unless they are unwanted, no progress where it is to be quiet, and what comes next."""

import os
import pty
import re
import subprocess
import sys

import pytest
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.progress import QUIET, progress, say

PROGRESS = "from bandwise.progress import progress\nwith progress('x', 9, 'images') as advance: advance(9)"
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d)")


def on_a_terminal(*arguments: str, **environment: str) -> bytes:
    """Return what a process of Python writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    env |= {"TERM": "xterm-256color", **environment}
    process = subprocess.Popen([sys.executable, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    written = b""
    while True:
        try:
            written += (piece := os.read(ours, 65536))
        except OSError:
            # How Linux says that nobody has the other end open.
            break
        if not piece:
            break
    os.close(ours)
    process.wait()
    return written


@pytest.mark.parametrize("arguments", [("-m", "bandwise", "status", "--nonsense"), ("-c", PROGRESS)])
def test_colours_are_left_out_where_they_are_unwanted(arguments):
    assert COLOUR.search(on_a_terminal(*arguments))
    assert not COLOUR.search(on_a_terminal(*arguments, NO_COLOR="1"))


def test_quiet_leaves_results_warnings_and_errors(tmp_path, capsys):
    make_folder(tmp_path / "pictures", classes=2, train=12, val=3, side=16)
    (tmp_path / "pictures" / "train" / "class-0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    argv = ["split", "--data", str(tmp_path / "pictures"), "--canvas", "16", "--max-bad", "1", "--workers", "1"]
    assert main([*argv, "--out", str(tmp_path / "loud")]) == 0
    loud = capsys.readouterr()
    assert main([*argv, "--out", str(tmp_path / "quiet"), "--quiet"]) == 0
    quiet = capsys.readouterr()
    assert "to train" in loud.err
    assert "split: " in loud.err
    assert all(line.startswith("WARNING") for line in quiet.err.splitlines())
    assert "1 pictures were skipped" in quiet.err
    assert quiet.out.splitlines()[-1] == loud.out.splitlines()[-1].replace("loud", "quiet")
    assert main(["status", str(tmp_path), "--quiet"]) == 2
    assert "is no run" in capsys.readouterr().err
    assert not os.environ.get(QUIET)


def test_the_processes_of_branches_are_quiet_too(capsys, monkeypatch):
    monkeypatch.setenv(QUIET, "1")
    say("note")
    say("WARNING: this")
    with progress("x", 2, "images") as advance:
        advance(2)
    assert capsys.readouterr().err == "WARNING: this\n"
