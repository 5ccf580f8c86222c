"""The tables of pictures of natural size: which systems, which figures, and how their pictures were made."""

from dataclasses import replace

from tests.helpers.results import RECORDED, made_results
from tools.evidence import comparison_table, readme_markdown
from tools.natural import (
    HOW_MADE,
    MAIN_PAIRS,
    PAIRS,
    README_ROWS,
    ROWS,
    VERDICTS,
    natural_table,
    readme_natural_table,
    verdicts,
)
from tools.recorded import read_recorded

from bandwise.recipes.catalog import all_recipes

ONE, WHOLE, BANDS = "imagewoof-whole", "imagewoof-whole4", "imagewoof-sub4"


def made(name, seed, top1, branches, **changes):
    data = replace(RECORDED.data, name="imagewoof-180", digest="0123456789abcdef")
    return made_results(name, seed, top1, branches, data=data, **changes)


FOUND = {
    WHOLE: [made(WHOLE, seed, top1, [0.48, 0.50], head=top1 + 0.03) for seed, top1 in ((0, 0.50), (1, 0.52))],
    BANDS: [made(BANDS, 0, 0.56, [0.46, 0.44], head=0.58)],
}


def test_every_rule_and_the_mean_of_each_branch_stand_in_a_row():
    table = natural_table(FOUND)
    assert table is not None
    assert [row[0] for row in table.rows] == [WHOLE, BANDS]
    assert table.rows[0][2:8] == ("0, 1", "2", "48.0 50.0", "50.00 ± 1.41 %", "51.00 ± 1.41 %", "54.00 ± 1.41 %")
    assert table.rows[1][4:8] == ("46.0 44.0", "55.00 %", "56.00 %", "58.00 %")
    assert HOW_MADE["imagewoof-180"] in table.note
    assert "digests of its stores: dct2d, stride 2: 0123456789ab." in table.note


def test_nothing_recorded_is_no_table():
    assert natural_table({"cifar10-sub4": []}) is None
    assert readme_natural_table(FOUND) is None, "without the one network on the whole image"


def test_comparisons_of_this_size_come_first():
    table = comparison_table(FOUND)
    assert table is not None
    assert table.rows[0][:4] == (
        "equal cost of a node, bands against seeds of the whole image",
        BANDS,
        WHOLE,
        "6.00",
    )
    assert table.rows[1][3] == "5.00"


def test_a_verdict_says_what_is_above_what():
    assert verdicts(FOUND) == [
        "About equal cost of a node, a quarter of its data: four bands are 6.00 points above, with a head on both 5.00 "
        "points above four seeds of the whole image (one seed)."
    ]
    lean = [made("imagewoof-sub4-lean", seed, top1, [0.4]) for seed, top1 in ((0, 0.50), (1, 0.51))]
    whole = [made(ONE, seed, top1, [top1]) for seed, top1 in ((0, 0.51), (1, 0.50))]
    equal = "four lean bands are 0.00 ± 1.41 points above"
    assert equal in verdicts({"imagewoof-sub4-lean": lean, ONE: whole})[0]
    assert (
        "four lean bands are 1.00 points below one network"
        in verdicts({"imagewoof-sub4-lean": lean[:1], ONE: whole})[0]
    )


def test_rows_and_pairs_are_recipes():
    recipes = all_recipes()
    assert set(ROWS) <= set(recipes)
    assert set(README_ROWS) < set(ROWS)
    assert {name for pair in PAIRS for name, _ in (pair.first, pair.second)} <= set(recipes)
    assert {f"imagewoof-{name}" for pair in VERDICTS for name in pair} <= set(recipes)
    assert MAIN_PAIRS[-1].first == ("imagewoof-sub4-long", "head")


def test_the_readme_shows_this_size_before_the_small_one():
    from pathlib import Path

    one = {ONE: [made(ONE, 0, 0.5, [0.5], head=0.53)]}
    text = readme_markdown(read_recorded(Path(__file__).parents[2] / "results") | FOUND | one)
    assert text.index("160 px") < text.index("32 px")
    assert "| the whole image, four seeds | 2 | 0, 1 | 51.00 ± 1.41 % | 54.00 ± 1.41 % |" in text
