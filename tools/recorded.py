"""The recorded results, and what tables say of several seeds."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.runs.documents import Results, Scores, read_results

Recorded = dict[str, list[Results]]
"""Recorded results by recipe, in the order of the seeds."""


def read_recorded(folder: Path, crops: tuple[int, ...] = (1,)) -> Recorded:
    """Read every recorded result with these crops, by recipe and then in the order of the seeds.

    Raises:
        UsageError: the folder holds none, or two of one recipe and seed.
        CorruptionError: a file is damaged or no result.
    """
    found: Recorded = {}
    paths: dict[tuple[str, int, int], Path] = {}
    for path in sorted(folder.glob("*.json")):
        results = read_results(path)
        key = results.name, seed_of(results), results.crops
        # Counted twice, a seed would make the spread smaller than it is.
        if (other := paths.setdefault(key, path)) != path:
            raise UsageError(f"{other} and {path} are both of {key[0]} with seed {key[1]}; leave one of them here")
        # Ten crops are another figure of the same run; the tables are of one kind.
        if results.crops in crops:
            found.setdefault(results.name, []).append(results)
    if not found:
        raise UsageError(f"{folder} holds no results; record one with `bandwise evaluate RUN --record {folder}`")
    for runs in found.values():
        runs.sort(key=seed_of)
    return found


def seed_of(run: Results) -> int:
    """Return the seed of a recorded result."""
    return run.config["training"]["seed"]


def epochs_of(run: Results) -> int:
    """Return the epochs of a recorded result."""
    return run.config["training"]["epochs"]


def scores_of(run: Results, system: str) -> Scores | None:
    """Return the scores of `fused` (the rule of the configuration) or of another rule; None where it was not tried."""
    return run.fused if system == "fused" else run.rules.get(system)


def seeds(runs: Sequence[Results]) -> str:
    """List the seeds: `0, 1, 2`."""
    return ", ".join(str(seed_of(run)) for run in runs)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write mean and sample standard deviation, `60.92 ± 0.61`; the mean alone where there is one value."""
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def top1(runs: Sequence[Results], system: str) -> str:
    """Write the accuracy of a system over the seeds; empty where a seed lacks it, for its neighbours have all."""
    known = [100 * scores.top1 for run in runs if (scores := scores_of(run, system)) is not None]
    return f"{spread(known)} %" if len(known) == len(runs) else ""
