"""Checks of the values of a configuration, with the message that a user needs."""

import math
from typing import Any

from bandwise.errors import UsageError


def require(condition: bool, key: str, value: Any, allowed: str) -> None:
    """Refuse a value unless the condition holds.

    Raises:
        UsageError: names the key, the value and what is allowed.
    """
    if not condition:
        raise UsageError(f"{key} is {value!r}; it must be {allowed}")


def require_range(section: Any, low: float, high: float, *keys: str) -> None:
    """Refuse fields of a section outside `low` to `high`, or that are not finite.

    Raises:
        UsageError: as `require`.
    """
    allowed = f"at least {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
    for key in keys:
        value = getattr(section, key)
        require(math.isfinite(value) and low <= value <= high, key, value, allowed)


def require_positive(value: float, high: float, key: str) -> None:
    """Refuse a number that is not above 0, above `high`, or not finite.

    Raises:
        UsageError: as `require`.
    """
    allowed = "above 0" + (f" and at most {high:g}" if math.isfinite(high) else "")
    require(math.isfinite(value) and 0 < value <= high, key, value, allowed)
