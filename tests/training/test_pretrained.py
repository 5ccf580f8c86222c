"""Weights to start from by their names on a hub: fetched once, adapted, and named in the summary."""

import json
from dataclasses import replace

import pytest
from safetensors.torch import save
from tests.helpers.hub import fake_hub, oid
from tests.training.tiny import CONFIG

from bandwise.checkpoints import branch
from bandwise.cli import main
from bandwise.config import NetworkConfig
from bandwise.errors import UsageError
from bandwise.files.regular import sha256_bytes
from bandwise.models.zoo import create_branch
from bandwise.runs.run import create_run
from bandwise.training.start import find_initial

NAME = "timm:test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def weights() -> bytes:
    """What timm would have published: the network for pictures and 1,000 classes."""
    return save(create_branch("timm:test_resnet", num_classes=1000, in_channels=3, input_size=32).state_dict())


@pytest.fixture
def hub(monkeypatch, tmp_path, weights):
    with fake_hub(monkeypatch, tmp_path / "cache") as running:
        running.repositories["models/timm/test_resnet.r160_in1k"] = [{"model.safetensors": weights}]
        yield running


def test_weights_of_timm_by_name(hub, weights, store_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(branch, "create_branch", create_branch)
    network = NetworkConfig(model="timm:test_resnet", initial_checkpoint=NAME)
    run = create_run(tmp_path / "run", replace(CONFIG, network=network))
    assert main(["train", "--out", str(run.path), "--store", str(store_path), "--branch", "1"]) == 0
    said = capsys.readouterr().err
    assert f"starting from {NAME}" in said
    assert "its classifier has 1000 classes" in said
    summary = json.loads((run.branch_folder(1) / "summary.json").read_text())
    assert summary["from_scratch"] is False
    assert summary["initial_checkpoint"] == {"name": NAME, "sha256": sha256_bytes(weights)}


def test_the_flag_the_preferred_tag_and_the_cache(hub, weights, capsys):
    assert main(["train", "--dry-run", "--out", "none", "--pretrained", "timm:test_resnet", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]["network"]
    assert config["initial_checkpoint"] == "timm:test_resnet"
    start = find_initial(NetworkConfig(**config))
    assert start is not None
    assert start.to_dict() == {"name": NAME, "sha256": sha256_bytes(weights)}
    # Once it is there, it needs no hub.
    hub.repositories.clear()
    again = find_initial(NetworkConfig(**config))
    assert again is not None
    assert again.path == start.path


def test_a_repository_at_a_revision(hub, weights):
    hub.repositories["models/me/mine"] = [{"model.safetensors": weights}, {"model.safetensors": b"newer"}]
    found = find_initial(NetworkConfig(initial_checkpoint=f"hf:me/mine@{oid(0)}"))
    assert found is not None
    assert found.to_dict() == {"name": f"hf:me/mine@{oid(0)}", "sha256": sha256_bytes(weights)}
    newest = find_initial(NetworkConfig(initial_checkpoint="hf:me/mine"))
    assert newest is not None
    assert newest.sha256 == sha256_bytes(b"newer")


def test_what_there_is_not(hub):
    def refused(name: str) -> str:
        with pytest.raises(UsageError) as caught:
            find_initial(NetworkConfig(initial_checkpoint=name))
        return str(caught.value)

    assert "did you mean resnet18.a1_in1k" in refused("timm:resnet18.a1_in2k")
    assert "timm has no weights 'nothing.like_it'" in refused("timm:nothing.like_it")
    assert "is no name on a hub" in refused("hf:me")
    assert "the weights of hf:me/none cannot be fetched" in refused("hf:me/none")
    hub.repositories["models/me/pickled"] = [{"pytorch_model.bin": b"a pickle"}]
    assert "model.safetensors" in refused("hf:me/pickled")
    with pytest.raises(UsageError, match=r"timm:NAME or hf:OWNER/NAME"):
        NetworkConfig(initial_checkpoint="weights.pth")
