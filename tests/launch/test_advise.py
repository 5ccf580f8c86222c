"""Which division of the work is the better one on some machines, against arithmetic by hand."""

import json
from dataclasses import replace

import pytest
from tests.helpers.results import made_results
from tests.launch.conftest import CONFIG
from tests.launch.test_machines import SETTING, machine
from tools.advice import COMPARED, advice_json

from bandwise.cli import main
from bandwise.errors import UsageError
from bandwise.launch.advise import LABELS, advise, divisions_of
from bandwise.launch.cost import SAME_COST, branch_cost, figures
from bandwise.recipes.catalog import all_recipes, compared_divisions
from bandwise.recipes.recipe import facts_of

BEHIND = [{"first": "bands", "second": "whole", "points": -1.0}, {"first": "context", "second": "whole", "points": 2.0}]
BEHIND.append({"first": "bands", "second": "joint", "points": -3.0})


def test_the_divisions_are_those_of_the_experiment():
    found = divisions_of(CONFIG)
    assert set(found) == set(LABELS)
    assert {name: config.groups() for name, config in found.items()} == {
        "whole": ((0,),),
        "whole seeds": ((0,),) * 4,
        "bands": ((0,), (1,), (2,), (3,)),
        "context": ((0,), (0, 1), (0, 2), (0, 3)),
        "joint": ((0, 1, 2, 3),),
        "joint seeds": ((0, 1, 2, 3),) * 4,
    }
    assert [found[name].split.stride for name in ("whole", "joint")] == [1, 2]
    assert found["joint"].training.epochs == 4 * found["bands"].training.epochs


def test_one_machine_takes_one_network_and_four_take_bands_only_for_the_time():
    alone = advise(CONFIG, SETTING, [machine("one")], BEHIND)
    assert alone.verdict.startswith("one network on one machine is the better choice: ")
    assert alone.verdict.endswith("bands on several machines are not done before it")
    several = advise(CONFIG, SETTING, [machine(name) for name in "abcd"], BEHIND)
    assert "bands were behind one network in 2 of 3 comparisons" in several.verdict
    assert len(several.evidence) == 3
    ahead = advise(CONFIG, SETTING, [machine(name) for name in "abcd"], [{**each, "points": 1.0} for each in BEHIND])
    assert ahead.verdict.startswith("bands, a network each: done in ")


def test_rates_follow_the_multiply_adds():
    """Ten images a second of the largest branch of the experiment, which sees a band."""
    found = {each.name: each for each in advise(CONFIG, SETTING, [machine("one")], []).divisions}
    size = {"channels": 3, "num_classes": 3}
    ratio = branch_cost(divisions_of(CONFIG)["whole"], 0, **size).macs / branch_cost(CONFIG, 0, **size).macs
    days = 2 * SETTING.train_images * ratio / 10 / 86_400
    assert found["whole"].assignment is not None
    assert found["whole"].assignment.days == pytest.approx(days)


def test_what_does_not_fit_is_left_out_with_its_reason():
    config = replace(CONFIG, training=replace(CONFIG.training, batch_size=256))
    steps = {
        each.name: each.assignment.shares[0].step_gb
        for each in advise(config, SETTING, [machine("one")], []).divisions
        if each.assignment is not None
    }
    between = (steps["bands"] + steps["whole"]) / 2
    found = advise(config, SETTING, [machine("small", memory_gb=between)], BEHIND)
    divisions = {each.name: each for each in found.divisions}
    assert "a step of 256 images takes" in str(divisions["whole"].why_not)
    assert divisions["bands"].why_not is None
    assert [each["second"] for each in found.evidence] == ["joint"]
    none = advise(config, SETTING, [machine("tiny", memory_gb=0.001)], BEHIND)
    assert none.verdict.startswith("nothing fits on these machines")
    assert none.evidence == ()


def test_the_comparisons_are_of_recipes_of_equal_cost_and_figures_are_by_hand():
    names = all_recipes()
    assert all(first in LABELS and second in LABELS for first, second, *_ in COMPARED)
    assert all(name in names for *_, own, other in COMPARED for name in (own, other))
    for *_, cost, own, other in COMPARED:
        facts = facts_of(names[own].config.data)
        assert facts is not None
        size, key = {"channels": 3, "num_classes": facts.classes}, {"in all": "macs_all", "of a node": "macs_per_node"}
        first, second = (figures(names[name].config, **size)[key[cost]] for name in (own, other))
        assert max(first, second) < SAME_COST * min(first, second), (own, other)
    assert {(each["first"], each["second"]) for each in compared_divisions()} <= {row[:2] for row in COMPARED}
    made = {
        name: [made_results(name, seed, top1 + seed / 100, [0.5]) for seed in (0, 1)]
        for name, top1 in (("photos-sub4", 0.7), ("photos-baseline", 0.6))
    }
    (only,) = json.loads(advice_json(made))
    assert (only["points"], only["seeds"], only["with_head"]) == (10.0, 2, None)


def test_the_command_needs_machines_and_no_recipe(tmp_path, capsys):
    file = tmp_path / "machines.yaml"
    file.write_text("machines: [{name: a, memory_gb: 40, disk_gb: 100, images_per_s: 100}]")
    flags = ["plan", "--data", "photos", "--canvas", "64", "--crop", "56", "--advise"]
    assert main(flags) == UsageError.exit_code
    assert "describe them with --machines" in capsys.readouterr().err
    assert main([*flags, "--machines", str(file)]) == 0
    said = capsys.readouterr().out
    assert "one network on one machine is the better choice" in said
    assert "bands minus whole, equal cost in all: -" in said
    assert "docs/evidence.md" in said
    assert main([*flags, "--machines", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["divisions"][0]["name"] == "whole"


def test_divisions_of_several_networks_are_not_compared():
    config = replace(CONFIG, network=replace(CONFIG.network, model=";".join(["resnet8"] * len(CONFIG.groups()))))
    with pytest.raises(UsageError, match="--advise compares divisions of one network, not resnet8;"):
        advise(config, SETTING, [machine("one")], [])
