"""The table of evidence comes from `results/` and from nowhere else."""

import re
from pathlib import Path

import pytest

from bandwise.commands.report import _COMPARISONS
from bandwise.errors import CorruptionError, UsageError
from bandwise.report.evidence import (
    BEGIN,
    END,
    conclusion,
    evidence_markdown,
    gain_over_branches,
    read_results,
    update_between_marks,
)
from bandwise.sealing import write_document

ROOT = Path(__file__).parents[2]


def fake(name: str, seed: int, fused: float, branches: list[float]) -> dict:
    cost = {"params_total": 4e6, "macs_per_branch": 1e6, "macs_total": 4e6, "wall_s_longest": 60.0}
    return {
        "format": "bandwise-results",
        "name": name,
        "config": {"training": {"seed": seed}},
        "environment": {"hardware": {"processor": "P", "accelerator": None}, "versions": {"torch": "2"}},
        "data": {"name": "photos"},
        "n_eval": 100,
        "branches": [{"top1": value} for value in branches],
        "fused": {"top1": fused, "nll": 1.0},
        "reference": {"best_branch": {"top1": branches[0]}},
        "cost": {**cost, "wall_s_sum": 240.0, "store_bytes_per_branch": 1e6},
    }


@pytest.fixture
def results(tmp_path):
    runs = [
        fake("a", 1, 0.72, [0.70, 0.60]),
        fake("a", 0, 0.70, [0.71, 0.60]),
        fake("b", 0, 0.69, [0.69]),
        fake("b", 1, 0.73, [0.73]),
    ]
    for run in runs:
        write_document(tmp_path / f"{run['name']}-seed{run['config']['training']['seed']}.json", run)
    return read_results(tmp_path)


def test_mean_and_spread_by_hand(results):
    text = evidence_markdown(results, [("a", "b")])
    row = next(line for line in text.splitlines() if line.startswith("| a "))
    # 70 and 72: mean 71, sample standard deviation sqrt(2); gains over the chosen branch -1 and +2.
    assert "71.00 ± 1.41 %" in row
    assert "0.50 ± 2.12" in row
    assert "0, 1" in row


def test_the_conclusion_compares_seed_by_seed(results):
    # 70 - 69 = +1 and 72 - 73 = -1.
    assert "0.00 ± 1.41 points over 2 seeds" in conclusion(results, "a", "b")
    assert conclusion(results, "a", "c") == ""


def test_the_gain_over_the_branches_is_counted(results):
    # 70 against 71 is below, 72 against 70 above.
    assert "in 1 of 2 seeds, by 0.50 ± 2.12 points" in gain_over_branches(results, "a")
    assert gain_over_branches(results, "c") == ""


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


def test_the_readme_is_what_the_results_say():
    content = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", content, re.DOTALL)
    assert found is not None
    assert found.group(1) == evidence_markdown(read_results(ROOT / "results"), _COMPARISONS)
