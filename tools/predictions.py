"""What was predicted before it was measured, each beside what came out, whatever it is."""

import statistics
from collections.abc import Sequence

from scipy.stats import spearmanr

from bandwise.report.page import Table
from bandwise.report.units import points
from bandwise.runs.documents import Results
from tools.comparisons import difference
from tools.recorded import Recorded, spread

_LEAST_BRANCHES = 4


def predictions_table(results: Recorded) -> Table | None:
    """Lay out every prediction that the recorded results can judge; None where they can judge none."""
    rows = [
        *(_energy(name, runs) for name, runs in results.items() if _has_bands(runs)),
        *_learned(results),
        *_gain_and_strength(results),
        *_flips(results),
        *_head(results),
    ]
    if not rows:
        return None
    return Table(
        caption="Predictions",
        head=("predicted", "measured on", "came out"),
        rows=tuple(rows),
        text_columns=frozenset({0, 1, 2}),
        note="Predicted before the runs. Rank correlations are Spearman's, over branches within a run; mean ± standard "
        "deviation over the seeds. Energy is the variance of the stored values of a band over the training images.",
    )


def _has_bands(runs: Sequence[Results]) -> bool:
    """Whether every branch of a run has one band of its own."""
    bands = [entry.bands for entry in runs[0].branches]
    return all(len(group) == 1 for group in bands) and len(set(bands)) == len(bands) >= _LEAST_BRANCHES


def _energy(name: str, runs: Sequence[Results]) -> tuple[str, str, str]:
    found = [_correlation([(entry.energy, entry.top1) for entry in run.branches]) for run in runs]
    expected = "about 0.9" if len(runs[0].branches) > _LEAST_BRANCHES else "positive"
    return f"accuracy of a band follows its energy: {expected}", name, f"rank correlation {spread(found)}"


def _correlation(pairs: Sequence[tuple[float, float]]) -> float:
    first, second = zip(*pairs, strict=True)
    return float(spearmanr(first, second)[0])  # pyright: ignore[reportArgumentType]


def _learned(results: Recorded) -> list[tuple[str, str, str]]:
    several = [run for runs in results.values() for run in runs if len(run.branches) > 1]
    rows = []
    for rule in ("geometric", "mean"):
        gains = [run.rules["learned"].top1 - run.rules[rule].top1 for run in several]
        if gains:
            held = sum(gain >= 0 for gain in gains)
            text = f"in {held} of {len(gains)} runs; mean difference {points(statistics.mean(gains))} points"
            rows.append((f"learned weights are at least as good as {rule}", "all runs of several branches", text))
    return rows


def _gain_and_strength(results: Recorded) -> list[tuple[str, str, str]]:
    by_data: dict[str, list[tuple[float, float]]] = {}
    for runs in results.values():
        if len(runs[0].branches) > 1:
            best = statistics.mean(run.reference.best_branch.top1 for run in runs)
            gain = statistics.mean(run.fused.top1 for run in runs) - best
            by_data.setdefault(runs[0].data.name, []).append((best, gain))
    return [
        (
            "the gain of fusing shrinks as branches get stronger: negative",
            f"{data}, {len(pairs)} systems",
            f"rank correlation {_correlation(pairs):.2f}",
        )
        for data, pairs in by_data.items()
        if len(pairs) >= _LEAST_BRANCHES
    ]


def _flips(results: Recorded) -> list[tuple[str, str, str]]:
    exact = difference(results, ("cifar10-sub4", "fused"), ("cifar10-sub4-noflip", "fused"))
    inexact = difference(results, ("cifar10-sub4-dct1d-inexact", "fused"), ("cifar10-sub4-dct1d", "fused"))
    if exact is None or inexact is None:
        return []
    text = f"exact {spread(exact.points)}, inexact {spread(inexact.points)} points over no mirroring"
    return [("exact mirroring helps more than inexact", "cifar10, four bands", text)]


def _head(results: Recorded) -> list[tuple[str, str, str]]:
    gains = [
        run.rules["head"].top1 - run.fused.top1
        for runs in results.values()
        for run in runs
        if "head" in run.rules and len(run.branches) > 1 and run.fusion.rule != "head"
    ]
    if not gains:
        return []
    held = sum(gain > 0 for gain in gains)
    text = f"in {held} of {len(gains)} runs; mean difference {points(statistics.mean(gains))} points"
    return [("a head beats the rule of the configuration", "all runs of several branches with a head", text)]
