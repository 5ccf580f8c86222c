"""Recorded results as Markdown: a short table for the README, all of it for the docs; from JSON files only."""

from pathlib import Path
from typing import Any, Literal

from bandwise.errors import UsageError
from bandwise.files.atomic import write_text
from bandwise.report.recorded import read_result
from bandwise.report.tables import Table, to_markdown
from tools.comparisons import README_FUSIONS, README_PAIRS
from tools.evidence import (
    branch_cost_tables,
    comparison_table,
    cost_tables,
    sentences,
    summary_table,
)
from tools.predictions import predictions_table
from tools.statistics import Results, seed_of, spread

BEGIN, END = "<!-- results -->", "<!-- /results -->"
Which = Literal["summary", "evidence"]


def read_results(folder: Path, crops: tuple[int, ...] = (1,)) -> Results:
    """Read every recorded result with these crops, by recipe and then in the order of the seeds.

    Raises:
        UsageError: the folder holds none, or two of one recipe and seed.
        CorruptionError: a file is damaged or no result.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    places: dict[tuple[str, int, int], Path] = {}
    for path in sorted(folder.glob("*.json")):
        content = read_result(path)
        key = content["name"], seed_of(content), content.get("crops", 1)
        # Counted twice, a seed would make the spread smaller than it is.
        if (other := places.setdefault(key, path)) != path:
            raise UsageError(f"{other} and {path} are both of {key[0]} with seed {key[1]}; leave one of them here")
        # Ten crops are another figure of the same run; the tables are of one kind.
        if key[2] in crops:
            found.setdefault(content["name"], []).append(content)
    if not found:
        raise UsageError(f"{folder} holds no results; record one with `bandwise evaluate RUN --record {folder}`")
    for runs in found.values():
        runs.sort(key=seed_of)
    return found


def evidence_markdown(results: Results, which: Which) -> str:
    """Return the short table with a sentence for each main comparison, or all tables, as Markdown."""
    if which == "summary":
        said = [*sentences(results, README_PAIRS), *_gains(results)]
        return to_markdown(summary_table(results)) + "\n" + "".join(f"- {sentence}\n" for sentence in said)
    tables: list[Table | None] = [comparison_table(results), predictions_table(results), *cost_tables(results)]
    tables += branch_cost_tables(results)
    return "\n".join(to_markdown(table) for table in tables if table is not None)


def gain_over_branches(results: Results, recipe: str) -> str:
    """Say in one sentence in how many seeds the fusion is above every one of its branches, on the reported images."""
    runs = results.get(recipe, [])
    gains = [100 * (run["fused"]["top1"] - max(entry["top1"] for entry in run["branches"])) for run in runs]
    if not gains:
        return ""
    return (
        f"The fusion of {recipe} is above each of its branches in {sum(gain > 0 for gain in gains)} of {len(gains)} "
        f"seeds, by {spread(gains)} points over the best of them."
    )


def update_between_marks(path: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between two marks of a Markdown file.

    Raises:
        UsageError: there is no such file, it is no text, or the marks are not there.
    """
    first, last = marks
    try:
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no Markdown file that is there; name one that has {first} ... {last}") from error
    head, begin, rest = content.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise UsageError(f"{path} has no {first} ... {last}; put them where the table belongs")
    write_text(path, f"{head}{first}\n{text}{last}{tail}")


def _gains(results: Results) -> list[str]:
    return [sentence for recipe in README_FUSIONS if (sentence := gain_over_branches(results, recipe))]
