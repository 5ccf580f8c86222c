"""A branch that starts from the final weights of another one: what is carried over, what is refused, what is said."""

import shutil
from dataclasses import replace

import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome, with_training
from torch.nn import functional

from bandwise.checkpoints.branch import load_branch
from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.training.trainer import train_branch
from bandwise.training.warmstart import carry_filters, find_branch, load_from_branch

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


def test_one_band_to_another_keeps_the_filters_themselves():
    filters = torch.randn(4, 3, 3, 3)
    assert torch.equal(carry_filters(filters, source=(0,), target=(2,)), filters)


def test_a_branch_starts_where_the_other_ended(store_path, tmp_path, first):
    still = with_training(WARM, lr=1e-12, warmup_epochs=0, epochs=1, weight_decay=0.0, model_ema=False)
    summary = train_branch(still, store_path, tmp_path / "branch-01", 1, start=first)
    assert summary["from_scratch"] is False
    assert summary["initial_checkpoint"] == {"name": "branch-00", "sha256": find_branch(first).sha256}
    ended = load_branch(first).network.state_dict()
    found = read_checkpoint(steps(tmp_path / "branch-01")[0]).model
    for name, value in found.items():
        if value.is_floating_point() and "running" not in name:
            expected = ended[name]
            if name == "stem.0.weight":
                assert value[:, 3:].abs().max() < 1e-9
                value = value[:, :3]
            # What the other branch answers with: the moving average, not the last weights.
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
    raw = read_checkpoint(steps(first)[0]).model
    assert not torch.equal(raw["classifier.2.weight"], ended["classifier.2.weight"])


def test_a_source_from_scratch_is_the_same_training_as_without_a_warm_start(store_path, tmp_path, first):
    train_branch(replace(WARM, initial_branch=None), store_path, tmp_path / "cold", 0)
    assert outcome(tmp_path / "cold") == outcome(first)


def test_interrupted_and_continued_it_has_the_same_bits(store_path, tmp_path, first):
    train_branch(WARM, store_path, tmp_path / "whole", 1, start=first)
    with pytest.raises(CrashError):
        train_branch(WARM, store_path, tmp_path / "parts", 1, start=first, on_step=crash_at(5))
    train_branch(WARM, store_path, tmp_path / "parts", 1, start=first)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
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


def test_other_classes_and_damaged_weights_are_refused(tmp_path, first):
    facts = {"bands": (0, 1), "channels": 3}
    network = load_branch(first).network
    with pytest.raises(IncompatibleError, match="was trained on 3 classes and 3 colours"):
        load_from_branch(network, find_branch(first), classes=("a", "b", "c", "d"), **facts)
    shutil.copytree(first, tmp_path / "branch-00")
    weights = steps(tmp_path / "branch-00")[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptionError, match="is altered"):
        load_from_branch(network, find_branch(tmp_path / "branch-00"), classes=load_branch(first).classes, **facts)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_source_that_does_not_exist_is_refused(wrong):
    with pytest.raises(UsageError, match=r"initial_branch is .*None or a branch, 0 to 2"):
        replace(WARM, initial_branch=wrong)
