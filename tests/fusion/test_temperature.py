"""Temperature against a fine search, and what it does to the calibration of a fusion."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from bandwise.errors import IncompatibleError
from bandwise.fusion.calibration import calibration
from bandwise.fusion.combination import Fusion
from bandwise.fusion.leave_one_out import leave_one_out
from bandwise.fusion.rules import fit, plain_mean
from bandwise.fusion.temperature import best_temperature, negative_log_likelihood


def test_nll_is_that_of_scipy(imagine):
    data = imagine(1, 30, 6)
    expected = -scipy.special.log_softmax(data.logits[0], axis=1)[np.arange(30), data.labels].mean()
    assert negative_log_likelihood(data.logits[0], data.labels) == pytest.approx(expected, rel=1e-12)


def test_nll_of_huge_logits_does_not_overflow():
    assert negative_log_likelihood(np.array([[1e4, 0.0]]), np.array([1])) == 1e4


def test_temperature_is_that_of_a_scalar_search(imagine):
    data = imagine(1, 4000, 5)
    found = scipy.optimize.minimize_scalar(
        lambda t: negative_log_likelihood(data.logits[0] / t, data.labels), bounds=(0.05, 50), method="bounded"
    )
    assert best_temperature(data.logits[0], data.labels) == pytest.approx(found.x, rel=1e-3)


def test_temperature_follows_the_scale_of_the_logits(imagine):
    data = imagine(1, 500, 5)
    one = best_temperature(data.logits[0], data.labels)
    assert best_temperature(7 * data.logits[0], data.labels) == pytest.approx(7 * one, rel=1e-6)


def test_misleading_logits_get_the_largest_temperature(imagine):
    data = imagine(1, 200, 5)
    assert best_temperature(-data.logits[0], data.labels) == 1000.0


def test_calibration_improves_where_it_was_fitted_and_changes_no_answer(imagine):
    data = imagine(4, 2000, 5)
    boastful = Fusion(rule="mean", branches=data.branches, weights=(0.25,) * 4, temperature=0.1)
    assert calibration(boastful, data).nll_after > calibration(boastful, data).nll_before
    fusion = fit("learned", data)
    result = calibration(fusion, data)
    assert result.nll_after < result.nll_before
    assert result.ece_after < result.ece_before
    assert (result.split, result.temperature) == ("holdout", fusion.temperature)


def test_leave_one_out_by_hand():
    """Two branches that are right, one that is wrong with more force: without it everything is right."""
    from bandwise.fusion.answers import BranchLogits

    labels = np.array([0, 1])
    right = np.eye(2)
    data = BranchLogits((0, 1, 2), np.arange(2), labels, np.stack([right, right, -5 * right]), "val")
    values = leave_one_out(plain_mean((0, 1, 2)), data)
    assert [value.top1_gain for value in values] == [0.0, 0.0, -1.0]
    with_it = np.log1p(np.exp(1.0))
    without_it = np.log1p(np.exp(-1.0))
    assert values[2].nll_gain == pytest.approx(without_it - with_it)


def test_leave_one_out_where_nothing_is_left(imagine):
    data = imagine(2, 30, 3)
    fusion = Fusion(rule="learned", branches=(0, 1), weights=(1.0, 0.0))
    alone, unused = leave_one_out(fusion, data)
    assert (alone.top1_gain, alone.nll_gain) == (None, None)
    assert (unused.top1_gain, unused.nll_gain) == (0.0, 0.0)


@pytest.mark.parametrize("measure", [calibration, leave_one_out])
def test_logits_of_other_branches_are_refused(imagine, measure):
    with pytest.raises(IncompatibleError, match=r"of the branches \[0, 1, 2\], the fusion of \[2, 1, 0\]"):
        measure(plain_mean((2, 1, 0)), imagine(3, 20, 3))
