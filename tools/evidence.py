"""Recorded results as Markdown: rows for the README, the main systems, and all tables with their comparisons."""

from collections.abc import Sequence

from bandwise.report.page import Table, to_markdown
from bandwise.report.units import amount
from bandwise.runs.documents import Results, ScoredHead
from tools.comparisons import System, difference
from tools.cost import STARTED_FROM, Machines, grouped
from tools.natural import MAIN_PAIRS as NATURAL_MAIN_PAIRS
from tools.natural import PAIRS as NATURAL_PAIRS
from tools.natural import natural_table, readme_natural_table, verdicts
from tools.pairs import MAIN_FUSIONS, MAIN_PAIRS, MAIN_ROWS, PAIRS, README_ROWS, Pair
from tools.predictions import predictions_table
from tools.recorded import Recorded, epochs_of, seeds, spread, top1


def readme_markdown(results: Recorded) -> str:
    """Return the rows of the README: pictures of natural size first, then those of 32 px."""
    small = to_markdown(_readme_table(results))
    natural = readme_natural_table(results)
    if natural is None:
        return small
    said = "".join(f"- {line}\n" for line in verdicts(results))
    return f"{to_markdown(natural)}\n{said}\n{small}"


def natural_markdown(results: Recorded) -> str:
    """Return the systems on pictures of natural size, and a sentence for each main comparison."""
    table = natural_table(results)
    assert table is not None, "results/ holds no row of this size"
    return to_markdown(table) + "\n" + "".join(f"- {line}\n" for line in sentences(results, NATURAL_MAIN_PAIRS))


def _readme_table(results: Recorded) -> Table:
    rows = {name: results[name] for name in README_ROWS}
    first = next(iter(rows.values()))
    return Table(
        caption=f"Measured on pictures of 32 px ({first[0].data.name}), seeds {seeds(first)}, "
        f"{first[0].n_eval:,} reported images",
        head=("system", "top-1", "a node: MACs", "parameters", "data", "in all: MACs", "times epochs"),
        rows=tuple(
            (
                README_ROWS[name],
                top1(runs, "fused"),
                amount(runs[0].cost.macs_per_branch),
                amount(runs[0].cost.params_total // len(runs[0].branches)),
                amount(runs[0].cost.store_bytes_per_branch, "B"),
                amount(runs[0].cost.macs_total),
                amount(runs[0].cost.macs_total * epochs_of(runs[0])),
            )
            for name, runs in rows.items()
        ),
        text_columns=frozenset({0}),
    )


def summary_markdown(results: Recorded) -> str:
    """Return the main systems, and a sentence for each main comparison."""
    gains = [text for recipe in MAIN_FUSIONS if (text := gain_over_branches(results, recipe))]
    lines = [*sentences(results, MAIN_PAIRS), *gains]
    return to_markdown(summary_table(results)) + "\n" + "".join(f"- {line}\n" for line in lines)


def evidence_markdown(results: Recorded) -> str:
    """Return all tables: comparisons, predictions, and systems of equal cost."""
    tables = [comparison_table(results), predictions_table(results), *cost_tables(results)]
    tables += branch_cost_tables(results)
    return "\n".join(to_markdown(table) for table in tables if table is not None)


def summary_table(results: Recorded) -> Table:
    """The main systems; where none of them is recorded, all systems."""
    rows = {name: results[name] for name in MAIN_ROWS if name in results} or results
    machines = Machines(rows)
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
                MAIN_ROWS.get(name, ""),
                seeds(runs),
                str(epochs_of(runs[0])),
                top1(runs, "fused"),
                top1(runs, "head"),
                amount(runs[0].cost.params_total),
                amount(runs[0].cost.macs_per_branch),
                amount(runs[0].cost.macs_total),
                _time(name, runs, machines),
                amount(runs[0].cost.store_bytes_per_branch, "B"),
            )
            for name, runs in rows.items()
        ),
        text_columns=frozenset({0, 1}),
        note=_note(rows, machines),
    )


def cost_tables(results: Recorded) -> list[Table]:
    """One table for every group of systems on the same data of about equal cost of training in all, dearest first."""
    machines = Machines(results)
    head = (
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
    )
    return [
        Table(
            caption=f"{data}, {_range(macs)} multiply-adds of training in all, forward, for each training image",
            head=head,
            rows=tuple(_row(name, runs, machines) for name, runs in group.items()),
            note=f"Training on {machines.names}.",
        )
        for data, group, macs in grouped(results, "macs_total")
    ]


def branch_cost_tables(results: Recorded) -> list[Table]:
    """The same systems in groups of about equal cost of training one branch: what one node computes."""
    return [
        Table(
            caption=f"{data}, {_range(macs)} multiply-adds of training one branch, forward, for each training image",
            head=("recipe", "seeds", "epochs", "branches", "top-1", "with a head"),
            rows=tuple(
                (
                    name,
                    seeds(runs),
                    str(epochs_of(runs[0])),
                    str(len(runs[0].branches)),
                    top1(runs, "fused"),
                    top1(runs, "head"),
                )
                for name, runs in group.items()
            ),
        )
        for data, group, macs in grouped(results, "macs_per_branch")
        if len(group) > 1
    ]


def comparison_table(results: Recorded) -> Table | None:
    """Every planned comparison that the recorded results allow, seed by seed and image by image."""
    rows = []
    for pair in (*NATURAL_PAIRS, *PAIRS):
        found = difference(results, pair.first, pair.second)
        if found is None:
            continue
        interval = "" if found.half_width is None else f"± {found.half_width:.2f}"
        p_values = ", ".join(f"{value:.2g}" for value in found.p_values)
        rows.append((pair.question, _name(pair.first), _name(pair.second), spread(found.points), interval, p_values))
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


def sentences(results: Recorded, pairs: Sequence[Pair]) -> list[str]:
    """Say in one sentence each how systems compare with their controls, seed by seed."""
    found = []
    for pair in pairs:
        measured = difference(results, pair.first, pair.second)
        if measured is not None:
            count = "one seed" if len(measured.points) == 1 else f"{len(measured.points)} seeds"
            question = pair.question[0].upper() + pair.question[1:]
            systems = f"{_name(pair.first)} minus {_name(pair.second)}"
            found.append(f"{question}: {systems} is {spread(measured.points)} points over {count}.")
    return found


def gain_over_branches(results: Recorded, recipe: str) -> str:
    """Say in one sentence in how many seeds the fusion is above every one of its branches, on the reported images."""
    runs = results.get(recipe, [])
    gains = [100 * (run.fused.top1 - max(entry.top1 for entry in run.branches)) for run in runs]
    if not gains:
        return ""
    return (
        f"The fusion of {recipe} is above each of its branches in {sum(gain > 0 for gain in gains)} of {len(gains)} "
        f"seeds, by {spread(gains)} points over the best of them."
    )


def _name(system: System) -> str:
    recipe, rule = system
    return recipe if rule == "fused" else f"{recipe}, {rule}"


def _time(name: str, runs: Sequence[Results], machines: Machines) -> str:
    source = STARTED_FROM.get(name)
    return machines.training_time(runs) + (f" + {source}" if source else "")


def _range(values: Sequence[float]) -> str:
    low, high = amount(min(values)), amount(max(values))
    return low if low == high else f"{low} to {high}"


def _row(name: str, runs: Sequence[Results], machines: Machines) -> tuple[str, ...]:
    cost = runs[0].cost
    best = [100 * run.reference.best_branch.top1 for run in runs]
    gains = [100 * (run.fused.top1 - run.reference.best_branch.top1) for run in runs]
    several = len(runs[0].branches) > 1
    return (
        name,
        seeds(runs),
        str(epochs_of(runs[0])),
        top1(runs, "fused"),
        top1(runs, "head"),
        _head_on_holdout(runs),
        spread([run.fused.nll for run in runs], digits=3),
        spread([run.fused.ece for run in runs], digits=3),
        spread(best) if several else "",
        spread(gains) if several else "",
        amount(cost.params_total),
        amount(cost.macs_per_branch),
        amount(cost.macs_total),
        amount(cost.activation_bytes_per_image_per_branch, "B"),
        amount(cost.activation_bytes_per_image_total, "B"),
        _time(name, runs, machines),
        amount(cost.store_bytes_per_branch, "B"),
    )


def _note(results: Recorded, machines: Machines) -> str:
    images = sorted({f"{run.data.name} {run.n_eval}" for runs in results.values() for run in runs})
    return (
        f"Mean ± standard deviation over the seeds; reported images: {', '.join(images)}. A recipe with several "
        "branches is fused by the rule of its configuration, fitted on the holdout; a head is a small network on the "
        "features of the frozen branches, for the controls too. MACs: multiply-adds an image, forward. Training: on a "
        f"CPU the processor time, on {machines.names}."
    )


def _head_on_holdout(runs: Sequence[Results]) -> str:
    """What systems of equal cost are chosen by; the reported images have no part in it."""
    heads = [run.rules.get("head") for run in runs]
    found = [head.holdout.nll for head in heads if isinstance(head, ScoredHead)]
    return spread(found, digits=3) if len(found) == len(runs) else ""
