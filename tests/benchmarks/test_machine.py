"""The parts of the accelerator's benchmark: each has a limit, and what it found before stays."""

import json
import sys
from pathlib import Path

import pytest
from benchmarks import machine
from benchmarks.__main__ import run
from benchmarks.figures import Figure
from benchmarks.machine import PARTS, Part
from benchmarks.machineparts import Job
from benchmarks.machineparts import tests as parts_of_tests

# Writes a figure, and then does as its part is called; the last line of the slow one is cut off.
PART = """
import json, sys, time
name, device, data, work, rows = sys.argv[1:]
print("part", name)
with open(f"{work}/{name}.jsonl", "w") as stream:
    stream.write(FIGURE.replace("NAME", name) + "\\n")
    stream.write('{"name": ' if name == "slow" else "")
if name == "slow":
    time.sleep(600)
sys.exit(name == "failing")
"""


def test_every_part_keeps_what_it_found_up_to_its_limit(tmp_path, monkeypatch, capsys):
    figure = json.dumps(Figure("NAME/first", "s", 1.0).to_dict())
    script = tmp_path / "part.py"
    script.write_text(PART.replace("FIGURE", repr(figure)))
    monkeypatch.setattr(machine, "COMMAND", (sys.executable, str(script)))
    names = ("slow", "quick", "failing")
    # Only the slow one meets its limit, however busy the machine is.
    parts = (Part(name, 0.05 if name == "slow" else 1, (f"{name}/first", f"{name}/second")) for name in names)
    monkeypatch.setattr(machine, "PARTS", tuple(parts))
    result, log = tmp_path / "a.json", tmp_path / "a.log"
    flags = ["--device", "cpu", "--minutes", "2", "--json", str(result), "--log", str(log)]
    assert run(["accelerator", *flags]) == 0
    found = json.loads(result.read_text())
    assert [part["ended"] for part in found["parts"]] == ["time limit", "exit 0", "exit 1"]
    assert [figure["name"] for figure in found["figures"] if figure["ours"]] == [f"{name}/first" for name in names]
    assert found["null"] == [f"{name}/{which}" for name in names for which in ("first", "second")]
    assert found["format"] == "bandwise-bench"
    assert (
        "not measured: slow/second, quick/second, failing/second\n"
        "null, of an accelerator nothing was measured: slow/first, slow/second, quick/first"
    ) in capsys.readouterr().out
    assert log.read_text().count("part ") == 3


def test_all_parts_together_stay_within_their_time(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(machine, "_run", lambda part, arguments, work, limit, log: started.append(limit) or "exit 0")
    result = tmp_path / "a.json"
    assert run(["accelerator", "--json", str(result), "--log", str(tmp_path / "a.log")]) == 0
    assert [part.until for part in PARTS] == sorted({part.until for part in PARTS})
    assert PARTS[-1].until == 1
    assert all(limit <= 9 * 60 * part.until for part, limit in zip(PARTS, started, strict=True))
    assert json.loads(result.read_text())["null"] == [name for part in PARTS for name in sorted(part.figures)]


@pytest.mark.parametrize(("said", "passed", "bad"), [("3 passed", 3, 0), ("1 failed, 2 passed", 2, 1), ("", None, 1)])
def test_tests_are_counted(said, passed, bad, monkeypatch):
    done = type("Done", (), {"stdout": said, "stderr": "", "returncode": bad})
    monkeypatch.setattr("subprocess.run", lambda *given, **named: done)
    (found,) = parts_of_tests(Job("cpu", Path(), Path(), Path()))
    assert (found.ours, found.ratio, found.holds) == (passed, bad, bad == 0)
