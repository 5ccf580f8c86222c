"""Numbers as text, each with its unit."""

import math

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_DIGITS = 3


def percent(fraction: float, digits: int = 2) -> str:
    """Write 0.6127 as `61.27 %`."""
    return f"{100 * fraction:.{digits}f} %"


def percent_with_error(fraction: float, count: int) -> str:
    """Write an accuracy over `count` samples with its binomial standard error: `61.27 ± 1.90 %`."""
    return f"{100 * fraction:.2f} ± {100 * binomial_error(fraction, count):.2f} %"


def binomial_error(fraction: float, count: int) -> float:
    """Standard error of an accuracy measured on `count` samples: sqrt(a (1 - a) / count)."""
    return math.sqrt(fraction * (1 - fraction) / count)


def points(difference: float) -> str:
    """Write a difference of fractions in percentage points: 0.0212 is `+2.12`, with a real minus sign below zero."""
    return f"{100 * difference:+.2f}".replace("-", "\N{MINUS SIGN}")


_ONLY_HOURS = 100


def seconds(duration_s: float) -> str:
    """Write a duration as `12.3 s`, `4 min 05 s`, `2 h 07 min` or `1,234 h`."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < _ONLY_HOURS else f"{round(duration_s / 3600):,} h"


def amount(number: float, unit: str = "") -> str:
    """Write 4_910_000 as `4.91 M`, and with the unit `B` as `4.91 MB`; powers of 1000, three digits."""
    for factor, prefix in _PREFIXES:
        if number >= factor * (1 - 0.5 * 10**-_DIGITS):
            scaled = number / factor
            decimals = max(0, _DIGITS - 1 - math.floor(math.log10(max(scaled, 1.0))))
            return f"{scaled:.{decimals}f} {prefix}{unit}"
    return f"{number:.0f} {unit}".rstrip()


def ratio(number: float, reference: float) -> str:
    """Write how many times the reference a number is: `3.92x`; a dash where the reference is zero."""
    return f"{number / reference:.2f}x" if reference else "–"
