"""What is missing becomes a sentence, what is damaged is told apart from it; the rest is still read."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.logits import write_logits

from bandwise.config.run import UNNAMED
from bandwise.files.documents import json_bytes, read_document, seal, write_document
from bandwise.report.compose import compose
from bandwise.report.view import EvaluatedRun, read_view
from bandwise.runs.logits import read_logits

Change = Callable[[Path], object]


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


def test_branches_that_ended_early_are_told_from_what_was_asked_for(run):
    view = read_view(run)
    assert view.trained == "6 epochs"
    for ended, text in (((6, 6), "6 epochs"), ((3, 3), "3 of 6 epochs"), ((6, 2), "2 to 6 of 6 epochs")):
        summaries = {number: replace(view.summaries[number], epochs=epochs) for number, epochs in enumerate(ended)}
        assert replace(view, summaries=summaries).trained == text
    assert replace(view, summaries={}).trained == "6 epochs"
    assert text in compose([replace(view, summaries=summaries)]).subtitle


def test_a_run_without_a_recipe_is_called_by_its_folder(run):
    view = read_view(run)
    assert replace(view, config=replace(view.config, name=UNNAMED)).name == "run"


def test_a_folder_that_is_no_run(tmp_path):
    view = read_view(tmp_path / "nothing")
    assert view.name == "nothing"
    assert "is no run (it has no run.json)" in view.problems[0]


def content(name: str, new: bytes) -> Change:
    return lambda run: (run / name).write_bytes(new)


def lines(change: Callable[[list[str]], object]) -> Change:
    """Change the lines of the metrics of branch 1."""

    def apply(run: Path) -> None:
        path = run / "branch-01" / "metrics.jsonl"
        found = path.read_text().splitlines()
        change(found)
        path.write_text("\n".join(found) + "\n")

    return apply


def results(change: Callable[[dict], object]) -> Change:
    def apply(run: Path) -> None:
        found = read_document(run / "results.json")
        change(found)
        write_document(run / "results.json", found)

    return apply


def other_fusion(run: Path) -> None:
    write_document(run / "fusion.json", {**read_document(run / "results.json")["fusion"], "temperature": 9.0})


LOGITS = "logits/val/branch-01.safetensors"


def other_ids(run: Path) -> None:
    found = read_logits(run / LOGITS)
    write_logits(run / LOGITS, type(found)(found.ids + 1, found.labels, found.logits, found.meta))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "results.json").unlink(), "run `bandwise evaluate"),
        (other_fusion, "holds another fusion by now"),
        (lambda run: (run / LOGITS).unlink(), "could not be compared one by one"),
        (other_ids, "not of the same images"),
        (results(lambda found: found["fused"].update(top1=0.01)), "written at another time"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_a_problem(run, change, message):
    change(run)
    view = read_view(run)
    assert view.damage == ()
    (problem,) = view.problems
    assert message in problem
    assert len(view.curves[0]) == 6
    assert isinstance(view, EvaluatedRun) == (run / "results.json").exists()
    if isinstance(view, EvaluatedRun):
        assert (view.answers is None) == (change is not other_fusion)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (content("results.json", b"{"), "is damaged"),
        (content("results.json", b"[]"), "does not hold a JSON object"),
        (content("results.json", json_bytes({"format": "bandwise-results", "version": 1})), "carries no SHA-256"),
        (
            content("results.json", json_bytes(seal({"format": "bandwise-results", "version": 2}))),
            "lacks a format that this program reads",
        ),
        (results(lambda found: found["rules"]["mean"].pop("nll")), "results.json lacks rules.mean.nll"),
        (lambda run: write_document(run / "branch-01" / "summary.json", {}), "is not the summary of a branch"),
        (lines(lambda found: found.append(found.pop()[:9])), "metrics.jsonl, line"),
        (lines(lambda found: found.insert(2, found.pop(2).replace("57", "58"))), "metrics.jsonl, line"),
        (lines(lambda found: found.pop(3)), "metrics.jsonl, line"),
        (content("branch-01/metrics.jsonl", b""), "has 0 rows; the branch was trained for 6 epochs"),
        (lambda run: (run / LOGITS).write_bytes((run / LOGITS).read_bytes()[:-1]), LOGITS),
    ],
)
def test_damage_is_named_and_apart(run, change, message):
    change(run)
    view = read_view(run)
    assert view.problems == ()
    (damage,) = view.damage
    assert message in damage
    assert isinstance(view, EvaluatedRun) == ("results.json" not in damage)
    assert (view.curves[1] == []) == ("metrics.jsonl" in damage)


def test_results_of_the_saved_fusion_have_no_problem(run):
    write_document(run / "fusion.json", read_document(run / "results.json")["fusion"])
    assert read_view(run).problems == ()


def test_a_branch_in_its_first_epoch_is_not_damaged(run):
    (run / "branch-02" / "summary.json").unlink()
    (run / "branch-02" / "metrics.jsonl").write_bytes(b"")
    view = read_view(run)
    assert (view.curves[2], view.damage) == ([], ())


def test_a_fusion_of_some_branches_is_read_in_its_order(run):
    found = read_document(run / "results.json")
    found["fusion"] |= {"branches": [3, 0], "weights": [0.25, 0.75]}
    logits = {b: read_logits(run / "logits" / "val" / f"branch-{b:02d}.safetensors") for b in (0, 3)}
    fused = 0.25 * logits[3].logits.astype(float) + 0.75 * logits[0].logits.astype(float)
    found["fused"]["top1"] = float((fused.argmax(1) == logits[0].labels).mean())
    write_document(run / "results.json", found)
    assert np.array_equal(read_view(run).answers.fused, fused.argmax(1))
