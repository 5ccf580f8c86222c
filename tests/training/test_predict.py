"""The answers of a trained branch: whose they are, what is refused, and what of a stranger's branch is believed."""

import json
import resource
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.helpers.scores import score
from tests.training.tiny import CONFIG, CrashError, crash_at, make_store, tiny_network, with_training

from bandwise.checkpoints import branch as branch_module
from bandwise.checkpoints.branch import NotFinishedError, load_branch
from bandwise.checkpoints.folder import average_weights, read_checkpoint, steps
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.evaluation.views import BandViews
from bandwise.files.documents import json_bytes, read_json
from bandwise.files.regular import sha256_bytes
from bandwise.runs.logits import read_logits
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import open_store
from bandwise.training.predict import write_answers
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(store_path, tmp_path_factory) -> Path:
    """Branch 1 of CONFIG, finished."""
    folder = tmp_path_factory.mktemp("trained") / "branch-01"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branch_module, "create_branch", tiny_network)
        train_branch(CONFIG, store_path, folder, 1)
    return folder


def by_hand(weights: dict[str, torch.Tensor], store_path: Path, split: str) -> np.ndarray:
    """Return the logits of the central 10 of 12 px of band 1, without any of our code but the network and the store."""
    store = open_store(store_path)
    network = tiny_network("tiny", num_classes=3, in_channels=3, input_size=10)
    network.load_state_dict(weights)
    images = torch.cat([batch.images.float().clone() for batch in BatchStream(store, (1,), split, 4).batches()])
    mean, std = (torch.tensor(moments((1,))).float().view(1, 3, 1, 1) for moments in (store.mean, store.std))
    with torch.no_grad():
        return network.eval()(((images - mean) / std)[..., 1:11, 1:11]).numpy()


@pytest.mark.parametrize("split", ["holdout", "val"])
def test_every_sample_stands_once_in_the_order_of_the_ids(store_path, trained, tmp_path, split):
    out = tmp_path / "logits" / "branch-01.safetensors"
    write_answers(CONFIG, store_path, trained, 1, logits=out, split=split)
    found, store = read_logits(out), open_store(store_path)
    assert np.array_equal(found.ids, store.ids(split))
    assert np.array_equal(found.labels, store.labels(split))
    assert found.logits.dtype == np.float32
    assert found.logits.shape == (9, 3)
    classes = sha256_bytes(json_bytes(["class-0", "class-1", "class-2"]))
    weights = sha256_bytes((steps(trained)[0] / "model.safetensors").read_bytes())
    facts = {"branch": "1", "split": split, "crops": "1", "store": store.digest, "classes": classes}
    assert found.meta == {**facts, "views": "bands", "weights": weights}


@pytest.mark.parametrize("average", [True, False])
def test_the_logits_are_those_of_the_moving_average_or_else_of_the_last_weights(store_path, tmp_path, average):
    config, folder = with_training(model_ema=average), tmp_path / "branch"
    train_branch(config, store_path, folder, 1)
    write_answers(config, store_path, folder, 1, logits=tmp_path / "a", split="val")
    found, checkpoint = read_logits(tmp_path / "a").logits, read_checkpoint(steps(folder)[0])
    weights = average_weights(checkpoint) if average else checkpoint.model
    np.testing.assert_allclose(found, by_hand(weights, store_path, "val"), rtol=1e-5, atol=1e-5)
    assert average == (np.abs(found - by_hand(checkpoint.model, store_path, "val")).max() > 1e-3)


def test_metrics_of_the_training_are_those_of_the_holdout_logits(store_path, trained, tmp_path):
    write_answers(CONFIG, store_path, trained, 1, logits=tmp_path / "a", split="holdout")
    found = read_logits(tmp_path / "a")
    metrics = score(torch.from_numpy(np.array(found.logits)), torch.from_numpy(found.labels))
    assert read_json(trained / "summary.json")["holdout"] == asdict(metrics)


def test_loading_gives_a_frozen_network_and_leaves_the_random_numbers_alone(trained):
    torch.manual_seed(4)
    before = torch.get_rng_state()
    branch = load_branch(trained)
    network, state = branch.network, branch.state
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert state["bands"] == [1]
    assert state["store"]["classes"] == ["class-0", "class-1", "class-2"]
    assert state["config"]["split"]["stride"] == 2
    assert np.shape(state["store"]["mean"]) == np.shape(state["store"]["std"]) == (1, 3)


def test_an_unfinished_branch_is_refused(store_path, tmp_path):
    with pytest.raises(CrashError):
        train_branch(CONFIG, store_path, tmp_path, 1, on_step=crash_at(9))
    with pytest.raises(NotFinishedError, match=r"is trained for 8 of 12 steps; run `bandwise train`"):
        load_branch(tmp_path)


def test_another_branch_configuration_or_store_is_refused(store_path, trained, tmp_path):
    out = tmp_path / "a"
    with pytest.raises(IncompatibleError, match=r"bands: \[1\] -> \[2\]\n  branch: 1 -> 2"):
        write_answers(CONFIG, store_path, trained, 2, logits=out, split="val")
    with pytest.raises(IncompatibleError, match=r"training\.lr: 0\.05 -> 0\.1"):
        write_answers(with_training(lr=0.1), store_path, trained, 1, logits=out, split="val")
    other = replace(CONFIG, split=replace(CONFIG.split, split_seed=5))
    with pytest.raises(IncompatibleError, match="other samples, classes or pixels"):
        write_answers(CONFIG, make_store(tmp_path, other), trained, 1, logits=out, split="val")
    assert not out.exists()


def test_an_empty_split_is_refused(tmp_path):
    config = replace(CONFIG, split=replace(CONFIG.split, holdout=0.0))
    store = make_store(tmp_path, config)
    train_branch(config, store, tmp_path / "branch", 0)
    with pytest.raises(UsageError, match="has no holdout samples"):
        write_answers(config, store, tmp_path / "branch", 0, logits=tmp_path / "a", split="holdout")


@pytest.mark.parametrize("crops", [1, 10])
def test_the_logits_of_the_crops_are_averaged(store_path, trained, tmp_path, crops):
    write_answers(CONFIG, store_path, trained, 1, logits=tmp_path / "a", split="val", crops=crops)
    network, store = load_branch(trained).network, open_store(store_path)
    (batch,) = BatchStream(store, (1,), "val", 9).batches()
    with torch.no_grad():
        each = torch.stack([network(view) for view in BandViews(store, (1,), 10, crops, CPU)(batch.images)])
    assert len(each) == crops
    found = read_logits(tmp_path / "a")
    assert found.meta["crops"] == str(crops)
    np.testing.assert_allclose(found.logits, each.mean(0).numpy(), atol=1e-5)


def test_logits_and_features_of_one_pass_are_those_of_two(store_path, trained, tmp_path, monkeypatch):
    both, apart = tmp_path / "both", tmp_path / "apart"
    passes = []
    batches = BatchStream.batches
    monkeypatch.setattr(BatchStream, "batches", lambda self: passes.append(self) or batches(self))
    options = {"split": "holdout", "mirrored": True}
    write_answers(CONFIG, store_path, trained, 1, logits=both / "logits", features=both / "features", **options)
    assert len(passes) == 1
    write_answers(CONFIG, store_path, trained, 1, logits=apart / "logits", split="holdout")
    write_answers(CONFIG, store_path, trained, 1, features=apart / "features", **options)
    assert len(passes) == 3
    for name in ("logits", "features"):
        assert (both / name).read_bytes() == (apart / name).read_bytes()


def redescribed(trained: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a branch with another description, and a COMMIT.json that fits it: what a stranger could send."""
    path = steps(Path(shutil.copytree(trained, folder)))[0]
    state, commit = (json.loads((path / name).read_text()) for name in ("state.json", "COMMIT.json"))
    change(state)
    content = json_bytes(state)
    (path / "state.json").write_bytes(content)
    commit["files"]["state.json"] = {"bytes": len(content), "sha256": sha256_bytes(content)}
    (path / "COMMIT.json").write_bytes(json_bytes(commit))
    return folder


def test_a_description_of_a_huge_network_is_refused_before_memory_is_taken(trained, tmp_path):
    """A million classes of a network with 300 million weights: named, not allocated."""
    many = [str(number) for number in range(10**6)]
    folder = redescribed(trained, tmp_path / "branch", lambda state: state["store"].update(classes=many))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IncompatibleError, match=r"of another shape: classifier\.2\.bias, classifier\.2\.weight"):
        load_branch(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bands"), "does not describe a branch: 'bands'"),
        (lambda state: state["config"]["network"].update(model=7), "network|model"),
        (lambda state: state["config"]["split"].update(stride=10**9), "stride"),
        (lambda state: state["config"]["training"].update(target="os.system"), "unknown key target"),
        (lambda state: state["store"].update(classes=None), "does not describe a branch"),
        (lambda state: state.update(bands=[1, 1]), r"bands \(1, 1\) with 3 channels"),
        (lambda state: state.update(bands=[4]), r"bands \(4,\)"),
        (lambda state: state["store"].update(channels=10**9), "1000000000 channels"),
        (lambda state: state.update(position=[]), "does not describe a branch"),
        (lambda state: state.update(version=2), "format version 2; this program reads 1"),
        (lambda state: state["store"].update(std=[[1.0, -1.0, 1.0]]), "is not finite or beyond what a store can hold"),
    ],
)
def test_a_strange_description_is_refused(trained, tmp_path, change, message):
    with pytest.raises((CorruptionError, IncompatibleError), match=message):
        load_branch(redescribed(trained, tmp_path / "branch", change))
