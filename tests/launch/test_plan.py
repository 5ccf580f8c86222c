"""Plans and systems of equal cost against arithmetic by hand, and the published claims beside them."""

import json
from dataclasses import replace

import pytest
import torch
from tests.pictures import make_folder

from bandwise import cli
from bandwise.commands.plan import main
from bandwise.config import RunConfig, SplitConfig, TrainingConfig
from bandwise.errors import UsageError
from bandwise.launch import plan as plan_module
from bandwise.launch.cost import figures, matched
from bandwise.launch.plan import measure_steps
from bandwise.recipes.catalog import find_recipe
from bandwise.recipes.recipe import changed, facts_of
from bandwise.training.memory import CONTEXT_BYTES, StepMemory, state_values_a_parameter
from bandwise.training.optim import create_optimizer

PARAMETERS = 21_797_672


def plan(*argv: str) -> dict:
    result = main([*argv, "--json"]).result
    json.dumps(result, allow_nan=False)
    return result


def test_the_lean_row_saves_what_was_published():
    dense = plan("resnet34-sub16")
    assert round(dense["less_than_whole_image"]["activation_bytes_per_image"], 1) == 1.3
    result = plan("resnet34-sub4-lean")
    assert result["less_than_whole_image"]["row"] == "resnet34"
    assert result["less_than_whole_image"]["activation_bytes_per_image"] >= 3.9
    assert 0.9 < result["less_than_whole_image"]["activation_bytes_per_image_all"] < 1
    assert result["gmacs"] == pytest.approx(0.965, abs=0.001)
    assert result["gmacs_all"] == pytest.approx(4 * result["gmacs"])
    memory, batch = [claim["this_design"]["ratio"] for claim in result["claims"]]
    assert memory > 3.1
    assert batch > 3.9


def test_memory_and_ceiling_by_hand():
    result = plan("resnet34", "--gpu-memory-gb", "20")
    memory, one = result["memory"], result["activation_bytes_per_image"]
    # Plain momentum keeps one value a parameter.
    assert memory["optimizer_bytes"] == memory["gradients_bytes"] == memory["parameters_bytes"] == 4 * PARAMETERS
    fixed = 3 * 4 * PARAMETERS + 4 * result["buffers"] + CONTEXT_BYTES
    assert memory["fixed_bytes"] == fixed
    assert memory["peak_bytes"] == fixed + 256 * one
    assert result["batch_ceiling"] == int((20e9 - fixed) / one)


def test_a_ceiling_is_the_last_batch_that_fits():
    memory = StepMemory(100, 10, 100, 100, 0, 1000, activations=7)
    ceiling = memory.batch_ceiling(2000)
    assert memory.peak(ceiling) <= 2000 < memory.peak(ceiling + 1)
    assert memory.batch_ceiling(500) == 0


@pytest.mark.parametrize(("flags", "values"), [((), 1), (("--opt", "adamw"), 2), (("--momentum", "0"), 0)])
def test_state_of_the_optimiser(flags, values):
    from bandwise.commands.train import Arguments
    from bandwise.commands.verb import base_config, parse

    base = Arguments(settings=base_config("resnet34", []))
    config = parse(Arguments, list(flags), "train", base).settings
    assert state_values_a_parameter(config) == values
    # A step on a real network of our own, counted by hand.
    network = torch.nn.Linear(40, 30)
    optimizer = create_optimizer(network, config.training)
    network(torch.ones(2, 40)).sum().backward()
    optimizer.step()
    kept = sum(
        value.numel()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    )
    assert kept == values * 30 * 41


def test_bytes_of_imagenet_by_hand():
    result = plan("resnet34-sub4")
    assert result["bytes_per_node"] == 1_281_167 * 128 * 128 * 3
    assert result["bytes_all"] == 1_281_167 * 256 * 256 * 3
    assert result["stored_bytes_per_node_estimated"] < result["bytes_per_node"]
    assert result["trains_from"] == "source images"
    result = plan("in21k-resnet34-sub36-lean")
    assert result["bytes_per_node"] == 12_358_684 * 64 * 64 * 3
    storage = result["claims"][-1]
    assert storage["published"]["after"] == 27.27
    assert storage["this_design"]["after"] == pytest.approx(151.9, abs=0.1)


def test_hours_by_hand():
    assert plan("resnet34-sub4")["hours"] is None
    hours = plan("resnet34-sub4", "--images-per-s", "500", "--epochs", "10")["hours"]
    assert hours["per_branch"] == pytest.approx(10 * round(1_281_167 * 0.98) / 500 / 3600)
    assert hours["summed"] == pytest.approx(4 * hours["per_branch"])


@pytest.mark.parametrize("name", ["resnet34", "resnet34-sub4", "vgg16-sub16", "in21k-resnet34-sub36"])
def test_a_published_row_that_is_measured_has_hours_beside_those_published(name, monkeypatch):
    """At 100 images a second, which stand for what is measured."""
    monkeypatch.setattr(plan_module, "_rate", lambda *_: 100.0)
    outcome = main([name, "--measure"])
    found = find_recipe(name)
    assert found.published is not None
    facts = facts_of(found.config.data)
    assert facts is not None
    images = round(facts.train_images * (1 - found.config.split.holdout))
    assert outcome.result["hours"]["per_branch"] == pytest.approx(found.config.training.epochs * images / 360_000)
    assert f" {outcome.result['hours']['per_branch']:,.0f} h" in outcome.text
    assert f"published for one branch, on other hardware: {found.published.hours:g} h" in outcome.text


def test_a_small_recipe_and_a_measurement():
    result = plan("photos-sub4", "--measure", "--measure-batch", "2")
    assert result["hours"]["images_per_s"] > 0
    assert result["images_per_s_from"].startswith("measured here")
    assert result["less_than_whole_image"]["row"] == "photos-baseline"
    assert result["claims"] == []
    assert result["trains_from"] == "stored bands"


SIZE = {"channels": 3, "num_classes": 5}
MEASURED = RunConfig(
    training=TrainingConfig(crop=32, batch_size=64, grad_accum_steps=2, precision="auto", compile=True)
)


@pytest.fixture
def timed(monkeypatch) -> list[TrainingConfig]:
    """What would be timed, at 100 images a second."""
    seen: list[TrainingConfig] = []
    monkeypatch.setattr(plan_module, "_rate", lambda config, *_: seen.append(config.training) or 100.0)
    return seen


@pytest.mark.parametrize(("batch", "images", "parts"), [(None, 64, 2), (16, 16, 1)])
def test_on_an_accelerator_the_steps_are_those_of_the_recipe(monkeypatch, timed, batch, images, parts):
    monkeypatch.setattr(plan_module, "choose_device", lambda name: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a device")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    found = measure_steps(MEASURED, channels=3, num_classes=5, batch=batch)
    assert (timed[0].batch_size, timed[0].grad_accum_steps) == (images, parts)
    assert found.how == (
        f"measured here on a device in bf16-mixed: compiled steps of {images} random images, without reading or "
        "augmenting"
    )


@pytest.mark.parametrize(
    ("load", "said"), [(0.5, ""), (12.31, ", beside other work (a load of 12.3 on 2 cores)")], ids=["quiet", "busy"]
)
def test_on_a_cpu_few_images_make_a_step(timed, monkeypatch, load, said):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(plan_module, "usable_cores", lambda: 2)
    found = measure_steps(replace(MEASURED, training=replace(MEASURED.training, device="cpu", compile=False)), **SIZE)
    assert (timed[0].batch_size, timed[0].grad_accum_steps) == (8, 1)
    assert found.how.startswith(f"measured here with --threads 1{said}: steps of 8 random images")


def test_a_step_that_does_not_fit_says_what_to_do(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(plan_module, "_rate", full)
    with pytest.raises(UsageError, match="a step of 8 images of custom does not fit on cpu; time fewer with"):
        measure_steps(replace(MEASURED, training=replace(MEASURED.training, device="cpu")), **SIZE)


def test_what_is_in_a_folder_is_counted(tmp_path, capsys):
    root = make_folder(tmp_path / "mine", classes=3, train=8, val=2, side=16)
    (tmp_path / "my.yaml").write_text(f"data: {{data: {root}}}\ntraining: {{crop: 16}}\nsplit: {{canvas: 16}}\n")
    counted = plan(str(tmp_path / "my.yaml"))
    assert "mine: 3 classes, 24 images to train and 6 reported" in capsys.readouterr().err
    given = plan(str(tmp_path / "my.yaml"), "--classes", "3", "--images", "30")
    assert counted["bytes_per_node"] == given["bytes_per_node"]
    assert (counted["classes"], counted["images"], counted["parameters"]) == (3, 30, given["parameters"])
    assert plan(str(tmp_path / "my.yaml"), "--images", "1000")["images"] == 1000
    table = root / "labels.csv"
    table.write_text("file_name,label\ntrain/class-0/000.png,x\ntrain/class-1/001.png,y\n")
    assert plan(str(tmp_path / "my.yaml"), "--labels", str(table))["images"] == 2


def test_activations_are_of_the_training_crop_and_macs_of_the_test_crop():
    whole, smaller = plan("resnet34-sub4-lean"), plan("resnet34-sub4-lean", "--recipe-set", "rsb-a3")
    assert smaller["train_px"] == 80
    ratio = whole["activation_bytes_per_image"] / smaller["activation_bytes_per_image"]
    assert ratio == pytest.approx((112 / 80) ** 2, rel=0.1)
    assert whole["gmacs"] == smaller["gmacs"]
    # The whole-image row is trained by the same set, so the ratio stays one of designs.
    assert smaller["less_than_whole_image"]["activation_bytes_per_image"] > 3.7


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nope"], "the nearest of"),
        ([], "name a recipe"),
        (["resnet34", "--gpu-memory-gb", "0"], "gpu_memory_gb is 0"),
        (["resnet34", "--gpu-memory-gb", "nan"], "gpu_memory_gb is nan"),
        (["resnet34", "--images-per-s", "-1"], "images_per_s is -1"),
        (["resnet34", "--classes", "1"], "classes is 1"),
        (["resnet34", "--measure", "--images-per-s", "5"], "choose one"),
        (["resnet34", "--data", "./mine", "--source", "folder"], "give --classes and --images"),
        (["mnist-fc8", "--train-crop", "14"], "leave --train-crop at 0"),
        (["resnet34", "--wrong"], ""),
    ],
)
def test_bad_input_exits_2(capsys, argv, message):
    assert cli.main(["plan", *argv]) == 2
    assert message in capsys.readouterr().err


BANDS = RunConfig(split=SplitConfig(canvas=64), training=TrainingConfig(crop=56, epochs=4))
TEN = {"channels": 3, "num_classes": 10}


def test_figures_by_hand():
    whole = changed(BANDS, split={"stride": 1, "transform": "identity"})
    one, four = figures(whole, **TEN), figures(BANDS, **TEN)
    assert one["macs_per_node"] == one["macs_all"]
    assert four["macs_all"] == 4 * four["macs_per_node"]
    assert (one["pixels_per_node"], four["pixels_per_node"]) == (64 * 64, 32 * 32)
    long = figures(changed(BANDS, training={"epochs": 12}), **TEN)
    assert long["macs_all"] == 3 * four["macs_all"]


def test_what_is_equal_is_found():
    others = {
        "seeds": changed(BANDS, branches="0;0;0;0"),
        "one": changed(BANDS, branches="0"),
        "one long": changed(BANDS, branches="0", training={"epochs": 16}),
        "two": changed(BANDS, branches="0,1;2,3"),
        "wide": changed(BANDS, network={"model": "resnet18"}),
    }
    assert matched(BANDS, others, **TEN) == {
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
