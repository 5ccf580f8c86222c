"""The tables of evidence: means, differences and groups of equal cost by hand."""

from dataclasses import replace

import numpy as np
import pytest
from tests.helpers.results import COST, made_results
from tools.comparisons import difference
from tools.evidence import (
    branch_cost_tables,
    comparison_table,
    cost_tables,
    evidence_markdown,
    gain_over_branches,
    sentences,
    summary_markdown,
    summary_table,
)
from tools.pairs import Pair
from tools.predictions import predictions_table
from tools.recorded import read_recorded, spread

from bandwise.errors import CorruptionError, UsageError
from bandwise.evaluation.metrics import pack_right
from bandwise.files.documents import write_document
from bandwise.runs.documents import Answers, write_results

SUB4, BASELINE = "cifar10-sub4", "cifar10-baseline"
TWO_SYSTEMS = {
    SUB4: [made_results(SUB4, 0, 0.70, [0.71, 0.60]), made_results(SUB4, 1, 0.72, [0.70, 0.60])],
    BASELINE: [made_results(BASELINE, 0, 0.69, [0.69]), made_results(BASELINE, 1, 0.73, [0.73])],
}


def group(*runs):
    return {run.name: [run] for run in runs}


def answered(right: list[bool], images: str = "same") -> Answers:
    return Answers(images=images, right={"fused": pack_right(np.array(right))})


def test_spread_by_hand():
    assert spread([1.0]) == "1.00"
    assert spread([1.0, 3.0], digits=1) == "2.0 ± 1.4"


@pytest.mark.parametrize(
    ("make", "cells"), [(summary_markdown, ["71.00 ± 1.41 %"]), (evidence_markdown, ["71.00 ± 1.41 %", "0.50 ± 2.12"])]
)
def test_mean_and_spread_by_hand(make, cells):
    """70 and 72: mean 71, sample standard deviation sqrt(2); gains over the chosen branch -1 and +2."""
    lines = make(TWO_SYSTEMS).splitlines()
    row = next(line for line in lines if line.startswith(f"| {SUB4} |") and "| 0, 1 |" in line)
    assert all(cell in row for cell in cells)


def test_the_sentence_compares_seed_by_seed():
    """70 - 69 = +1 and 72 - 73 = -1."""
    pairs = [Pair("bands", (SUB4, "fused"), (name, "fused")) for name in (BASELINE, "other")]
    assert sentences(TWO_SYSTEMS, pairs) == [f"Bands: {SUB4} minus {BASELINE} is 0.00 ± 1.41 points over 2 seeds."]


def test_the_gain_over_the_branches_is_counted():
    """70 against 71 is below, 72 against 70 above."""
    assert "in 1 of 2 seeds, by 0.50 ± 2.12 points" in gain_over_branches(TWO_SYSTEMS, SUB4)
    assert gain_over_branches(TWO_SYSTEMS, "c") == ""


def test_images_decide_where_both_have_answered_them():
    ours, theirs = [True] * 80 + [False] * 20, [True] * 70 + [False] * 10 + [True] * 4 + [False] * 16
    found = group(
        made_results(SUB4, 0, 0.80, [0.7, 0.6], answers=answered(ours)),
        made_results(BASELINE, 0, 0.74, [0.74], answers=answered(theirs)),
    )
    table = comparison_table(found)
    assert table is not None
    row = table.rows[0]
    assert row[:3] == ("bands against the whole image, equal cost in all", SUB4, BASELINE)
    # 10 images only the first has right, 4 only the second: binomial(14, 1/2), both tails; 1.96 standard errors.
    each = np.array([1] * 10 + [-1] * 4 + [0] * 86)
    assert row[3:] == ("6.00", f"± {196 * each.std(ddof=1) / 10:.2f}", f"{2 * (1 + 14 + 91 + 364 + 1001) / 2**14:.2g}")


def test_equal_answers_are_no_difference():
    same = answered([True] * 80 + [False] * 20)
    found = group(made_results("a", 0, 0.8, [0.8], answers=same), made_results("b", 0, 0.8, [0.8], answers=same))
    measured = difference(found, ("a", "fused"), ("b", "fused"))
    assert measured is not None
    assert (measured.points, measured.half_width, measured.p_values) == ((0.0,), 0.0, (1.0,))


def test_other_images_are_not_compared_one_by_one():
    found = group(
        made_results(SUB4, 0, 0.80, [0.7, 0.6], answers=answered([True] * 100)),
        made_results(BASELINE, 0, 0.74, [0.74], answers=answered([True] * 100, "other")),
    )
    table = comparison_table(found)
    assert table is not None
    assert table.rows[0][3:] == ("6.00", "", "")


def test_a_head_is_shown_where_every_seed_has_one():
    with_head, without = (made_results(SUB4, seed, 0.7, [0.6, 0.5], head=head) for seed, head in ((1, 0.8), (0, None)))
    assert [row[5] for row in summary_table({SUB4: [without, with_head]}).rows] == [""]
    assert [row[5] for row in summary_table({SUB4: [with_head]}).rows] == ["80.00 %"]


def test_systems_of_equal_cost_are_in_one_table():
    dear = replace(COST, macs_total=3_500_000, macs_per_branch=3_500_000)
    found = group(
        made_results("a", 0, 0.7, [0.6] * 4),
        made_results("b", 0, 0.8, [0.8], cost=dear),
        made_results("c", 0, 0.5, [0.5]),
    )
    assert [[row[0] for row in table.rows] for table in cost_tables(found)] == [["b", "a"], ["c"]]
    assert [[row[0] for row in table.rows] for table in branch_cost_tables(found)] == [["a", "c"]]
    assert "7.00 M to 8.00 M" in cost_tables(found)[0].caption


def test_epochs_and_the_training_of_a_start_count_as_cost():
    """6 epochs and the 2 of the start are the cost of 8 epochs, and of 2 epochs of four branches."""
    found = group(
        made_results("cifar10-lowres", 0, 0.5, [0.5]),
        made_results("cifar10-baseline-progressive", 0, 0.8, [0.8], epochs=6),
        made_results("long", 0, 0.7, [0.7], epochs=8),
        made_results("four", 0, 0.6, [0.6] * 4),
    )
    groups = [[row[0] for row in table.rows] for table in cost_tables(found)]
    assert groups == [["cifar10-baseline-progressive", "long", "four"], ["cifar10-lowres"]]
    assert cost_tables(found)[0].rows[0][-2] == "4 min 00 s + cifar10-lowres"
    assert [[row[0] for row in table.rows] for table in branch_cost_tables(found)] == [
        ["cifar10-baseline-progressive", "long"],
        ["four", "cifar10-lowres"],
    ]


def test_predictions_are_printed_whatever_they_are():
    other = made_results("other", 0, 0.70, [0.6, 0.5, 0.4, 0.3])
    turned = tuple(replace(entry, energy=float(entry.branch)) for entry in other.branches)
    found = group(made_results(SUB4, 0, 0.70, [0.6, 0.5, 0.4, 0.3]), replace(other, branches=turned))
    table = predictions_table(found)
    assert table is not None
    rows = {(row[0].partition(":")[0], row[1]): row[2] for row in table.rows}
    assert rows["accuracy of a band follows its energy", SUB4] == "rank correlation 1.00"
    assert rows["accuracy of a band follows its energy", "other"] == "rank correlation -1.00"
    assert rows["learned weights are at least as good as mean", "all runs of several branches"].startswith("in 2 of 2")
    geometric = rows["learned weights are at least as good as geometric", "all runs of several branches"]
    assert geometric == "in 0 of 2 runs; mean difference −2.00 points"
    assert predictions_table(group(made_results(BASELINE, 0, 0.7, [0.7]))) is None


def test_recorded_results_are_read_by_recipe_and_seed(tmp_path):
    for seed in (1, 0):
        write_results(tmp_path / f"{1 - seed}.json", made_results(SUB4, seed, 0.7, [0.6]))
    write_results(tmp_path / "ten.json", made_results(SUB4, 0, 0.8, [0.6], crops=10))
    found = read_recorded(tmp_path)
    assert [run.config["training"]["seed"] for run in found[SUB4]] == [0, 1]
    assert len(read_recorded(tmp_path, crops=(1, 10))[SUB4]) == 3
    write_results(tmp_path / "copy.json", made_results(SUB4, 0, 0.7, [0.6]))
    with pytest.raises(UsageError, match=r"1\.json and .*copy\.json are both of cifar10-sub4 with seed 0"):
        read_recorded(tmp_path)


def test_an_empty_folder_and_a_foreign_file(tmp_path):
    with pytest.raises(UsageError, match="holds no results"):
        read_recorded(tmp_path)
    write_document(tmp_path / "x.json", {})
    with pytest.raises(CorruptionError, match=r"x\.json is no result"):
        read_recorded(tmp_path)
