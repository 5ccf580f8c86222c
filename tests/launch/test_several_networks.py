"""A network of its own for every branch of a run."""

from dataclasses import replace

import pytest
import torch
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.errors import UsageError
from bandwise.export.bundle import write_bundle
from bandwise.launch.check import check_run
from bandwise.launch.cost import answer_bytes, branch_cost, require_networks
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.launch.pipeline import train_branches
from bandwise.runs.run import Run, create_run
from bandwise.serving.ensemble import SpectralEnsemble

MODELS = ("resnet8", "resnet8-slim")
SIZE = {"channels": 3, "num_classes": 3}


def with_model(model: str):
    return replace(CONFIG, branches="0;3", network=replace(CONFIG.network, model=model))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, finished) -> Run:
    run = create_run(tmp_path_factory.mktemp("mixed") / "run", with_model(";".join(MODELS)), finished / "store")
    train_branches(run)
    fuse_run(run)
    evaluate_run(run)
    return run


@pytest.mark.parametrize("branch", [0, 1])
def test_a_branch_has_the_weights_of_a_run_of_its_network(mixed, finished, tmp_path, branch):
    alone = create_run(tmp_path / "run", with_model(MODELS[branch]), finished / "store")
    train_branches(alone, (branch,))
    assert weights_digest(alone.branch_folder(branch)) == weights_digest(mixed.branch_folder(branch))


def test_every_branch_costs_what_its_network_costs(mixed):
    found = [branch_cost(mixed.config, branch, **SIZE) for branch in (0, 1)]
    assert found == [branch_cost(with_model(model), 0, **SIZE) for model in MODELS]
    assert found[0].params > found[1].params
    headed = replace(mixed.config, fusion=replace(mixed.config.fusion, rule="head"))
    one = replace(with_model(MODELS[0]), fusion=headed.fusion)
    counts = {"train": 100, "others": 10}
    assert answer_bytes(headed, **SIZE, **counts) == answer_bytes(one, **SIZE, **counts)


def test_the_run_is_whole_fuses_features_and_is_released(mixed, tmp_path):
    assert not check_run(mixed.path).problems
    fuse_run(mixed, rule="head")
    ensemble = SpectralEnsemble.from_run(mixed.path)
    write_bundle(mixed, tmp_path / "model")
    released = SpectralEnsemble.from_pretrained(tmp_path / "model")
    images = torch.randint(0, 256, (2, ensemble.channels, ensemble.canvas, ensemble.canvas), dtype=torch.uint8)
    torch.testing.assert_close(released(images), ensemble(images), rtol=0, atol=0)


@pytest.mark.parametrize("model", ["resnet8;resnet8-slim;resnet8", ";;resnet8"])
def test_as_many_networks_as_branches(model):
    with pytest.raises(UsageError, match=r"model is .*; it must be one network, or one for each of 2 branches"):
        require_networks(with_model(model), **SIZE)


def test_other_weights_do_not_fit_another_network():
    config = replace(with_model(";".join(MODELS)), initial_branch=0)
    with pytest.raises(UsageError, match="initial_branch needs one network for every branch, not resnet8;resnet8-slim"):
        require_networks(config, **SIZE)
