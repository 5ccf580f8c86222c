"""The tables of recorded results: systems of equal cost side by side, and the comparisons that were planned."""

from collections.abc import Sequence
from typing import Any

from bandwise.report.tables import Table
from bandwise.report.units import amount
from tools.comparisons import PAIRS, README_ROWS, STARTED_FROM, Pair
from tools.cost import grouped
from tools.machines import Letters, letters_of, named, training_time
from tools.statistics import Results, difference, score_of, seed_of, spread


def summary_table(results: Results) -> Table:
    """The rows of the README."""
    rows = {name: results[name] for name in README_ROWS if name in results} or results
    letters = letters_of(rows)
    return Table(
        caption="Recorded results",
        head=(
            "recipe",
            "what it is",
            "seeds",
            "epochs",
            "top-1",
            "with a head",
            "parameters",
            "MACs, one branch",
            "MACs, all",
            "training, all branches",
            "data a node",
        ),
        rows=tuple(
            (
                name,
                README_ROWS.get(name, ""),
                _seeds(runs),
                _epochs(runs),
                _top1(runs, "fused"),
                _top1(runs, "head"),
                amount(runs[0]["cost"]["params_total"]),
                amount(runs[0]["cost"]["macs_per_branch"]),
                amount(runs[0]["cost"]["macs_total"]),
                _time(name, runs, letters),
                amount(runs[0]["cost"]["store_bytes_per_branch"], "B"),
            )
            for name, runs in rows.items()
        ),
        text_columns=frozenset({0, 1}),
        note=_note(rows, letters),
    )


def cost_tables(results: Results) -> list[Table]:
    """One table for every group of systems on the same data of about equal cost of training in all, dearest first."""
    tables = []
    letters = letters_of(results)
    for data, group, macs in grouped(results, "macs_total"):
        tables.append(
            Table(
                caption=f"{data}, {_range(macs)} multiply-adds of training in all, forward, for each training image",
                head=(
                    "recipe",
                    "seeds",
                    "epochs",
                    "top-1",
                    "with a head",
                    "NLL of the head on the holdout",
                    "NLL",
                    "ECE",
                    "best branch",
                    "gain over it",
                    "parameters",
                    "MACs, one",
                    "MACs, all",
                    "activations, one",
                    "activations, all",
                    "training, summed",
                    "data a node",
                ),
                rows=tuple(_row(name, runs, letters) for name, runs in group.items()),
                note=f"Training on {named(letters)}.",
            )
        )
    return tables


def branch_cost_tables(results: Results) -> list[Table]:
    """The same systems in groups of about equal cost of training one branch: what one node computes."""
    tables = []
    for data, group, macs in grouped(results, "macs_per_branch"):
        rows = tuple(
            (
                name,
                _seeds(runs),
                _epochs(runs),
                str(len(runs[0]["branches"])),
                _top1(runs, "fused"),
                _top1(runs, "head"),
            )
            for name, runs in group.items()
        )
        if len(rows) > 1:
            caption = f"{data}, {_range(macs)} multiply-adds of training one branch, forward, for each training image"
            head = ("recipe", "seeds", "epochs", "branches", "top-1", "with a head")
            tables.append(Table(caption=caption, head=head, rows=rows))
    return tables


def comparison_table(results: Results) -> Table | None:
    """Every planned comparison that the recorded results allow, seed by seed and image by image."""
    rows = []
    for pair in PAIRS:
        found = difference(results, pair.first, pair.second)
        if found is None:
            continue
        interval = "" if found.half_width is None else f"± {found.half_width:.2f}"
        p_values = ", ".join(f"{value:.2g}" for value in found.p_values)
        rows.append(
            (pair.question, _system(pair.first), _system(pair.second), spread(found.points), interval, p_values)
        )
    if not rows:
        return None
    return Table(
        caption="Comparisons",
        head=("question", "first", "second", "difference in points", "95 % over images", "McNemar, by seed"),
        rows=tuple(rows),
        text_columns=frozenset({0, 1, 2}),
        note="First minus second in points of top-1, mean ± standard deviation over the seeds that both have; the half "
        "width of the 95 % interval of the mean over the choice of images; the p-value of the exact McNemar test on "
        "the answers of every seed.",
    )


def sentences(results: Results, pairs: Sequence[Pair]) -> list[str]:
    """Say in one sentence each how systems compare with their controls, seed by seed."""
    found = []
    for pair in pairs:
        measured = difference(results, pair.first, pair.second)
        if measured is not None:
            count = len(measured.points)
            seeds = "one seed" if count == 1 else f"{count} seeds"
            asked = pair.question[0].upper() + pair.question[1:]
            systems = f"{_system(pair.first)} minus {_system(pair.second)}"
            found.append(f"{asked}: {systems} is {spread(measured.points)} points over {seeds}.")
    return found


def _system(system: tuple[str, str]) -> str:
    recipe, rule = system
    return recipe if rule == "fused" else f"{recipe}, {rule}"


def _epochs(runs: list[dict[str, Any]]) -> str:
    return str(runs[0]["config"]["training"]["epochs"])


def _time(name: str, runs: list[dict[str, Any]], letters: Letters) -> str:
    source = STARTED_FROM.get(name)
    return training_time(runs, letters) + (f" + {source}" if source else "")


def _range(values: Sequence[float]) -> str:
    low, high = amount(min(values)), amount(max(values))
    return low if low == high else f"{low} to {high}"


def _row(name: str, runs: list[dict[str, Any]], letters: Letters) -> tuple[str, ...]:
    cost = runs[0]["cost"]
    several = len(runs[0]["branches"]) > 1
    best = [100 * run["reference"]["best_branch"]["top1"] for run in runs]
    kept = [cost.get(f"activation_bytes_per_image_{which}") for which in ("per_branch", "total")]
    return (
        name,
        _seeds(runs),
        _epochs(runs),
        _top1(runs, "fused"),
        _top1(runs, "head"),
        _head_on_holdout(runs),
        spread([run["fused"]["nll"] for run in runs], digits=3),
        spread([run["fused"]["ece"] for run in runs], digits=3),
        spread(best) if several else "",
        _gain(runs),
        amount(cost["params_total"]),
        amount(cost["macs_per_branch"]),
        amount(cost["macs_total"]),
        *("" if value is None else amount(value, "B") for value in kept),
        _time(name, runs, letters),
        amount(cost["store_bytes_per_branch"], "B"),
    )


def _seeds(runs: list[dict[str, Any]]) -> str:
    return ", ".join(str(seed_of(run)) for run in runs)


def _top1(runs: list[dict[str, Any]], system: str) -> str:
    scores = [score_of(run, system) for run in runs]
    known = [100 * score["top1"] for score in scores if score is not None]
    # A mean over fewer seeds than the row claims would not be comparable with its neighbours.
    return f"{spread(known)} %" if len(known) == len(runs) else ""


def _gain(runs: list[dict[str, Any]]) -> str:
    if len(runs[0]["branches"]) == 1:
        return ""
    return spread([100 * (run["fused"]["top1"] - run["reference"]["best_branch"]["top1"]) for run in runs])


def _note(results: Results, letters: Letters) -> str:
    images = sorted({f"{run['data']['name']} {run['n_eval']}" for runs in results.values() for run in runs})
    return (
        f"Mean ± standard deviation over the seeds; reported images: {', '.join(images)}. A recipe with several "
        "branches is fused by the rule of its configuration, fitted on the holdout; a head is a small network on the "
        "features of the frozen branches, for the controls too. MACs: multiply-adds an image, forward. Training: on a "
        f"CPU the processor time, on {named(letters)}."
    )


def _head_on_holdout(runs: list[dict[str, Any]]) -> str:
    """What systems of equal cost are chosen by; the reported images have no say."""
    scores = [run["rules"].get("head", {}).get("holdout") for run in runs]
    return "" if None in scores else spread([score["nll"] for score in scores], digits=3)
