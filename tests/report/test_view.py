"""What is missing or damaged becomes a sentence; the rest is still read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bandwise.report.view import read_view
from bandwise.runs import read_logits, write_logits


@pytest.fixture
def run(tmp_path, two_runs):
    return Path(shutil.copytree(two_runs[0], tmp_path / "run"))


def test_a_whole_run_has_no_problems(run):
    view = read_view(run)
    assert view.problems == ()
    assert view.name == "photos-sub4"
    assert len(view.curves[3]) == 6
    assert view.answers.right.mean() == pytest.approx(view.results["fused"]["top1"])
    assert list(view.rules) == ["mean", "geometric", "learned", "greedy"]


def test_a_folder_that_is_no_run(tmp_path):
    view = read_view(tmp_path / "nothing")
    assert view.name == "nothing"
    assert "is no run (it has no run.json)" in view.problems[0]


def test_results_that_are_not_there_yet(run):
    (run / "results.json").unlink()
    view = read_view(run)
    assert view.results is None
    assert any("run `bandwise evaluate" in problem for problem in view.problems)
    assert len(view.curves[0]) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("[]", "lacks a format that this program reads"),
        ('{"format": "bandwise-results", "version": 2}', "lacks a format that this program reads"),
        ('{"format": "bandwise-results", "version": 1, "name": "x"}', "lacks data, crops"),
    ],
)
def test_damaged_results(run, content, message):
    (run / "results.json").write_text(content)
    view = read_view(run)
    assert view.results is None
    assert any(message in problem for problem in view.problems)


def test_results_of_another_fusion_are_reported(run):
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    (run / "fusion.json").write_text(json.dumps(results["fusion"]), encoding="utf-8")
    assert not any("another fusion" in problem for problem in read_view(run).problems)
    (run / "fusion.json").write_text(json.dumps({**results["fusion"], "temperature": 9.0}), encoding="utf-8")
    assert any("holds another fusion by now" in problem for problem in read_view(run).problems)


def test_a_summary_that_is_none_is_reported(run):
    (run / "branch-01" / "summary.json").write_text("null", encoding="utf-8")
    assert any("is not the summary of a branch" in problem for problem in read_view(run).problems)


def test_a_branch_without_a_summary_is_named(run):
    (run / "branch-02" / "summary.json").unlink()
    assert any(problem.startswith("Branch 2 is not trained") for problem in read_view(run).problems)


def test_a_half_written_last_row_is_dropped_without_a_word(run):
    path = run / "branch-01" / "metrics.jsonl"
    path.write_text(path.read_text() + '{"epoch": 7, "tr')
    view = read_view(run)
    assert len(view.curves[1]) == 6
    assert view.problems == ()


def test_a_damaged_row_in_the_middle_is_reported(run):
    path = run / "branch-01" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = "oops"
    path.write_text("\n".join(lines))
    view = read_view(run)
    assert len(view.curves[1]) == 2
    assert any("line 3 is not a row of metrics" in problem for problem in view.problems)


def test_missing_logits_leave_the_table_and_say_why(run):
    (run / "logits" / "val" / "branch-01.safetensors").unlink()
    view = read_view(run)
    assert view.answers is None
    assert view.results is not None
    assert any("could not be compared one by one" in problem for problem in view.problems)


def test_logits_of_other_images_are_not_mixed(run):
    path = run / "logits" / "val" / "branch-01.safetensors"
    content = read_logits(path)
    write_logits(path, type(content)(content.ids + 1, content.labels, content.logits, content.meta))
    view = read_view(run)
    assert view.answers is None
    assert any("not of the same images" in problem for problem in view.problems)


def test_logits_that_do_not_give_the_results_are_not_used(run):
    results = json.loads((run / "results.json").read_text())
    results["fused"]["top1"] += 0.05
    (run / "results.json").write_text(json.dumps(results))
    view = read_view(run)
    assert view.answers is None
    assert any("written at another time" in problem for problem in view.problems)


def test_a_fusion_of_some_branches_is_read_in_its_order(run):
    results = json.loads((run / "results.json").read_text())
    results["fusion"] |= {"branches": [3, 0], "weights": [0.25, 0.75]}
    logits = {b: read_logits(run / "logits" / "val" / f"branch-{b:02d}.safetensors") for b in (0, 3)}
    fused = 0.25 * logits[3].logits.astype(float) + 0.75 * logits[0].logits.astype(float)
    results["fused"]["top1"] = float((fused.argmax(1) == logits[0].labels).mean())
    (run / "results.json").write_text(json.dumps(results))
    np.testing.assert_allclose(read_view(run).answers.fused, fused)
