"""A branch must not depend on what else the process has done, nor leave a trace in it."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, make_store, outcome, with_training

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.config import RunConfig
from bandwise.training.feed import Feed
from bandwise.training.learner import Learner
from bandwise.training.trainer import train_branch


def test_a_branch_alone_equals_the_branch_after_others(store_path, tmp_path, undisturbed):
    for branch in (3, 0):
        train_branch(CONFIG, store_path, tmp_path / f"branch-{branch}", branch)
    with pytest.raises(CrashError):
        train_branch(CONFIG, store_path, tmp_path / "other", 2, on_step=crash_at(5))
    train_branch(CONFIG, store_path, tmp_path / "branch-1", 1)
    assert outcome(tmp_path / "branch-1") == undisturbed[4]


def test_global_random_numbers_of_the_caller_do_not_matter_and_are_left_alone(store_path, tmp_path, undisturbed):
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    train_branch(CONFIG, store_path, tmp_path, 1)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert outcome(tmp_path) == undisturbed[4]


def test_threads_and_algorithms_are_set_inside_and_restored(store_path, tmp_path):
    seen = []

    def look(step: int) -> None:
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        raise CrashError

    with pytest.raises(CrashError):
        train_branch(with_training(threads=2), store_path, tmp_path, 1, on_step=look)
    assert seen == [(2, True)]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (1, False)


def first_state(config: RunConfig, store_path, folder, branch: int):
    """Return weights and seeds before the first step, and the ids and losses of the first epoch."""
    weights = {}
    ids: list[int] = []
    crops = []
    real_inputs, real_init = Feed.inputs, Learner.__init__

    def spy_inputs(self, batch, epoch):
        ids.extend(batch.ids.tolist())
        images, targets = real_inputs(self, batch, epoch)
        # A copy: the next batch may be written over this one.
        crops.append((batch.ids.tolist(), images.clone()))
        return images, targets

    def spy_init(self, *args, **kwargs):
        real_init(self, *args, **kwargs)
        weights.update({name: value.clone() for name, value in self.network.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "inputs", spy_inputs)
        patch.setattr(Learner, "__init__", spy_init)
        with pytest.raises(CrashError):
            train_branch(config, store_path, folder, branch, on_step=crash_at(6))
    return weights, ids, crops, read_checkpoint(steps(folder)[0]).state["seeds"]


@pytest.fixture
def twins() -> RunConfig:
    """Two branches on the same band, which differ in nothing but their number."""
    return replace(
        CONFIG,
        branches="1;1",
        training=replace(CONFIG.training, checkpoint_steps=6),
        augment=replace(CONFIG.augment, mixup=0.0, cutmix=0.0),
    )


def test_branches_on_the_same_bands_differ_in_weights_and_order_but_not_in_augmentation(store_path, tmp_path, twins):
    first = first_state(twins, store_path, tmp_path / "0", 0)
    second = first_state(twins, store_path, tmp_path / "1", 1)
    assert not torch.equal(first[0]["stem.0.weight"], second[0]["stem.0.weight"])
    assert first[1] != second[1]
    assert sorted(first[1]) == sorted(second[1])
    seeds = first[3], second[3]
    assert [seeds[0][name] != seeds[1][name] for name in ("init", "order", "dropout")] == [True] * 3
    assert seeds[0]["augment"] == seeds[1]["augment"]
    views = [{}, {}]
    for place, (_, _, crops, _) in enumerate((first, second)):
        for ids, images in crops:
            views[place].update(dict(zip(ids, images, strict=True)))
    assert views[0].keys() == views[1].keys()
    assert all(torch.equal(views[0][sample], views[1][sample]) for sample in views[0])


def test_another_run_seed_changes_everything(store_path, tmp_path, twins):
    other = replace(twins, training=replace(twins.training, seed=1))
    first = first_state(twins, store_path, tmp_path / "0", 0)
    second = first_state(other, store_path, tmp_path / "1", 0)
    assert not torch.equal(first[0]["stem.0.weight"], second[0]["stem.0.weight"])
    assert first[1] != second[1]
    assert all(first[3][name] != second[3][name] for name in first[3])


def test_a_store_with_this_branchs_band_alone_gives_the_same_branch(tmp_path, undisturbed):
    """What a machine of its own would have: its own band, and nothing of the others."""
    alone = replace(CONFIG, split=replace(CONFIG.split, bands="1"), branches="1")
    path = make_store(tmp_path, alone)
    assert not (path / "band-00").exists()
    train_branch(CONFIG, path, tmp_path / "branch", 1)
    assert outcome(tmp_path / "branch") == undisturbed[4]
