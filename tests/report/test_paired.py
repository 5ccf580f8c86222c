"""The paired comparison against scipy and by hand."""

import numpy as np
import pytest
import scipy.stats

from bandwise.report.paired import Paired, compare


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (117, 127), (3, 30), (4000, 4200)])
def test_p_value_is_the_binomial_test_of_scipy(first, second):
    expected = scipy.stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert Paired(10_000, first, second).p_value == pytest.approx(expected, rel=1e-9)


def test_difference_and_error_by_hand():
    """Six images, right alone on 3 and 1: difference 1/3; differences are three +1, one -1 and two 0."""
    first = np.array([1, 1, 1, 0, 1, 0], dtype=bool)
    second = np.array([0, 0, 0, 1, 1, 0], dtype=bool)
    paired = compare(first, second)
    assert (paired.n, paired.only_first, paired.only_second) == (6, 3, 1)
    assert paired.difference == pytest.approx(1 / 3)
    per_image = first.astype(float) - second
    assert paired.standard_error == pytest.approx(per_image.std() / np.sqrt(6))


def test_order_turns_the_sign_and_keeps_the_p_value():
    one, other = Paired(100, 20, 8), Paired(100, 8, 20)
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert one.is_clear
    assert not Paired(100, 10, 8).is_clear
