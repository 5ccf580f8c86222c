"""A branch must not depend on what else the process has done, nor leave a trace in it."""

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, make_store, outcome, with_training

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.training.determinism import seed_for
from bandwise.training.feed import Feed
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


def test_branches_on_the_same_bands_differ_in_weights_and_order_but_not_in_augmentation(
    store_path, tmp_path, monkeypatch
):
    """Two branches on one band, which differ in nothing but their number; and another seed of the run."""
    twins = replace(CONFIG, branches="1;1", augment=replace(CONFIG.augment, mixup=0.0, cutmix=0.0))
    batches: list[tuple[list[int], torch.Tensor]] = []
    real = Feed.inputs

    def spying(self, batch, epoch):
        images, targets = real(self, batch, epoch)
        # A copy: the next batch may be written over this one.
        batches.append((batch.ids.tolist(), images.clone()))
        return images, targets

    monkeypatch.setattr(Feed, "inputs", spying)
    seen, states = [], []
    for name, config, branch in (("0", twins, 0), ("1", twins, 1), ("2", with_training(twins, seed=1), 0)):
        batches.clear()
        with pytest.raises(CrashError):
            train_branch(config, store_path, tmp_path / name, branch, on_step=crash_at(6))
        seen.append(([key for ids, _ in batches for key in ids], batches.copy()))
        states.append(read_checkpoint(steps(tmp_path / name)[0]))
    orders = [order for order, _ in seen]
    assert len({tuple(order) for order in orders}) == 3
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    first, second, other = (state.state["seeds"] for state in states)
    assert [name for name in first if first[name] == second[name]] == ["augment", "run"]
    assert not [name for name in first if first[name] == other[name]]
    assert not torch.equal(states[0].model["stem.0.weight"], states[1].model["stem.0.weight"])
    views = [{key: image for ids, images in own for key, image in zip(ids, images, strict=True)} for _, own in seen]
    assert all(torch.equal(views[0][sample], views[1][sample]) for sample in views[0])
    assert not all(torch.equal(views[0][sample], views[2][sample]) for sample in views[0])


def test_a_store_with_this_branchs_band_alone_gives_the_same_branch(tmp_path, undisturbed):
    """What a machine of its own would have: its own band, and nothing of the others."""
    alone = replace(CONFIG, split=replace(CONFIG.split, bands="1"), branches="1")
    path = make_store(tmp_path, alone)
    assert not (path / "band-00").exists()
    train_branch(CONFIG, path, tmp_path / "branch", 1)
    assert outcome(tmp_path / "branch") == undisturbed[4]


def test_seed_is_the_hash_of_its_coordinates():
    digest = hashlib.sha256(b'["bandwise", 7, 3, "order", 11]').hexdigest()
    assert seed_for(7, 3, "order", 11) == int(digest[:16], 16) // 2


def test_seeds_never_change():
    """A later version must continue the runs of an earlier one, so the very numbers are fixed."""
    assert seed_for(0, 0, "init") == 6827369565362097235
    assert seed_for(0, None, "augment") == 4771262198050869444
