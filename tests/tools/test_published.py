"""The published tables with our columns: what shares a column, what counts as a result, what the page says by hand."""

from dataclasses import replace

import pytest
from tests.helpers.results import COST, made_results
from tools.blocks import ROOT
from tools.published import NOT_RUN, published_rows, published_table

from bandwise.runs.documents import DataRecord, Results

COLUMNS = ("top-1, 1 crop", "top-1, 10 crops", "training, longest branch")


def result(*, crops: int = 1, top1: float = 0.7, seed: int = 0, classes: int = 1000, images: int = 50_000) -> Results:
    data = DataRecord(name="imagenet1k", classes=("x",) * classes, n_train=900, n_holdout=100, skipped=0)
    cost = replace(COST, wall_s_longest=3600.0, wall_s_sum=14_400.0)
    return made_results("resnet50", seed, top1, [0.5], crops=crops, data=data, n_total=images, cost=cost)


def table_of(*results: Results):
    return published_table("imagenet1k", published_rows({"resnet50": list(results)}))


def cells(*results: Results, name: str = "resnet50") -> dict[str, str]:
    table = table_of(*results)
    return dict(zip(table.head, next(row for row in table.rows if row[0] == name), strict=True))


def test_a_row_that_is_not_run_says_so():
    assert [cells()[head] for head in COLUMNS] == [NOT_RUN] * 3


def test_one_crop_and_ten_crops_never_share_a_column():
    found = cells(result(crops=1, top1=0.76), result(crops=10, top1=0.78))
    assert found["top-1, 1 crop"] == "76.00 % (n=1)"
    assert found["top-1, 10 crops"] == "78.00 % (n=1)"
    assert (found["published, 1 crop"], found["published, 10 crops"]) == ("–", "77.99 %")
    not_said = cells(name="vgg16-sub4")
    assert not_said["published, 10 crops"] == "–"
    assert not_said["published, crops not said"] == "72.82 % (75.00 %*)"


def test_seeds_are_averaged_and_their_time_counts_once():
    found = cells(result(top1=0.70, seed=0), result(top1=0.72, seed=1), result(crops=10, top1=0.8, seed=0))
    assert found["top-1, 1 crop"] == "71.00 ± 1.41 % (n=2)"
    assert found["training, longest branch"] == "1 h 00 min"
    assert found["training, summed"] == "4 h 00 min"


@pytest.mark.parametrize("other", [{"classes": 8}, {"images": 40}])
def test_results_on_other_data_are_left_out(other):
    assert cells(result(**other))["top-1, 1 crop"] == NOT_RUN
    assert "Results on other data are left out: resnet50." in table_of(result(**other)).note


def test_costs_are_laid_out():
    found = cells()
    assert found["parameters"] == "25,557,032"
    assert found["MiB"] == "97.70", "with buffers, as published"
    assert (found["GMACs, one"], found["data a node"]) == ("4.09", "252 GB")


def test_the_page_quotes_the_plans():
    """The small table of savings is written by hand; its figures are those of the plans."""
    from bandwise.commands.plan import main as plan

    content = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for name, memory in (("resnet34-sub16", "{:.1f} GB (1.3)"), ("resnet34-sub4-lean", "{:.1f} GB (3.4)")):
        result = plan([name]).result
        assert memory.format(result["claims"][0]["this_design"]["after"]) in content
        assert f"to {result['batch_ceiling']:,}" in content
