"""The table of recorded results: one row a recipe, mean and spread over its seeds, generated from JSON files only."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandwise.atomic import write_text
from bandwise.errors import CorruptionError, UsageError
from bandwise.report.tables import Table, to_markdown
from bandwise.report.units import amount, seconds
from bandwise.sealing import read_document

BEGIN, END = "<!-- results -->", "<!-- /results -->"
_FORMAT = "bandwise-results"


def read_results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read every recorded result, by recipe and then in the order of the seeds.

    Raises:
        UsageError: the folder holds none.
        CorruptionError: a file is damaged or no result.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        content = read_document(path)
        if content.get("format") != _FORMAT:
            raise CorruptionError(f"{path} is no result of a run")
        found.setdefault(content["name"], []).append(content)
    if not found:
        raise UsageError(f"{folder} holds no results; record one with `bandwise evaluate RUN --record {folder}`")
    for runs in found.values():
        runs.sort(key=_seed)
    return found


def evidence_table(results: dict[str, list[dict[str, Any]]]) -> Table:
    """Lay out the recorded results, one row a recipe."""
    machines = sorted({_machine(run) for runs in results.values() for run in runs})
    images = sorted({f"{run['data']['name']} {run['n_eval']}" for runs in results.values() for run in runs})
    return Table(
        caption="Recorded results",
        head=(
            "recipe",
            "seeds",
            "top-1",
            "best branch",
            "gain over it",
            "NLL",
            "parameters",
            "MACs, one branch",
            "MACs, all",
            "training, longest branch",
            "training, summed",
            "data a node",
        ),
        rows=tuple(_row(name, runs) for name, runs in results.items()),
        note=(
            f"Mean ± standard deviation over the seeds; reported images: {', '.join(images)}. "
            "A recipe with several branches is fused by the rule of its configuration, fitted on the holdout; the best "
            "branch is the one that is best on the holdout. Training time on one core of: " + "; ".join(machines) + "."
        ),
    )


def conclusion(results: dict[str, list[dict[str, Any]]], recipe: str, control: str) -> str:
    """Say in one sentence how a recipe compares with its control, seed by seed."""
    pairs = _paired(results, recipe, control)
    if not pairs:
        return ""
    differences = [100 * (ours - theirs) for ours, theirs in pairs]
    return f"{recipe} minus {control}: {_spread(differences)} points over {len(pairs)} seeds."


def gain_over_branches(results: dict[str, list[dict[str, Any]]], recipe: str) -> str:
    """Say in one sentence in how many seeds the fusion is above every one of its branches, on the reported images."""
    runs = results.get(recipe, [])
    gains = [100 * (run["fused"]["top1"] - max(entry["top1"] for entry in run["branches"])) for run in runs]
    if not gains:
        return ""
    return (
        f"The fusion of {recipe} is above each of its branches in {sum(gain > 0 for gain in gains)} of {len(gains)} "
        f"seeds, by {_spread(gains)} points over the best of them."
    )


def update_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks of a Markdown file.

    Raises:
        UsageError: the marks are not there.
    """
    content = path.read_text(encoding="utf-8")
    head, begin, rest = content.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{path} has no {BEGIN} ... {END}; put them where the table belongs")
    write_text(path, f"{head}{BEGIN}\n{text}{END}{tail}")


def evidence_markdown(results: dict[str, list[dict[str, Any]]], comparisons: Sequence[tuple[str, str]]) -> str:
    """Return the table and a sentence for each comparison, as Markdown."""
    sentences = [conclusion(results, recipe, control) for recipe, control in comparisons]
    sentences += [gain_over_branches(results, recipe) for recipe in dict(comparisons)]
    return to_markdown(evidence_table(results)) + "".join(f"\n{sentence}\n" for sentence in sentences if sentence)


def _row(name: str, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    several = len(runs[0]["branches"]) > 1
    cost = runs[0]["cost"]
    fused = [100 * run["fused"]["top1"] for run in runs]
    best = [100 * run["reference"]["best_branch"]["top1"] for run in runs]
    longest = statistics.mean(run["cost"]["wall_s_longest"] for run in runs)
    summed = statistics.mean(run["cost"]["wall_s_sum"] for run in runs)
    return (
        name,
        ", ".join(str(_seed(run)) for run in runs),
        f"{_spread(fused)} %",
        f"{_spread(best)} %" if several else "",
        _spread([a - b for a, b in zip(fused, best, strict=True)]) if several else "",
        _spread([run["fused"]["nll"] for run in runs], digits=3),
        amount(cost["params_total"]),
        amount(cost["macs_per_branch"]),
        amount(cost["macs_total"]),
        seconds(longest),
        seconds(summed),
        amount(cost["store_bytes_per_branch"], "B"),
    )


def _spread(values: Sequence[float], digits: int = 2) -> str:
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def _seed(run: dict[str, Any]) -> int:
    return run["config"]["training"]["seed"]


def _machine(run: dict[str, Any]) -> str:
    hardware, versions = run["environment"]["hardware"], run["environment"]["versions"]
    return f"{hardware['accelerator'] or hardware['processor']}, torch {versions['torch']}"


def _paired(results: dict[str, list[dict[str, Any]]], recipe: str, control: str) -> list[tuple[float, float]]:
    theirs = {_seed(run): run["fused"]["top1"] for run in results.get(control, [])}
    return [(run["fused"]["top1"], theirs[_seed(run)]) for run in results.get(recipe, []) if _seed(run) in theirs]
