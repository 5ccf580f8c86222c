"""A recorded result is repeated from its own configuration, to the last digit, and a changed figure is found."""

import pytest
from tests.pictures import make_folder

from bandwise.commands.reproduce import differing, main
from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.files.documents import read_document, write_document
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.pipeline import run
from bandwise.runs.run import open_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The results of a run of two branches, with a head."""
    root = tmp_path_factory.mktemp("reproduce")
    pictures = make_folder(root / "pictures", classes=3, train=10, val=4, side=20)
    config = RunConfig(
        name="tiny",
        data=DataConfig(data=str(pictures)),
        split=SplitConfig(stride=2, canvas=16, holdout=0.2),
        branches="0;1",
        network=NetworkConfig(model="resnet8-slim", stem="dense"),
        training=TrainingConfig(crop=16, epochs=1, batch_size=6, seed=4),
        augment=AugmentConfig(hflip=0.5),
    )
    run(config, root / "run")
    evaluate_run(open_run(root / "run"), with_head=True)
    return root / "run" / "results.json"


def test_a_repetition_is_equal_to_the_last_digit(recorded, tmp_path):
    outcome = main([str(recorded), "--out", str(tmp_path / "again")])
    assert outcome.exit_code == 0, outcome.text
    assert "every figure is equal to the last digit" in outcome.text
    assert "head" in read_document(tmp_path / "again" / "results.json")["rules"]


def test_a_changed_figure_is_found(recorded, tmp_path):
    content = read_document(recorded)
    content["branches"][1]["nll"] += 1e-15
    content["rules"]["head"]["top1"] += 0.25
    write_document(tmp_path / "changed.json", content)
    outcome = main([str(tmp_path / "changed.json"), "--out", str(tmp_path / "again")])
    assert outcome.exit_code == 1
    assert "2 figures differ" in outcome.text
    assert "branches[1].nll: " in outcome.text
    assert "processor and versions are those of the record" in outcome.text


def test_another_machine_is_named_beside_the_difference(recorded, tmp_path):
    content = read_document(recorded)
    content["branches"][1]["nll"] += 1e-15
    hardware = content["environment"]["hardware"]
    here, hardware["processor"], hardware["cores"] = hardware["processor"], "another processor", 1000
    write_document(tmp_path / "changed.json", content)
    outcome = main([str(tmp_path / "changed.json"), "--out", str(tmp_path / "again")])
    assert outcome.exit_code == 1
    assert outcome.result["environment"] == [f"processor: 'another processor' -> {here!r}"]
    assert f"here other than recorded:\n  processor: 'another processor' -> {here!r}" in outcome.text


def test_time_and_sizes_are_not_compared(recorded):
    content = read_document(recorded)
    other = read_document(recorded)
    other["branches"][0]["wall_s"] = 1e9
    other["cost"]["wall_s_sum"] = 1e9
    other["new figure"] = other["branches"][0]["new"] = 1
    assert list(differing(content, other)) == []
    del other["branches"][0]["nll"]
    assert [line.partition(":")[0] for line in differing(content, other)] == ["branches[0].nll"]


def test_what_is_no_result_is_refused(recorded, tmp_path):
    with pytest.raises(CorruptionError, match="is no result of a run"):
        main([str(recorded.with_name("run.json")), "--out", str(tmp_path / "again")])
    write_document(tmp_path / "ten.json", {**read_document(recorded), "crops": 10})
    with pytest.raises(UsageError, match="is a result of 10 crops"):
        main([str(tmp_path / "ten.json"), "--out", str(tmp_path / "again")])


@pytest.mark.parametrize(
    "name", ["name", "config", "rules", "fused", "branches", "environment", "environment.hardware", "fused.top1"]
)
def test_a_result_that_lacks_something_is_refused_before_anything_is_trained(recorded, tmp_path, name):
    content = read_document(recorded)
    *above, last = name.split(".")
    place = content
    for key in above:
        place = place[key]
    del place[last]
    write_document(tmp_path / "less.json", content)
    with pytest.raises(CorruptionError, match=f"lacks {name}"):
        main([str(tmp_path / "less.json"), "--out", str(tmp_path / "again")])
    assert not (tmp_path / "again").exists()


def test_other_images_are_named(recorded, tmp_path):
    content = read_document(recorded)
    content["data"]["digest"] = "0" * 64
    content["fused"]["nll"] += 1
    write_document(tmp_path / "changed.json", content)
    outcome = main([str(tmp_path / "changed.json"), "--out", str(tmp_path / "again")])
    assert outcome.result["environment"] == ["data: the store is of other images, classes or pixels"]
