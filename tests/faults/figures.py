"""Figures of the fault suite: each test records what it has counted, the end of the run prints a line for each kind."""

from collections.abc import Callable, Iterable
from typing import Any

Record = Callable[..., None]
"""`figure(what, passed, total, note)`."""

KEY = "figure"


def lines(reports: Iterable[Any]) -> list[str]:
    """Add up the figures of all tests and return one line for each kind, in the order of their first letters."""
    sums: dict[str, tuple[int, int]] = {}
    notes: dict[str, list[str]] = {}
    for report in reports:
        for key, value in report.user_properties:
            if key == KEY:
                what, passed, total, note = value
                before = sums.get(what, (0, 0))
                sums[what] = before[0] + passed, before[1] + total
                if note and note not in notes.setdefault(what, []):
                    notes[what].append(note)
    texts = []
    for what, (passed, total) in sorted(sums.items()):
        note = f" ({'; '.join(sorted(notes[what]))})" if notes.get(what) else ""
        texts.append(f"{what}: {passed} of {total}{note}")
    return texts
