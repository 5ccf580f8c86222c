"""How far several branches are, on a terminal and through pipes."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers.trees import ROOT

from bandwise import progress as reported
from bandwise.launch.engines.processes import Bars
from bandwise.progress import PIPE, progress, report_to_launcher

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")
_BRANCH = """
import pathlib, sys, time
from bandwise.progress import progress, report_to_launcher
report_to_launcher()
end, total = pathlib.Path(sys.argv[2]), 1_000_000
with progress(sys.argv[1], total, "images") as advance:
    while not end.exists():
        advance(1)
        total -= 1
        time.sleep(0.05)
    advance(total)
"""
_LAUNCHER = f"""
import sys, time
from bandwise.launch.engines.processes import Processes
engine = Processes(2)
jobs = [engine.start([sys.executable, "-c", {_BRANCH!r}, f"branch {{number}}", sys.argv[1]]) for number in (0, 1)]
while [code for job in jobs if (code := job.poll()) is None]:
    time.sleep(0.05)
print("ended", [job.poll() for job in jobs])
"""


def launched(end: Path, stderr: int) -> subprocess.Popen[str]:
    """Start two branches that go on until the file `end` is there."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("BANDWISE_QUIET", None)
    command = [sys.executable, "-c", _LAUNCHER, str(end)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True)


def test_a_terminal_shows_a_bar_for_every_branch(tmp_path):
    shown, terminal = pty.openpty()
    process = launched(tmp_path / "end", terminal)
    os.close(terminal)
    content, seen = b"", set[bytes]()
    # The end of a terminal that nobody holds any more is an error.
    with contextlib.suppress(OSError):
        while part := os.read(shown, 4096):
            content += part
            seen = set(re.findall(rb"(branch \d)[^\r\n]*/1000000 [^\r\n]*images/s", _ESCAPES.sub(b"", content)))
            if seen == {b"branch 0", b"branch 1"}:
                (tmp_path / "end").touch()
    assert process.communicate(timeout=120)[0].strip() == "ended [0, 0]"
    assert seen == {b"branch 0", b"branch 1"}, content
    # The cursor is there again.
    assert content.rindex(b"\x1b[?25h") > content.rindex(b"\x1b[?25l")


def test_elsewhere_they_print_lines(tmp_path):
    (tmp_path / "end").touch()
    process = launched(tmp_path / "end", subprocess.PIPE)
    out, said = process.communicate(timeout=120)
    assert out.strip() == "ended [0, 0]"
    assert {line.partition(":")[0] for line in said.splitlines()} == {"branch 0", "branch 1"}
    assert "\x1b" not in said


@pytest.fixture
def pipe(monkeypatch):
    """The end that a launcher reads, of a process that reports to it."""
    monkeypatch.setattr(reported, "_pipe", [])
    reads, writes = os.pipe()
    monkeypatch.setenv(PIPE, str(writes))
    monkeypatch.delenv("BANDWISE_QUIET", raising=False)
    report_to_launcher()
    yield reads, writes
    os.close(reads)
    os.close(writes)


def test_what_is_reported(pipe):
    assert PIPE not in os.environ
    assert not os.get_inheritable(pipe[1])
    with progress("branch 3", 4, "images", done=1) as advance:
        advance(1)
        advance(2)
    first, last = map(json.loads, os.read(pipe[0], 4096).splitlines())
    assert (first["what"], first["done"], first["total"]) == ("branch 3", 2, 4)
    assert last["done"] == 4


def test_a_full_pipe_stops_nobody(pipe):
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe[1], bytes(1 << 16))
    with progress("branch 0", 1, "images") as advance:
        advance(1)


def test_what_is_no_report_is_passed_over():
    bars = Bars()
    reads, writes = bars.open()
    for line in (b"{", b"[]", b'{"what": "a"}', b"\xff"):
        os.write(writes, line + b"\n")
        bars.look(reads)
    os.close(writes)
    bars.close(reads)
