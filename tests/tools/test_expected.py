"""What `bandwise recipes` says of a recipe is what the recorded results say."""

import json
from dataclasses import replace

from tests.helpers.results import COST, made_results
from tools.blocks import BLOCKS
from tools.expected import expected_json

from bandwise.commands.recipes import main as recipes
from bandwise.recipes.catalog import find_recipe
from bandwise.recipes.recipe import NOT_MEASURED


def test_figures_by_hand():
    runs = [made_results("a", seed, top1, [0.5, 0.4], head=top1 + 0.1) for seed, top1 in ((0, 0.70), (1, 0.72))]
    single = made_results("b", 3, 0.5, [0.5], cost=replace(COST, cpu_s_sum=None))
    assert json.loads(expected_json({"a": runs, "b": [single]})) == {
        "a": {
            "cost": "4 min 00 s to train all branches on P, torch 2",
            "expected": "top-1 71.00 ± 1.41 %, with a head 81.00 ± 1.41 % (seeds 0, 1; 100 images)",
        },
        "b": {"cost": "training time not measured", "expected": "top-1 50.00 % (seed 3; 100 images)"},
    }


def test_a_recipe_says_its_figures_and_one_that_nobody_ran_says_so():
    measured = json.loads(BLOCKS["expected"].written())
    recipe = find_recipe("cifar10-sub4")
    assert {"cost": recipe.cost, "expected": recipe.expected} == measured["cifar10-sub4"]
    assert recipe.expected in recipes(["cifar10-sub4"]).text
    assert "% " not in recipes(["cifar10-sub4"]).text.splitlines()[0]
    listed = {line.split()[0]: line for line in recipes([]).text.splitlines() if line}
    assert listed["cifar10-sub4"].endswith(" %]")
    assert find_recipe("cifar10-resnet34-sub4").expected == NOT_MEASURED
    assert listed["cifar10-resnet34-sub4"].endswith("for an accelerator.")


def test_figures_of_one_recipe_say_nothing_of_it_under_another_set():
    assert f"expected  {NOT_MEASURED}" in recipes(["cifar10-sub4", "--recipe-set", "seed"]).text
