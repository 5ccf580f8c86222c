"""A branch that starts from the final weights of another one: what is carried over, what is refused, what is said."""

from dataclasses import replace

import pytest
import torch
from tests.pictures import make_folder
from tests.training.tiny import CANVAS, CONFIG, CrashError, crash_at, outcome, tiny_network, with_training
from torch.nn import functional

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import read_checkpoint, steps, weights_digest
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset
from bandwise.training.start import StartFromBranch, carry_filters
from bandwise.training.trainer import train_branch

WARM = replace(CONFIG, branches="0;0,1;2", initial_branch=0)


@pytest.fixture
def first(tmp_path, store_path):
    """The finished branch 0, with a moving average."""
    folder = tmp_path / "first" / "branch-00"
    train_branch(WARM, store_path, folder, 0)
    return folder


def test_bands_that_both_see_keep_their_filters_and_others_start_at_zero():
    filters = torch.randn(4, 2 * 3, 3, 3)
    found = carry_filters(filters, source=(0, 2), target=(1, 2, 0))
    images = {band: torch.randn(1, 3, 8, 8) for band in range(3)}
    # Whatever band 1 holds, the response is the old one.
    before = functional.conv2d(torch.cat([images[0], images[2]], dim=1), filters)
    after = functional.conv2d(torch.cat([images[1], images[2], images[0]], dim=1), found)
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize(("source", "target"), [((0,), (3,)), ((0,), (1, 2)), ((0, 1), (2,)), ((0, 1), (2, 3))])
def test_groups_that_share_no_band_keep_the_variance_of_the_response(source, target):
    torch.manual_seed(0)
    filters = torch.randn(16, len(source) * 3, 3, 3)
    found = carry_filters(filters, source=source, target=target)
    assert found.shape == (16, len(target) * 3, 3, 3)
    before = functional.conv2d(torch.randn(200, len(source) * 3, 8, 8), filters).std()
    after = functional.conv2d(torch.randn(200, len(target) * 3, 8, 8), found).std()
    assert after.item() == pytest.approx(before.item(), rel=0.1)


def test_a_branch_starts_where_the_other_ended(first):
    network = tiny_network("", num_classes=3, in_channels=6, input_size=10)
    StartFromBranch(first, "").load(network, num_classes=3, bands=(0, 1), channels=3)
    # What the other branch answers with: the moving average, not the last weights.
    ended, raw = load_branch(first).network.state_dict(), read_checkpoint(steps(first)[0]).model
    found = network.state_dict()
    assert torch.equal(found["stem.0.weight"][:, 3:], torch.zeros(6, 3, 3, 3))
    assert torch.equal(found["stem.0.weight"][:, :3], ended["stem.0.weight"])
    assert all(torch.equal(value, ended[name]) for name, value in found.items() if name != "stem.0.weight")
    assert not torch.equal(raw["classifier.2.weight"], ended["classifier.2.weight"])


def test_a_source_from_scratch_is_the_same_training_as_without_a_warm_start(store_path, tmp_path, first):
    train_branch(replace(WARM, initial_branch=None), store_path, tmp_path / "cold", 0)
    assert outcome(tmp_path / "cold") == outcome(first)


def test_interrupted_and_continued_it_has_the_same_bits(store_path, tmp_path, first):
    """With its source, and without it: what has begun has its weights."""
    summary = train_branch(WARM, store_path, tmp_path / "whole", 1, start=first)
    assert summary["from_scratch"] is False
    started = {"name": "branch-00", "sha256": weights_digest(first)}
    assert started == summary["initial_checkpoint"]
    for name, later in (("parts", first), ("alone", tmp_path / "not here")):
        with pytest.raises(CrashError):
            train_branch(WARM, store_path, tmp_path / name, 1, start=first, on_step=crash_at(5))
        train_branch(WARM, store_path, tmp_path / name, 1, start=later)
        assert outcome(tmp_path / name) == outcome(tmp_path / "whole")
    assert outcome(tmp_path / "whole")["state"]["initial_checkpoint"] == started
    train_branch(replace(WARM, initial_branch=None), store_path, tmp_path / "cold", 1)
    assert outcome(tmp_path / "cold")["tensors"] != outcome(tmp_path / "whole")["tensors"]


def test_a_source_that_is_absent_unfinished_or_not_given(store_path, tmp_path, first):
    with pytest.raises(UsageError, match=r"branch 1 starts from the weights of branch 0 \(initial_branch\)"):
        train_branch(WARM, store_path, tmp_path / "branch-01", 1)
    with pytest.raises(UsageError, match="branch-00 is not trained to its end"):
        train_branch(WARM, store_path, tmp_path / "branch-01", 1, start=tmp_path / "branch-00")
    with pytest.raises(CrashError):
        train_branch(WARM, store_path, tmp_path / "branch-00", 0, on_step=crash_at(5))
    with pytest.raises(UsageError, match="branch-00 is not trained to its end"):
        train_branch(WARM, store_path, tmp_path / "branch-01", 1, start=tmp_path / "branch-00")


def test_it_is_not_continued_from_other_weights(store_path, tmp_path, first):
    with pytest.raises(CrashError):
        train_branch(WARM, store_path, tmp_path / "parts", 1, start=first, on_step=crash_at(5))
    train_branch(with_training(WARM, seed=1), store_path, tmp_path / "other", 0)
    with pytest.raises(IncompatibleError, match=r"was started from weights of SHA-256 .* would now be from weights"):
        train_branch(WARM, store_path, tmp_path / "parts", 1, start=tmp_path / "other")
    with pytest.raises(IncompatibleError, match="would now be from scratch"):
        train_branch(replace(WARM, initial_branch=None), store_path, tmp_path / "parts", 1)


def test_a_source_of_another_run_is_refused_before_training(store_path, tmp_path, first):
    others = (
        (with_training(WARM, seed=1), 0),
        (with_training(WARM, lr=0.01), 0),
        (replace(WARM, initial_branch=None), 2),
    )
    for number, (other, branch) in enumerate(others):
        train_branch(other, store_path, tmp_path / str(number), branch)
        with pytest.raises(IncompatibleError, match="was trained with another configuration"):
            train_branch(WARM, store_path, tmp_path / "branch-01", 1, start=tmp_path / str(number))
    pictures = make_folder(tmp_path / "pictures", classes=3, train=14, val=3, side=CANVAS)
    split_dataset(open_folder(pictures), WARM.split, tmp_path / "store")
    with pytest.raises(IncompatibleError, match="other samples, classes or pixels"):
        train_branch(WARM, tmp_path / "store", tmp_path / "branch-01", 1, start=first)
    assert not list((tmp_path / "branch-01").glob("step-*"))


def test_a_damaged_source_is_refused_with_what_to_do(store_path, tmp_path, first):
    weights = steps(first)[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptionError, match=r"is altered.*train it first \(`bandwise train --branch 0`\)"):
        train_branch(WARM, store_path, tmp_path / "branch-01", 1, start=first)


@pytest.mark.parametrize(("branches", "source"), [("0;0,1;2", -1), ("0;0,1;2", 3), ("0", 0)])
def test_a_source_that_does_not_exist_is_refused(branches, source):
    with pytest.raises(UsageError, match=r"initial_branch is .*None"):
        replace(CONFIG, branches=branches, initial_branch=source)
