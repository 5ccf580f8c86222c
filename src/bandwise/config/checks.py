"""Checks of one value of a configuration, with the message that a user needs."""

import math
from typing import Any

from bandwise.errors import UsageError


def require(condition: bool, key: str, value: Any, allowed: str) -> None:
    """Refuse a value.

    Raises:
        UsageError: the condition does not hold; names the key, the value and what is allowed.
    """
    if not condition:
        raise UsageError(f"{key} is {value!r}; it must be {allowed}")


def require_number(key: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Refuse a number outside `low` to `high`, or one that is not finite.

    Raises:
        UsageError: it is outside; with `open_low`, `low` itself is outside too.
    """
    fits = (low < value if open_low else low <= value) and value <= high and math.isfinite(value)
    edge = "above" if open_low else "at least"
    require(fits, key, value, f"{edge} {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else ""))
