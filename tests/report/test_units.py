import pytest

from bandwise.report.units import amount, binomial_error, percent, percent_with_error, points, ratio, seconds


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (percent(0.61274), "61.27 %"),
        (percent(1.0, 0), "100 %"),
        (percent_with_error(0.5, 100), "50.00 ± 5.00 %"),
        (percent_with_error(1.0, 7), "100.00 ± 0.00 %"),
        (points(0.0212), "+2.12"),
        (points(-0.0212), "\N{MINUS SIGN}2.12"),
        (seconds(0.04), "0.0 s"),
        (seconds(59.9), "59.9 s"),
        (seconds(251.3), "4 min 11 s"),
        (seconds(3600), "1 h 00 min"),
        (seconds(7625), "2 h 07 min"),
        (seconds(3600 * 36266.55), "36,267 h"),
        (amount(0, "B"), "0 B"),
        (amount(999, "B"), "999 B"),
        (amount(1000, "B"), "1.00 kB"),
        (amount(21_500_000, "B"), "21.5 MB"),
        (amount(999_999, "B"), "1.00 MB"),
        (amount(3.66e9, "B"), "3.66 GB"),
        (amount(4_910_000), "4.91 M"),
        (amount(12), "12"),
        (ratio(4, 1), "4.00x"),
        (ratio(4, 0), "–"),
    ],
)
def test_numbers_as_text(shown, text):
    assert shown == text


def test_binomial_error_by_hand():
    assert binomial_error(0.5, 100) == pytest.approx(0.05)
