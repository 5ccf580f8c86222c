import pytest

from bandwise.report.units import amount, binomial_error, percent, percent_with_error, points, ratio, seconds


def test_fractions_become_percentages():
    assert percent(0.61274) == "61.27 %"
    assert percent(1.0, 0) == "100 %"
    assert points(0.0212) == "+2.12"
    assert points(-0.0212) == "\N{MINUS SIGN}2.12"


def test_binomial_error_by_hand():
    assert binomial_error(0.5, 100) == pytest.approx(0.05)
    assert percent_with_error(0.5, 100) == "50.00 ± 5.00 %"
    assert percent_with_error(1.0, 7) == "100.00 ± 0.00 %"


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (251.3, "4 min 11 s"), (3600, "1 h 00 min"), (7625, "2 h 07 min")],
)
def test_durations(duration, text):
    assert seconds(duration) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (21_500_000, "21.5 MB"), (999_999, "1.00 MB"), (3.66e9, "3.66 GB")],
)
def test_amounts(number, text):
    assert amount(number, "B") == text


def test_amount_without_a_unit_keeps_the_prefix():
    assert amount(4_910_000) == "4.91 M"
    assert amount(12) == "12"


def test_ratio_to_nothing_is_a_dash():
    assert ratio(4, 1) == "4.00x"
    assert ratio(4, 0) == "–"
