"""The published tables with our columns: what shares a column, what counts as a result, what the page holds."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tools.published import NOT_RUN, SeedRow, seed_entry, seed_tables

from bandwise.commands.report import main
from bandwise.report.tables import to_markdown

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"

ROW = SeedRow(
    name="resnet50",
    dataset="imagenet1k",
    accuracy=77.99,
    target=None,
    crops=10,
    references=("77.15 % of a paper",),
    size="97.69 MB",
    training_time="43.8 h",
    evidence="a log",
    unconfirmed=("It is not known.",),
    parameters=25_557_032,
    mib=97.695,
    gmacs=4.089,
    gmacs_all=16.356,
    activation_bytes=86_000_000,
    activation_bytes_all=344_000_000,
    bytes_per_node=63_000_000_000,
    classes=frozenset({1000}),
    reported_images=frozenset({50_000}),
)


def result(*, crops: int = 1, top1: float = 0.7, seed: int = 0, classes: int = 1000, images: int = 50_000) -> Any:
    return {
        "name": "resnet50",
        "crops": crops,
        "fused": {"top1": top1},
        "config": {"training": {"seed": seed}},
        "data": {"classes": ["x"] * classes},
        "n_total": images,
        "cost": {"wall_s_longest": 3600.0, "wall_s_sum": 14_400.0},
    }


def cells(*results: Any, row: SeedRow = ROW) -> dict[str, str]:
    (table,) = seed_tables([row], {"resnet50": list(results)})
    return dict(zip(table.head, table.rows[0], strict=True))


def test_a_row_that_is_not_run_says_so():
    found = cells()
    assert [found[head] for head in ("top-1, 1 crop", "top-1, 10 crops", "training, longest branch")] == [NOT_RUN] * 3
    assert seed_entry(ROW, {})["measured"] == NOT_RUN


def test_one_crop_and_ten_crops_never_share_a_column():
    found = cells(result(crops=1, top1=0.76), result(crops=10, top1=0.78))
    assert found["top-1, 1 crop"] == "76.00 % (n=1)"
    assert found["top-1, 10 crops"] == "78.00 % (n=1)"
    assert (found["published, 1 crop"], found["published, 10 crops"]) == ("–", "77.99 %")
    unsaid = cells(row=replace(ROW, crops=None, target=80.0))
    assert unsaid["published, 10 crops"] == "–"
    assert unsaid["published, crops not said"] == "77.99 % (80.00 %*)"


def test_seeds_are_averaged_and_their_time_counts_once():
    found = cells(result(top1=0.70, seed=0), result(top1=0.72, seed=1), result(crops=10, top1=0.8, seed=0))
    assert found["top-1, 1 crop"] == "71.00 ± 1.41 % (n=2)"
    assert found["training, longest branch"] == "1 h 00 min"
    assert found["training, summed"] == "4 h 00 min"


@pytest.mark.parametrize("other", [{"classes": 8}, {"images": 40}])
def test_results_on_other_data_are_left_out(other):
    found = cells(result(**other))
    assert found["top-1, 1 crop"] == NOT_RUN
    (table,) = seed_tables([ROW], {"resnet50": [result(**other)]})
    assert "Results on other data are left out: resnet50." in table.note


def test_costs_are_laid_out():
    found = cells()
    assert found["parameters"] == "25,557,032"
    assert (found["GMACs, one"], found["GMACs, all"]) == ("4.09", "16.36")
    assert found["activations MiB, one"] == f"{86_000_000 / 2**20:.2f}"
    assert found["data a node"] == "63.0 GB"
    assert "25,557,032" in to_markdown(seed_tables([ROW], {})[0])


@pytest.mark.parametrize("table", ["seed", "sets"])
def test_the_page_holds_the_generated_tables(table):
    flags = ["--results", str(PAGE.parents[1] / "results")] if table == "seed" else []
    expected = main(["--table", table, *flags, "--json"]).result["table"]
    content = PAGE.read_text(encoding="utf-8")
    found = re.search(f"<!-- {table} -->\n(.*?)<!-- /{table} -->", content, re.DOTALL)
    assert found is not None
    assert found.group(1) == expected, "run `make tables`"


def test_the_page_quotes_the_plans():
    """The small table of savings is written by hand; its figures are those of the plans."""
    from bandwise.commands.plan import main as plan

    content = PAGE.read_text(encoding="utf-8")
    for name, memory in (("resnet34-sub16", "{:.1f} GB (1.3)"), ("resnet34-sub4-lean", "{:.1f} GB (3.4)")):
        result = plan([name]).result
        assert memory.format(result["claims"][0]["this_design"]["after"]) in content
        assert f"to {result['batch_ceiling']:,}" in content


def test_marks_are_needed(tmp_path, capsys):
    from bandwise import cli

    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    assert cli.main(["report", "--table", "sets", "--into", str(page)]) == 2
    assert "has no <!-- sets -->" in capsys.readouterr().err
