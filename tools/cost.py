"""Groups of systems that cost about as much to train, so that like stands beside like."""

import statistics
from typing import Literal

from tools.comparisons import STARTED_FROM
from tools.statistics import Results

_SAME_COST = 1.25
"""Systems whose multiply-adds of training differ by less than this factor stand in one group."""


def grouped(results: Results, key: Literal["macs_total", "macs_per_branch"]) -> list[tuple[str, Results, list[float]]]:
    """Return data, systems and the cost of training of each, in groups of about equal cost, dearest first.

    Args:
        results: the recorded results.
        key: which multiply-adds count: of all branches, or of one.
    """
    costs = {name: _training_macs(results, name, key) for name in results}
    by_data: dict[str, list[str]] = {runs[0]["data"]["name"]: [] for runs in results.values()}
    for name in sorted(results, key=lambda name: -costs[name]):
        by_data[results[name][0]["data"]["name"]].append(name)
    groups: list[tuple[str, list[str]]] = []
    for data, names in by_data.items():
        for name in names:
            if not groups or groups[-1][0] != data or costs[groups[-1][1][0]] > _SAME_COST * costs[name]:
                groups.append((data, []))
            groups[-1][1].append(name)
    return [
        (data, _best_first({name: results[name] for name in names}), [costs[name] for name in names])
        for data, names in groups
    ]


def _training_macs(results: Results, name: str, key: Literal["macs_total", "macs_per_branch"]) -> float:
    """Multiply-adds that training takes for each training image, all epochs, forward passes only."""
    run = results[name][0]
    macs = run["cost"][key] * run["config"]["training"]["epochs"]
    source = STARTED_FROM.get(name)
    return macs + (_training_macs(results, source, key) if source in results else 0)


def _best_first(group: Results) -> Results:
    return dict(sorted(group.items(), key=lambda item: -statistics.mean(run["fused"]["top1"] for run in item[1])))
