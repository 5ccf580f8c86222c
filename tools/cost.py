"""What training cost: systems of about equal cost side by side, and times that never mix two machines."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from bandwise.launch.cost import SAME_COST
from bandwise.report.units import seconds
from bandwise.runs.documents import Results
from tools.recorded import Recorded, epochs_of

STARTED_FROM = {"cifar10-baseline-progressive": "cifar10-lowres"}
"""Recipes that go on from the weights of another with the same seed, whose training is part of what they cost."""


def grouped(
    results: Recorded, key: Literal["macs_total", "macs_per_branch"]
) -> list[tuple[str, Recorded, list[float]]]:
    """Return data, systems and the cost of training of each, in groups of about equal cost, dearest first.

    Args:
        results: the recorded results.
        key: which multiply-adds count: of all branches, or of one.
    """
    costs = {name: _training_macs(results, name, key) for name in results}
    by_data: dict[str, list[str]] = {runs[0].data.name: [] for runs in results.values()}
    for name in sorted(results, key=lambda name: -costs[name]):
        by_data[results[name][0].data.name].append(name)
    groups: list[tuple[str, list[str]]] = []
    for data, names in by_data.items():
        for name in names:
            if not groups or groups[-1][0] != data or costs[groups[-1][1][0]] > SAME_COST * costs[name]:
                groups.append((data, []))
            groups[-1][1].append(name)
    return [
        (data, _best_first({name: results[name] for name in names}), [costs[name] for name in names])
        for data, names in groups
    ]


def _training_macs(results: Recorded, name: str, key: Literal["macs_total", "macs_per_branch"]) -> float:
    """Multiply-adds that training takes for each training image, all epochs, forward passes only."""
    run = results[name][0]
    macs = getattr(run.cost, key) * epochs_of(run)
    source = STARTED_FROM.get(name)
    return macs + (_training_macs(results, source, key) if source in results else 0)


def _best_first(group: Recorded) -> Recorded:
    return dict(sorted(group.items(), key=lambda item: -statistics.mean(run.fused.top1 for run in item[1])))


class Machines:
    """The machines on which results were made, a letter for each."""

    def __init__(self, results: Mapping[str, Sequence[Results]]) -> None:
        """Give every machine of the results a letter, in alphabetical order."""
        machines = sorted({_machine(run) for runs in results.values() for run in runs})
        self._letters = {machine: chr(ord("A") + place) for place, machine in enumerate(machines)}

    @property
    def names(self) -> str:
        """The machines, with their letters where there are several."""
        if len(self._letters) == 1:
            return next(iter(self._letters))
        return "; ".join(f"{letter}: {machine}" for machine, letter in self._letters.items())

    def training_time(self, runs: Iterable[Results]) -> str:
        """Write the mean time of training all branches, for every machine that trained some of the seeds.

        Processor time where no accelerator did the work: unlike wall time it says what the network costs. A machine
        with a result that was recorded before it was measured is left out.
        """
        by_machine: dict[str, list[float | None]] = {}
        for run in runs:
            time = run.cost.wall_s_sum if run.environment.hardware.accelerator else run.cost.cpu_s_sum
            by_machine.setdefault(_machine(run), []).append(time)
        texts = []
        for machine, times in sorted(by_machine.items()):
            known = [time for time in times if time is not None]
            if len(known) == len(times):
                letter = f" ({self._letters[machine]})" if len(self._letters) > 1 else ""
                texts.append(seconds(statistics.mean(known)) + letter)
        return ", ".join(texts)


def _machine(run: Results) -> str:
    hardware = run.environment.hardware
    return f"{hardware.accelerator or hardware.processor}, torch {run.environment.versions['torch']}"
