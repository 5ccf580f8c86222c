"""The solver and the temperature against scipy, derivatives against finite differences."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from bandwise.fusion import convex
from bandwise.fusion.convex import Problem, best_temperature, minimise, negative_log_likelihoods


@pytest.mark.parametrize(("count", "samples", "classes"), [(1, 40, 2), (3, 60, 4), (6, 30, 3), (9, 25, 10)])
@pytest.mark.parametrize(("pull", "ridge"), [(0.0, 0.1), (1.0, 0.1), (5.0, 0.01)])
def test_minimum_is_that_of_scipy(imagine, count, samples, classes, pull, ridge):
    data = imagine(count, samples, classes, seed=count)
    problem = Problem(data.logits, data.labels, pull=pull, ridge=ridge)
    ours = minimise(problem)
    theirs = scipy.optimize.minimize(
        lambda u: problem.at(u)[:2],
        np.ones(count),
        jac=True,
        bounds=[(0, None)] * count,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000},
    )
    assert ours.residual < 1e-6
    assert problem.at(ours.multipliers)[0] <= theirs.fun + 1e-10
    np.testing.assert_allclose(ours.multipliers, theirs.x, atol=2e-4)


def test_a_useless_branch_gets_exactly_nothing(imagine):
    """The bound is reached, not approached: a reader of the weights sees zero."""
    data = imagine(3, 500, 5)
    harmful = -data.logits[:1]
    minimum = minimise(Problem(np.concatenate([data.logits, harmful]), data.labels, pull=0.0, ridge=0.0))
    assert minimum.multipliers[3] == 0.0
    assert minimum.multipliers[0] > 0.0


def test_derivatives_agree_with_finite_differences(imagine):
    data = imagine(3, 50, 4)
    problem = Problem(data.logits, data.labels, pull=2.0, ridge=0.5)
    point = np.array([0.3, 0.7, 0.1])
    _, gradient, hessian = problem.at(point)
    step = 1e-6
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        above, below = problem.at(point + shift), problem.at(point - shift)
        assert gradient[axis] == pytest.approx((above[0] - below[0]) / (2 * step), abs=1e-8)
        np.testing.assert_allclose(hessian[axis], (above[1] - below[1]) / (2 * step), atol=1e-7)


def test_unit_of_the_logits_does_not_matter(imagine):
    """Ten times the logits, a tenth of the multipliers: the penalty is measured in observations."""
    data = imagine(4, 40, 5)
    plain = minimise(Problem(data.logits, data.labels))
    scaled = minimise(Problem(10 * data.logits, data.labels))
    np.testing.assert_allclose(10 * scaled.multipliers, plain.multipliers, rtol=1e-6, atol=1e-9)


def test_separable_samples_give_finite_confidence(imagine):
    data = imagine(3, 20, 4)
    perfect = np.repeat(np.eye(4)[data.labels][None], 3, axis=0)
    bounded = minimise(Problem(perfect, data.labels))
    assert np.isfinite(bounded.multipliers).all()
    assert bounded.multipliers.sum() < 100
    np.testing.assert_allclose(bounded.multipliers, bounded.multipliers.mean(), rtol=1e-9)


def test_equal_branches_share_equally(imagine):
    """Without the pull any division is as good; with it the answer is unique."""
    data = imagine(1, 100, 4)
    minimum = minimise(Problem(np.repeat(data.logits, 3, axis=0), data.labels))
    np.testing.assert_allclose(minimum.multipliers, minimum.multipliers.mean(), rtol=1e-8)


def test_nll_of_huge_logits_does_not_overflow():
    assert negative_log_likelihoods(np.array([[1e4, 0.0]]), np.array([1])) == 1e4


def test_temperature_is_that_of_a_scalar_search(imagine):
    data = imagine(1, 4000, 5)
    found = scipy.optimize.minimize_scalar(
        lambda t: negative_log_likelihoods(data.logits[0] / t, data.labels).mean(), bounds=(0.05, 50), method="bounded"
    )
    assert best_temperature(data.logits[:1], data.labels) == pytest.approx(found.x, rel=1e-3)


def test_a_temperature_takes_less_than_ten_passes(imagine, monkeypatch):
    """Logits of files are read and fused anew in every pass, which is most of the time that a fit takes."""
    data = imagine(1, 4000, 5)
    read = []

    class Counted:
        shape = data.logits.shape

        def __getitem__(self, key):
            read.append(data.logits[key].shape[1])
            return data.logits[key]

    monkeypatch.setattr("bandwise.evaluation.blocks.HELD_VALUES", 0)
    best_temperature(Counted(), data.labels)
    assert sum(read) < 10 * 4000


def test_misleading_logits_get_the_largest_temperature(imagine):
    data = imagine(1, 200, 5)
    assert best_temperature(-data.logits[:1], data.labels) == 1000.0


def test_block_size_changes_only_rounding(imagine, monkeypatch):
    data = imagine(3, 64, 4)
    whole = minimise(Problem(data.logits, data.labels))
    monkeypatch.setattr(convex, "BLOCK_VALUES", 3 * 4 * 5)
    pieces = minimise(Problem(data.logits, data.labels))
    np.testing.assert_allclose(pieces.multipliers, whole.multipliers, rtol=1e-9)


def test_constant_logits_are_no_division_by_zero():
    minimum = minimise(Problem(np.zeros((2, 10, 3)), np.zeros(10, dtype=np.int64)))
    assert np.isfinite(minimum.multipliers).all()


def test_nll_is_that_of_scipy(imagine):
    data = imagine(1, 30, 6)
    expected = -scipy.special.log_softmax(data.logits[0], axis=1)[np.arange(30), data.labels].mean()
    assert negative_log_likelihoods(data.logits[0], data.labels).mean() == pytest.approx(expected, rel=1e-12)
