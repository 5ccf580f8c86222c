"""A fitted fusion: application, missing branches, and reading it back from a file that anybody may have edited."""

import json
import math

import numpy as np
import pytest

from bandwise.errors import UsageError
from bandwise.fusion.combination import Fusion
from bandwise.fusion.rules import RULES, fit


def fused(**changes):
    return Fusion(
        **{"rule": "learned", "branches": (0, 2, 3), "weights": (0.5, 0.3, 0.2), "temperature": 2.0, **changes}
    )


def test_apply_by_hand():
    logits = np.array([[[1.0, 0.0]], [[0.0, 10.0]], [[5.0, 5.0]]])
    np.testing.assert_allclose(fused().apply(logits), [[(0.5 + 1.0) / 2, (3.0 + 1.0) / 2]])


def test_apply_accepts_float32_and_answers_in_float64():
    assert fused().apply(np.ones((3, 2, 4), dtype=np.float32)).dtype == np.float64


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
    assert Fusion.from_dict(json.loads(json.dumps(fusion.to_dict()))) == fusion


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [0.5, 0.5]}, "weights is .* must be 3 numbers"),
        ({"weights": [0.9, 0.3, -0.2]}, "finite, at least 0"),
        ({"weights": [math.nan, 0.5, 0.5]}, "finite, at least 0"),
        ({"weights": [0.5, 0.5, 0.5]}, "add up to 1"),
        ({"weights": ["0.5", 0.3, 0.2]}, "must be numbers"),
        ({"weights": [True, 0.0, 0.0]}, "must be numbers"),
        ({"weights": 1.0}, "weights is 1.0; it must be a list"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be finite and above 0"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"temperature": "2"}, "must be numbers"),
        ({"branches": [0, 2, 2]}, "without repetition"),
        ({"branches": [0, 2, -1]}, "numbers from 0"),
        ({"branches": [0, 2, 3.0]}, "whole numbers"),
        ({"branches": [], "weights": []}, "at least one branch"),
        ({"n_holdout": -1}, "n_holdout is -1"),
        ({"n_holdout": "7"}, "whole numbers"),
        ({"p": 0.0}, "p is 0.0; it must be above 0"),
        ({"rule": 7}, "rule is 7; it must be a text"),
        ({"extra": 1}, "a fusion has the keys .* not .*extra"),
    ],
)
def test_damaged_content_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        Fusion.from_dict({**fused().to_dict(), **changes})


@pytest.mark.parametrize("content", [None, [], "fusion", {}])
def test_other_content_is_refused(content):
    with pytest.raises(UsageError, match="a fusion has the keys"):
        Fusion.from_dict(content)
