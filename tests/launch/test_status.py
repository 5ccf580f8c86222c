"""`bandwise status`: where every branch stands, from the files of the run alone."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from tests.helpers.trees import ROOT, tree
from tests.launch.conftest import CONFIG

from bandwise.cli import main
from bandwise.files.locks import folder_lock
from bandwise.launch import status
from bandwise.launch.status import run_status, train_next
from bandwise.report.units import points
from bandwise.runs.documents import read_results
from bandwise.runs.run import create_run, open_run


def stopped(run, branch: int) -> None:
    """Take away what came after the first checkpoint of a branch."""
    folder = run / f"branch-{branch:02d}"
    (folder / "summary.json").unlink()
    for path in sorted(folder.glob("step-*"))[1:]:
        shutil.rmtree(path)


def test_a_finished_run(run, capsys):
    before = tree(run)
    found = run_status(open_run(run))
    assert [(each.state, each.step, each.total_steps, each.epochs) for each in found] == [("finished", 6, 6, 2)] * 2
    assert all(each.left_s is None and each.images_per_s for each in found)
    rows = [json.loads(line) for line in (run / "branch-01" / "metrics.jsonl").read_text().splitlines()]
    assert found[1].holdout_top1 == rows[-1]["holdout"]["top1"]
    assert main(["status", str(run), "--watch"]) == 0
    said = capsys.readouterr().out
    assert "2 branches, 2 finished" in said
    assert "fused, learned: " in said
    results = read_results(run / "results.json")
    gains = {own.branch: own.top1_gain or 0.0 for own in results.leave_one_out or ()}
    assert len(gains) == 2
    assert f"each branch adds, 0: {points(gains[0])}, 1: {points(gains[1])}\n" in said
    assert "to train next" not in said
    assert tree(run) == before


def test_every_state_is_told_from_the_files(run, monkeypatch, capsys):
    shutil.rmtree(run / "branch-00")
    stopped(run, 1)
    waiting, halted = run_status(open_run(run))
    assert (waiting.state, waiting.step, waiting.total_steps, waiting.last_sign_s) == ("waiting", 0, None, None)
    assert (halted.state, halted.total_steps, halted.left_s) == ("stopped", 6, None)
    assert 0 < halted.step < 6
    with folder_lock(run / "branch-01"):
        working = run_status(open_run(run))[1]
        assert (working.state, working.step) == ("training", halted.step)
        assert working.last_sign_s is not None
        assert working.last_sign_s < 30
        assert working.left_s is not None
        lock = json.loads((run / "branch-01" / ".lock").read_bytes())
        assert working.host == lock["host"]
        assert main(["status", str(run)]) == 0
        assert f" {lock['host']}\n" in capsys.readouterr().out
        # As after the loss of its machine.
        now = time.time
        monkeypatch.setattr(status.time, "time", lambda: now() + 90)
        lost = run_status(open_run(run))[1]
        assert (lost.state, lost.host) == ("silent", None)
        assert lost.last_sign_s is not None
        assert lost.last_sign_s >= 60


def test_the_time_left_follows_from_the_rate_and_from_the_time_since_the_checkpoint(run, monkeypatch):
    stopped(run, 1)
    path = next((run / "branch-01").glob("step-*/state.json"))
    state = json.loads(path.read_text())
    state["position"]["step"], state["total_steps"], state["session"]["wall_s"] = 100, 400, 50.0
    path.write_text(json.dumps(state))
    os.utime(path, (1000.0, 1000.0))
    with folder_lock(run / "branch-01"):
        os.utime(run / "branch-01" / ".lock", (1028.0, 1028.0))
        monkeypatch.setattr(status.time, "time", lambda: 1030.0)
        found = run_status(open_run(run))[1]
    # 300 steps of half a second each, 30 s of which have passed.
    assert (found.left_s, found.last_sign_s, found.images_per_s) == (120, 2, 16.0)


def test_branches_that_have_arrived_are_named_for_fuse(run, capsys):
    stopped(run, 1)
    assert main(["status", str(run)]) == 0
    assert f"arrived so far: bandwise fuse {run} --use 0\n" in capsys.readouterr().out


def test_the_branch_to_train_next_is_the_source_or_has_the_most_energy(finished, tmp_path, capsys):
    store = finished / "store"
    run = create_run(tmp_path / "run", replace(CONFIG, branches="3;0;1"), store)
    assert train_next(run, run_status(run)) == 1
    assert main(["status", str(run.path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["train_next"], said["top1_gain"]) == (1, {})
    run.branch_folder(1).mkdir()
    with folder_lock(run.branch_folder(1)):
        assert train_next(run, run_status(run)) == 2
    assert train_next(replace(run, store_path=tmp_path / "gone"), run_status(run)) == 0
    warm = create_run(tmp_path / "warm", replace(CONFIG, branches="3;0;1", initial_branch=2), store)
    assert train_next(warm, run_status(warm)) == 2


def test_what_is_damaged_or_replaced_this_moment_is_passed_over(run):
    stopped(run, 1)
    (run / "branch-01" / "step-000000099").mkdir()
    (run / "branch-01" / "step-000000099" / "state.json").write_text("{")
    (run / "branch-01" / "metrics.jsonl").write_text("no row")
    (run / "branch-01" / ".lock").write_text("{")
    found = run_status(open_run(run))[1]
    assert (found.state, found.epochs, found.host) == ("training", 0, None)
    assert 0 < found.step < 6


def test_it_watches_until_all_are_finished(run, monkeypatch, capsys):
    from bandwise.commands import status as command

    real, looks = run_status, []

    def look(of):
        looks.append(of)
        states = ["finished", "finished" if len(looks) > 2 else "stopped"]
        return [replace(each, state=state) for each, state in zip(real(of), states, strict=True)]

    monkeypatch.setattr(command, "run_status", look)
    assert main(["status", str(run), "--watch", "--every", "0.01"]) == 0
    said = capsys.readouterr()
    assert said.err.count("1 finished, 1 stopped") == 2
    assert "2 finished" in said.out
    assert len(looks) == 3


@pytest.mark.parametrize("flags", [["--every", "0"], ["--every", "-1"]])
def test_a_pause_must_be_one(run, flags):
    assert main(["status", str(run), *flags]) == 2


def test_it_needs_no_torch(run):
    """A look takes a fraction of a second, also on a machine that is busy."""
    code = "import sys; from bandwise.cli import main; main(['status', sys.argv[1]]); assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code, str(run)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
