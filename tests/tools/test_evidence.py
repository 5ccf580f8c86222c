"""The tables of evidence come from `results/` and from nowhere else."""

import re
from pathlib import Path

import numpy as np
import pytest
from tools.blocks import (
    evidence_markdown,
    gain_over_branches,
    read_results,
    update_between_marks,
)
from tools.comparisons import Pair
from tools.evidence import branch_cost_tables, comparison_table, cost_tables, sentences, summary_table
from tools.predictions import predictions_table

from bandwise.errors import CorruptionError, UsageError
from bandwise.evaluation.bitset import pack
from bandwise.files.documents import write_document

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- results -->", "<!-- /results -->"
SUB4, BASELINE = "cifar10-sub4", "cifar10-baseline"


def fake(name: str, seed: int, fused: float, branches: list[float], **changes) -> dict:
    count = len(branches)
    cost = {"params_total": 4e6, "macs_per_branch": 1e6, "macs_total": count * 1e6, "wall_s_longest": 60.0}
    entries = [{"bands": [k], "top1": value, "energy": value**3} for k, value in enumerate(branches)]
    rules = {"learned": {"top1": fused}, "mean": {"top1": fused - 0.01}, "geometric": {"top1": fused + 0.02}}
    return {
        "format": "bandwise-results",
        "name": name,
        "config": {"training": {"seed": seed, "epochs": 2}},
        "environment": {"hardware": {"processor": "P", "accelerator": None}, "versions": {"torch": "2"}},
        "data": {"name": "cifar10"},
        "crops": 1,
        "n_eval": 100,
        "branches": entries,
        "fused": {"top1": fused, "nll": 1.0, "ece": 0.1},
        "fusion": {"rule": "learned"},
        "rules": rules,
        "reference": {"best_branch": {"top1": branches[0]}},
        "cost": {**cost, "wall_s_sum": 260.0, "cpu_s_sum": 240.0, "store_bytes_per_branch": 1e6},
        **changes,
    }


def record(folder: Path, *runs: dict):
    for run in runs:
        write_document(folder / f"{run['name']}-seed{run['config']['training']['seed']}.json", run)
    return read_results(folder)


@pytest.fixture
def results(tmp_path):
    return record(
        tmp_path,
        fake(SUB4, 1, 0.72, [0.70, 0.60]),
        fake(SUB4, 0, 0.70, [0.71, 0.60]),
        fake(BASELINE, 0, 0.69, [0.69]),
        fake(BASELINE, 1, 0.73, [0.73]),
    )


def answers(right: list[bool]) -> dict:
    return {"images": "same", "right": {"fused": pack(np.array(right))}}


def test_mean_and_spread_by_hand(results):
    # 70 and 72: mean 71, sample standard deviation sqrt(2); gains over the chosen branch -1 and +2.
    for which, expected in (("summary", ["71.00 ± 1.41 %"]), ("evidence", ["71.00 ± 1.41 %", "0.50 ± 2.12"])):
        text = evidence_markdown(results, which)
        row = next(line for line in text.splitlines() if line.startswith(f"| {SUB4} |") and "| 0, 1 |" in line)
        assert all(cell in row for cell in expected)


def test_the_sentence_compares_seed_by_seed(results):
    # 70 - 69 = +1 and 72 - 73 = -1.
    pairs = [Pair("bands", (SUB4, "fused"), (name, "fused")) for name in (BASELINE, "other")]
    assert sentences(results, pairs) == [f"Bands: {SUB4} minus {BASELINE} is 0.00 ± 1.41 points over 2 seeds."]


def test_the_gain_over_the_branches_is_counted(results):
    # 70 against 71 is below, 72 against 70 above.
    assert "in 1 of 2 seeds, by 0.50 ± 2.12 points" in gain_over_branches(results, SUB4)
    assert gain_over_branches(results, "c") == ""


def test_images_decide_where_both_have_answered_them(tmp_path):
    ours, theirs = [True] * 80 + [False] * 20, [True] * 70 + [False] * 10 + [True] * 4 + [False] * 16
    found = record(
        tmp_path,
        fake(SUB4, 0, 0.80, [0.7, 0.6], answers=answers(ours)),
        fake(BASELINE, 0, 0.74, [0.74], answers=answers(theirs)),
    )
    table = comparison_table(found)
    assert table is not None
    row = table.rows[0]
    assert row[:3] == ("bands against the whole image, equal cost in all", SUB4, BASELINE)
    # 10 images only the first has right, 4 only the second: binomial(14, 1/2), both tails; 1.96 standard errors.
    each = np.array([1] * 10 + [-1] * 4 + [0] * 86)
    assert row[3:] == ("6.00", f"± {196 * each.std(ddof=1) / 10:.2f}", f"{2 * (1 + 14 + 91 + 364 + 1001) / 2**14:.2g}")


def test_other_images_are_not_compared_one_by_one(tmp_path):
    other = {**answers([True] * 100), "images": "other"}
    found = record(
        tmp_path,
        fake(SUB4, 0, 0.80, [0.7, 0.6], answers=answers([True] * 100)),
        fake(BASELINE, 0, 0.74, [0.74], answers=other),
    )
    table = comparison_table(found)
    assert table is not None
    assert table.rows[0][3:] == ("6.00", "", "")


def test_a_head_is_shown_where_every_seed_has_one(tmp_path):
    rules = {name: {"top1": 0.8} for name in ("learned", "mean", "geometric", "head")}
    found = record(tmp_path, fake(SUB4, 0, 0.70, [0.6, 0.5], rules=rules), fake(SUB4, 1, 0.70, [0.6, 0.5]))
    assert [row[5] for row in summary_table(found).rows] == [""]
    found = record(tmp_path, fake(SUB4, 1, 0.70, [0.6, 0.5], rules=rules))
    assert [row[5] for row in summary_table(found).rows] == ["80.00 ± 0.00 %"]


@pytest.mark.parametrize("name", ["name", "n_eval", "cost", "rules", "environment", "fusion", "branches"])
def test_a_result_that_lacks_something_is_damaged(tmp_path, name):
    run = fake(SUB4, 0, 0.7, [0.6])
    del run[name]
    write_document(tmp_path / "x.json", run)
    with pytest.raises(CorruptionError, match=rf"x\.json is no result that can be read: {name}"):
        read_results(tmp_path)


def test_a_seed_is_not_counted_twice(tmp_path):
    assert len(record(tmp_path, fake(SUB4, 0, 0.7, [0.6]), fake(SUB4, 1, 0.7, [0.6]))[SUB4]) == 2
    write_document(tmp_path / "copy.json", fake(SUB4, 0, 0.7, [0.6]))
    with pytest.raises(UsageError, match=r"-seed0\.json and .*copy\.json are both of cifar10-sub4 with seed 0"):
        read_results(tmp_path)


def test_systems_of_equal_cost_stand_together(tmp_path):
    found = record(
        tmp_path,
        fake("a", 0, 0.7, [0.6] * 4),
        fake("b", 0, 0.8, [0.8], cost={**fake("b", 0, 0, [0])["cost"], "macs_total": 3.5e6, "macs_per_branch": 3.5e6}),
        fake("c", 0, 0.5, [0.5]),
    )
    assert [[row[0] for row in table.rows] for table in cost_tables(found)] == [["b", "a"], ["c"]]
    assert [[row[0] for row in table.rows] for table in branch_cost_tables(found)] == [["a", "c"]]
    assert "7.00 M to 8.00 M" in cost_tables(found)[0].caption


def test_epochs_and_the_training_of_a_start_count_as_cost(tmp_path):
    low, progressive = fake("cifar10-lowres", 0, 0.5, [0.5]), fake("cifar10-baseline-progressive", 0, 0.8, [0.8])
    progressive["config"]["training"]["epochs"] = 6
    long = fake("long", 0, 0.7, [0.7])
    long["config"]["training"]["epochs"] = 8
    found = record(tmp_path, low, progressive, long, fake("four", 0, 0.6, [0.6] * 4))
    # 6 epochs and the 2 of the start are the cost of 8 epochs, and of 2 epochs of four branches.
    groups = [[row[0] for row in table.rows] for table in cost_tables(found)]
    assert groups == [["cifar10-baseline-progressive", "long", "four"], ["cifar10-lowres"]]
    assert cost_tables(found)[0].rows[0][-2] == "4 min 00 s + cifar10-lowres"
    assert [[row[0] for row in table.rows] for table in branch_cost_tables(found)] == [
        ["cifar10-baseline-progressive", "long"],
        ["four", "cifar10-lowres"],
    ]


def test_predictions_are_printed_whatever_they_are(tmp_path):
    other = fake("other", 0, 0.70, [0.6, 0.5, 0.4, 0.3])
    for entry, energy in zip(other["branches"], (1.0, 2.0, 3.0, 4.0), strict=True):
        entry["energy"] = energy
    found = record(tmp_path, fake(SUB4, 0, 0.70, [0.6, 0.5, 0.4, 0.3]), other)
    table = predictions_table(found)
    assert table is not None
    said = {(row[0].partition(":")[0], row[1]): row[2] for row in table.rows}
    assert said["accuracy of a band follows its energy", SUB4] == "rank correlation 1.00"
    assert said["accuracy of a band follows its energy", "other"] == "rank correlation -1.00"
    assert said["learned weights are at least as good as mean", "all runs of several branches"].startswith("in 2 of 2")
    geometric = said["learned weights are at least as good as geometric", "all runs of several branches"]
    assert geometric == "in 0 of 2 runs; mean difference −2.00 points"
    (tmp_path / "none").mkdir()
    assert predictions_table(record(tmp_path / "none", fake(BASELINE, 0, 0.7, [0.7]))) is None


def test_marks_are_needed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(UsageError, match="has no <!-- results -->"):
        update_between_marks(page, "x\n")
    page.write_text(f"head\n{BEGIN}\nold\n{END}\ntail\n")
    update_between_marks(page, "new\n")
    assert page.read_text() == f"head\n{BEGIN}\nnew\n{END}\ntail\n"


def test_an_empty_folder_and_a_foreign_file(tmp_path):
    with pytest.raises(UsageError, match="holds no results"):
        read_results(tmp_path)
    write_document(tmp_path / "x.json", {})
    with pytest.raises(CorruptionError, match=r"x\.json is no result"):
        read_results(tmp_path)


@pytest.mark.parametrize(("page", "which"), [("README.md", "summary"), ("docs/evidence.md", "evidence")])
def test_the_pages_are_what_the_results_say(page, which):
    content = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", content, re.DOTALL)
    assert found is not None
    assert found.group(1) == evidence_markdown(read_results(ROOT / "results"), which), "run `make tables`"
