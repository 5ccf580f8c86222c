"""Tables and notes say what the results say, and only that."""

from dataclasses import replace

import pytest

from bandwise.report.notes import notes
from bandwise.report.tables import branch_table, headline_table, ten_crop_table
from bandwise.report.view import EvaluatedRun, read_view
from bandwise.runs.documents import LeftOut, Results


@pytest.fixture(scope="module")
def run(two_runs) -> EvaluatedRun:
    view = read_view(two_runs[0])
    assert isinstance(view, EvaluatedRun)
    return view


def changed(run: EvaluatedRun, **fields) -> EvaluatedRun:
    return replace(run, results=replace(run.results, **fields))


def with_top1(results: Results, top1: float) -> Results:
    return replace(results, crops=10, fused=replace(results.fused, top1=top1))


def test_a_fusion_of_some_branches_is_named(run):
    some = replace(run.results.fusion, branches=(0, 1, 3), weights=(0.5, 0.25, 0.25))
    other = changed(run, fusion=some)
    assert "The fusion uses 3 of 4 branches; missing: 2." in notes(other, [])
    assert [row[3] for row in branch_table(other).rows] == ["50.0 %", "25.0 %", "not fused", "25.0 %"]


def test_ten_crops_and_single_crops_are_apart(run):
    assert ten_crop_table([run]) is None
    table = ten_crop_table([replace(run, ten_crop=with_top1(run.results, 0.987)), run])
    assert table is not None
    ((name, one, ten, _),) = table.rows
    assert (name, ten.partition(" ")[0]) == ("photos-sub4", "98.70")
    assert one == headline_table(run, []).rows[0][1]
    assert "(centre crop)" in headline_table(run, []).caption


def test_leave_one_out_is_shown_where_it_was_measured(run):
    assert "worth (points)" not in branch_table(run).head
    gains = tuple(LeftOut(branch=branch, top1_gain=0.0123, nll_gain=0.1) for branch in range(3))
    table = branch_table(changed(run, leave_one_out=gains))
    worth = [row[table.head.index("worth (points)")] for row in table.rows]
    assert worth == ["+1.23", "+1.23", "+1.23", "–"]


def test_a_holdout_unlike_the_reported_images_is_noted(run):
    text = "The holdout is not like the reported images: branch 0 is right on 99.00 % of it"
    first, *others = run.results.branches
    other = changed(run, branches=(replace(first, holdout=replace(first.holdout, top1=0.99)), *others))
    assert [note.startswith(text) for note in notes(other, [])].count(True) == 1
    assert not any(note.startswith(text) for note in notes(run, []))


def test_a_rule_other_than_the_configured_one_is_noted(run):
    assert not any("the configuration says" in note for note in notes(run, []))
    other = changed(run, fusion=replace(run.results.fusion, rule="greedy"))
    assert any(note.startswith("The result uses the rule greedy, the configuration says") for note in notes(other, []))


def test_branches_that_started_from_others_are_noted(run):
    started = tuple(replace(entry, from_scratch=entry.branch == 0) for entry in run.results.branches)
    assert "photos-sub4: some branches started from weights of another training." in notes(
        changed(run, branches=started), []
    )
    by_name = replace(changed(run, branches=started), config=replace(run.config, initial_branch=0))
    assert any("started from the final weights of branch 0, trained before them" in note for note in notes(by_name, []))
    assert not any("started from" in note for note in notes(run, []))
