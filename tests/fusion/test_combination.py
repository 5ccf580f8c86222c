"""A fitted fusion: application, missing branches, and reading it back from a file that anybody may have edited."""

import json

import numpy as np
import pytest

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.combination import Fusion, leave_one_out
from bandwise.fusion.rules import RULES, fit, unfitted


def fused(**changes):
    return Fusion(
        **{"rule": "learned", "branches": (0, 2, 3), "weights": (0.5, 0.3, 0.2), "temperature": 2.0, **changes}
    )


def test_apply_by_hand():
    logits = np.array([[[1.0, 0.0]], [[0.0, 10.0]], [[5.0, 5.0]]])
    np.testing.assert_allclose(fused().apply(logits), [[(0.5 + 1.0) / 2, (3.0 + 1.0) / 2]])


@pytest.mark.parametrize("shape", [(2, 5, 4), (3, 4)])
def test_apply_refuses_another_number_of_branches(shape):
    with pytest.raises(UsageError, match=r"takes 3 branches: \(3, samples, classes\), in the order \[0, 2, 3\]"):
        fused().apply(np.zeros(shape))


def test_missing_branch_leaves_the_others_in_proportion():
    left = fused().restrict([3, 0])
    assert left.branches == (3, 0)
    assert left.weights == pytest.approx((0.2 / 0.7, 0.5 / 0.7))
    assert left.temperature == 2.0


def test_restrict_refuses_strangers_and_branches_without_weight():
    with pytest.raises(UsageError, match=r"branches \[1\] are not part of this fusion, which has \[0, 2, 3\]"):
        fused().restrict([0, 1])
    with pytest.raises(UsageError, match=r"branches \[2\] have no weight in this fusion; fit one with them alone"):
        fused(weights=(1.0, 0.0, 0.0)).restrict([2])


@pytest.mark.parametrize("rule", RULES)
def test_json_gives_the_same_fusion_back(imagine, rule):
    fusion = fit(rule, imagine(3, 50, 4))
    assert Fusion.parse(json.loads(json.dumps(fusion.to_dict())), "fusion.json") == fusion


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [0.5, 0.5]}, "weights is .* must be 3 numbers"),
        ({"weights": [0.9, 0.3, -0.2]}, "finite, at least 0"),
        ({"weights": [0.5, 0.5, 0.5]}, "add up to 1"),
        ({"weights": [True, 0.0, 0.0]}, "weights.0 is True; it must be a number"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be finite and above 0"),
        ({"branches": [0, 2, 2]}, "without repetition"),
        ({"branches": [0, 2, -1]}, "numbers from 0"),
        ({"branches": [0, 2, 3.0]}, "branches.2 is 3.0; it must be a whole number"),
        ({"branches": [], "weights": []}, "at least one branch"),
        ({"n_holdout": -1}, "n_holdout is -1"),
        ({"p": 0.0}, "p is 0.0; it must be above 0"),
        ({"extra": 1}, "a fusion has the keys .* not .*extra"),
    ],
)
def test_damaged_content_is_refused(changes, message):
    with pytest.raises(CorruptionError, match=rf"fusion\.json is damaged: .*{message}"):
        Fusion.parse({**fused().to_dict(), **changes}, "fusion.json")


def test_leave_one_out_by_hand():
    """Two branches that are right, one that is wrong with more force: without it everything is right."""
    labels, right = np.array([0, 1]), np.eye(2)
    data = BranchLogits((0, 1, 2), np.arange(2), labels, np.stack([right, right, -5 * right]), "val")
    values = leave_one_out(unfitted("mean", (0, 1, 2)), data)
    assert [value.top1 for value in values] == [0.0, 0.0, 1.0]
    assert [value.top1_gain for value in values] == [0.0, 0.0, -1.0]
    with_it, without_it = np.log1p(np.exp(1.0)), np.log1p(np.exp(-1.0))
    assert values[2].nll_gain == pytest.approx(without_it - with_it)


def test_leave_one_out_where_nothing_is_left(imagine):
    fusion = fused(branches=(0, 1), weights=(1.0, 0.0))
    alone, unused = leave_one_out(fusion, imagine(2, 30, 3))
    assert (alone.top1, alone.top1_gain, alone.nll_gain) == (None, None, None)
    assert (unused.top1_gain, unused.nll_gain) == (0.0, 0.0)


def test_logits_of_other_branches_are_refused(imagine):
    with pytest.raises(IncompatibleError, match=r"of the branches \[0, 1, 2\], the fusion of \[2, 1, 0\]"):
        leave_one_out(unfitted("mean", (2, 1, 0)), imagine(3, 20, 3))
