"""What a command gives back: one object for `--json`, some lines for a person, and an exit code."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one command."""

    result: dict[str, Any]
    """Printed as one JSON object with `--json`."""
    text: str
    """Printed otherwise."""
    exit_code: int = 0
    """0, or the code of a command that finished its work and still has something to report."""


def percent(fraction: float) -> str:
    """Write an accuracy as people read it: `71.23 %`."""
    return f"{100 * fraction:.2f} %"
