"""What is missing becomes a sentence, what is damaged is told apart from it; the rest is still read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bandwise.files.documents import json_bytes, read_document, seal, write_document
from bandwise.report.view import EvaluatedRun, read_view
from bandwise.runs.run import read_logits, write_logits


@pytest.fixture
def run(tmp_path, two_runs):
    return Path(shutil.copytree(two_runs[0], tmp_path / "run"))


def test_a_whole_run_has_no_problems(run):
    view = read_view(run)
    assert view.problems == view.damage == ()
    assert view.name == "photos-sub4"
    assert len(view.curves[3]) == 6
    assert view.answers.right.mean() == pytest.approx(view.results.fused.top1)
    assert list(view.rules) == ["mean", "geometric", "learned", "greedy"]


def test_a_folder_that_is_no_run(tmp_path):
    view = read_view(tmp_path / "nothing")
    assert view.name == "nothing"
    assert "is no run (it has no run.json)" in view.problems[0]


def test_results_that_are_not_there_yet(run):
    (run / "results.json").unlink()
    view = read_view(run)
    assert not isinstance(view, EvaluatedRun)
    assert any("run `bandwise evaluate" in problem for problem in view.problems)
    assert len(view.curves[0]) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is damaged"),
        (b"[]", "does not hold a JSON object"),
        (json_bytes({"format": "bandwise-results", "version": 1}), "carries no SHA-256"),
        (json_bytes(seal({"format": "bandwise-results", "version": 2})), "lacks a format that this program reads"),
        (json_bytes(seal({"format": "bandwise-results", "version": 1, "name": "x"})), "lacks data"),
    ],
)
def test_damaged_results(run, content, message):
    (run / "results.json").write_bytes(content)
    view = read_view(run)
    assert not isinstance(view, EvaluatedRun)
    assert view.problems == ()
    assert len(view.damage) == 1
    assert message in view.damage[0]


def test_results_without_a_score_are_damaged(run):
    content = read_document(run / "results.json")
    del content["rules"]["mean"]["nll"]
    write_document(run / "results.json", content)
    (damage,) = read_view(run).damage
    assert "results.json lacks rules.mean.nll" in damage


def test_results_of_another_fusion_are_reported(run):
    results = read_document(run / "results.json")
    write_document(run / "fusion.json", results["fusion"])
    assert not any("another fusion" in problem for problem in read_view(run).problems)
    write_document(run / "fusion.json", {**results["fusion"], "temperature": 9.0})
    assert any("holds another fusion by now" in problem for problem in read_view(run).problems)


def test_a_summary_that_is_none_is_reported(run):
    write_document(run / "branch-01" / "summary.json", {})
    view = read_view(run)
    assert view.problems == ()
    assert "is not the summary of a branch" in view.damage[0]


def test_a_branch_in_its_first_epoch_is_not_damaged(run):
    (run / "branch-02" / "summary.json").unlink()
    (run / "branch-02" / "metrics.jsonl").write_bytes(b"")
    view = read_view(run)
    assert (view.curves[2], view.damage) == ([], ())


@pytest.mark.parametrize("damage", ["half a row", "another value", "a row less"])
def test_damaged_metrics_have_no_curve_and_are_named(run, damage):
    path = run / "branch-01" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    if damage == "half a row":
        lines[-1] = lines[-1][:9]
    elif damage == "another value":
        lines[2] = lines[2].replace("57", "58")
    else:
        del lines[3]
    path.write_text("".join(lines))
    view = read_view(run)
    assert view.curves[1] == []
    assert view.problems == ()
    assert view.damage[0].startswith(f"{path}, line")


def test_a_finished_branch_that_lacks_its_last_rows_is_named(run):
    path = run / "branch-01" / "metrics.jsonl"
    path.write_bytes(b"")
    assert read_view(run).damage == (f"{path} has 0 rows; the branch was trained for 1 epochs",)


def test_damaged_logits_are_named(run):
    path = run / "logits" / "val" / "branch-01.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    view = read_view(run)
    assert view.answers is None
    assert str(path) in view.damage[0]


def test_missing_logits_leave_the_table_and_say_why(run):
    (run / "logits" / "val" / "branch-01.safetensors").unlink()
    view = read_view(run)
    assert isinstance(view, EvaluatedRun)
    assert view.answers is None
    assert any("could not be compared one by one" in problem for problem in view.problems)


def test_logits_of_other_images_are_not_mixed(run):
    path = run / "logits" / "val" / "branch-01.safetensors"
    content = read_logits(path)
    write_logits(path, type(content)(content.ids + 1, content.labels, content.logits, content.meta))
    view = read_view(run)
    assert view.answers is None
    assert any("not of the same images" in problem for problem in view.problems)


def test_logits_that_do_not_give_the_results_are_not_used(run):
    results = read_document(run / "results.json")
    results["fused"]["top1"] += 0.05
    write_document(run / "results.json", results)
    view = read_view(run)
    assert view.answers is None
    assert any("written at another time" in problem for problem in view.problems)


def test_a_fusion_of_some_branches_is_read_in_its_order(run):
    results = read_document(run / "results.json")
    results["fusion"] |= {"branches": [3, 0], "weights": [0.25, 0.75]}
    logits = {b: read_logits(run / "logits" / "val" / f"branch-{b:02d}.safetensors") for b in (0, 3)}
    fused = 0.25 * logits[3].logits.astype(float) + 0.75 * logits[0].logits.astype(float)
    results["fused"]["top1"] = float((fused.argmax(1) == logits[0].labels).mean())
    write_document(run / "results.json", results)
    np.testing.assert_allclose(read_view(run).answers.fused, fused)
