"""Systems of equal cost, and what the plan of a recipe says of them."""

from bandwise.commands.plan import main
from bandwise.config import RunConfig, SplitConfig, TrainingConfig
from bandwise.launch.cost import figures, matched
from bandwise.recipes.recipe import changed

BANDS = RunConfig(split=SplitConfig(canvas=64), training=TrainingConfig(crop=56, epochs=4))
SIZE = {"channels": 3, "num_classes": 10}


def test_figures_by_hand():
    whole = changed(BANDS, split={"stride": 1, "transform": "identity"})
    one, four = figures(whole, **SIZE), figures(BANDS, **SIZE)
    assert one["macs_per_node"] == one["macs_all"]
    assert four["macs_all"] == 4 * four["macs_per_node"]
    assert (one["pixels_per_node"], four["pixels_per_node"]) == (64 * 64, 32 * 32)
    long = figures(changed(BANDS, training={"epochs": 12}), **SIZE)
    assert long["macs_all"] == 3 * four["macs_all"]


def test_what_is_equal_is_found():
    others = {
        "seeds": changed(BANDS, branches="0;0;0;0"),
        "one": changed(BANDS, branches="0"),
        "one long": changed(BANDS, branches="0", training={"epochs": 16}),
        "two": changed(BANDS, branches="0,1;2,3"),
        "wide": changed(BANDS, network={"model": "resnet18"}),
    }
    assert matched(BANDS, others, **SIZE) == {
        "macs_per_node": ["seeds", "one", "two"],
        "macs_all": ["seeds", "one long"],
        "pixels_per_node": ["seeds", "one"],
    }


def test_the_plan_of_a_recipe_names_its_controls():
    outcome = main(["imagewoof-sub4-lean"])
    assert outcome.result["matched"]["macs_per_node"] == ["imagewoof-whole-slim"]
    assert "  equal cost of training a node: imagewoof-whole-slim\n" in outcome.text
    found = outcome.result["matched"]["macs_all"]
    assert {"imagewoof-whole", "imagewoof-joint4"} <= set(found)
    assert "imagewoof-whole4" not in found
    assert "imagewoof-lowres4" in outcome.result["matched"]["pixels_per_node"]
    assert main(["imagewoof-sub4-lean", "--recipe-set", "rsb-a3"]).result["matched"] is None
