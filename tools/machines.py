"""On which machines results were made: a letter each, and training times that never mix two of them."""

import statistics
from collections.abc import Iterable
from typing import Any

from bandwise.report.units import seconds
from tools.statistics import Results

Letters = dict[str, str]
"""The letter of every machine, in alphabetical order."""


def letters_of(results: Results) -> Letters:
    """Give every machine of the results a letter."""
    machines = sorted({_machine(run) for runs in results.values() for run in runs})
    return {machine: chr(ord("A") + place) for place, machine in enumerate(machines)}


def named(letters: Letters) -> str:
    """List the machines, with their letters where there are several."""
    if len(letters) == 1:
        return next(iter(letters))
    return "; ".join(f"{letter}: {machine}" for machine, letter in letters.items())


def training_time(runs: Iterable[dict[str, Any]], letters: Letters) -> str:
    """Write the mean time of training all branches, for every machine that trained some of the seeds.

    Processor time where no accelerator did the work: unlike wall time it says what the network costs. A machine with a
    result that was recorded before it was measured is left out.
    """
    by_machine: dict[str, list[float | None]] = {}
    for run in runs:
        key = "wall_s_sum" if run["environment"]["hardware"]["accelerator"] else "cpu_s_sum"
        by_machine.setdefault(_machine(run), []).append(run["cost"].get(key))
    said = []
    for machine, times in sorted(by_machine.items()):
        known = [time for time in times if time is not None]
        if len(known) == len(times):
            said.append(seconds(statistics.mean(known)) + (f" ({letters[machine]})" if len(letters) > 1 else ""))
    return ", ".join(said)


def _machine(run: dict[str, Any]) -> str:
    hardware, versions = run["environment"]["hardware"], run["environment"]["versions"]
    return f"{hardware['accelerator'] or hardware['processor']}, torch {versions['torch']}"
