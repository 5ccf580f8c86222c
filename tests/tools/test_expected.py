"""What `bandwise recipes` says of a recipe is what the recorded results say."""

import dataclasses
import json
from pathlib import Path

from tests.tools.test_evidence import fake, record
from tools.blocks import read_results
from tools.expected import expected_json

from bandwise.commands.recipes import main as recipes_command
from bandwise.commands.report import main as report_command
from bandwise.recipes.catalog import find_recipe
from bandwise.recipes.recipe import NOT_MEASURED

ROOT = Path(__file__).parents[2]


def test_the_shipped_figures_are_those_of_the_results():
    shipped = (ROOT / "src/bandwise/recipes/measured.json").read_text(encoding="utf-8")
    assert shipped == expected_json(read_results(ROOT / "results")), "run `make tables`"


def test_figures_by_hand(tmp_path):
    heads = [{"learned": {"top1": 0.7}, "head": {"top1": top1}} for top1 in (0.80, 0.82)]
    runs = [
        fake("a", seed, fused, [0.5, 0.4], fusion={"rule": "learned"}, rules=rules)
        for seed, fused, rules in zip((0, 1), (0.70, 0.72), heads, strict=True)
    ]
    single = fake("b", 3, 0.5, [0.5], fusion={"rule": "learned"})
    del single["cost"]["cpu_s_sum"]
    found = json.loads(expected_json(record(tmp_path, *runs, single)))
    assert found == {
        "a": {
            "cost": "4 min 00 s to train all branches on P, torch 2",
            "expected": "top-1 71.00 ± 1.41 %, with a head 81.00 ± 1.41 % (seeds 0, 1; 100 images)",
        },
        "b": {"cost": "training time not measured", "expected": "top-1 50.00 % (seed 3; 100 images)"},
    }


def test_a_recipe_says_its_figures_and_one_that_nobody_ran_says_so():
    measured = json.loads((ROOT / "src/bandwise/recipes/measured.json").read_text(encoding="utf-8"))
    recipe = find_recipe("cifar10-sub4")
    assert {"cost": recipe.cost, "expected": recipe.expected} == measured["cifar10-sub4"]
    assert recipe.expected in recipes_command(["cifar10-sub4"]).text
    assert "% " not in recipes_command(["cifar10-sub4"]).text.splitlines()[0]
    listed = {line.split()[0]: line for line in recipes_command([]).text.splitlines() if line}
    assert listed["cifar10-sub4"].endswith(" %]")
    assert find_recipe("cifar10-resnet34-sub4").expected == NOT_MEASURED
    assert listed["cifar10-resnet34-sub4"].endswith("for an accelerator.")


def test_figures_of_one_recipe_say_nothing_of_it_under_another_set():
    text = recipes_command(["cifar10-sub4", "--recipe-set", "seed"]).text
    assert f"expected  {NOT_MEASURED}" in text


def test_the_command_writes_whole_files(tmp_path):
    out = tmp_path / "measured.json"
    outcome = report_command(["--results", str(ROOT / "results"), "--table", "expected", "--into", str(out)])
    assert out.read_text(encoding="utf-8") == outcome.text
    assert (
        dataclasses.asdict(find_recipe("cifar10-baseline"))["cost"]
        == outcome.result["expected"]["cifar10-baseline"]["cost"]
    )
