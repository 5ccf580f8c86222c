"""`bandwise report RUN...`: the HTML and Markdown report."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tools.blocks import Which, evidence_markdown, read_results, update_between_marks
from tools.expected import expected_json
from tools.published import seed_entry, seed_markdown
from tools.sets import sets_markdown

from bandwise.commands.outcome import Outcome
from bandwise.commands.parsing import parse
from bandwise.errors import UsageError
from bandwise.files.atomic import write_text
from bandwise.report.html import render_report
from bandwise.runs.run import open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write one self-contained page that compares runs, and the same as Markdown."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders; the first is the one reported, the others are its controls."""
    out: Path | None = None
    """The page; report.html in the first run when left out."""
    results: Path | None = None
    """Instead of a page: print the tables of the results recorded in this folder."""
    table: Which | Literal["expected", "seed", "sets"] = "summary"
    """With --results: the short table of the README (summary), all tables, comparisons and predictions (evidence), or
    what `bandwise recipes` says of cost and result, as JSON (expected).
    seed: the published ImageNet tables with our columns beside them, from --results or `results/`. sets: the recipe
    sets."""
    into: tuple[Path, ...] = ()
    """With --results or --table: write that table between the marks of these Markdown files (expected: replace these
    JSON files)."""
    chart: Path | None = None
    """With --results: draw the accuracies of the README's systems into this SVG file instead."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Render."""
    arguments = parse(Arguments, argv, "report")
    _require_one_purpose(arguments)
    if arguments.chart is not None:
        return _chart(arguments.results, arguments.chart)
    if arguments.table == "seed" or arguments.table == "sets":
        return _published(arguments.table, arguments)
    if arguments.table == "expected":
        return _expected(arguments)
    if arguments.results is not None:
        text = evidence_markdown(read_results(arguments.results), arguments.table)
        for path in arguments.into:
            update_between_marks(path, text)
        return Outcome({"table": text, "written": [str(path) for path in arguments.into]}, text)
    if not arguments.runs:
        raise UsageError("name at least one run folder")
    for path in arguments.runs:
        open_run(path)
    out = arguments.out or arguments.runs[0] / "report.html"
    page = render_report(arguments.runs, out)
    return Outcome({"report": str(page)}, f"wrote {page}")


def _require_one_purpose(arguments: Arguments) -> None:
    """Refuse flags that would do nothing."""
    tables = bool(arguments.results or arguments.chart) or arguments.table in ("seed", "sets", "expected")
    if tables and arguments.runs:
        raise UsageError(f"the runs {[str(run) for run in arguments.runs]} have no part in tables of recorded results")
    if tables and arguments.out is not None:
        raise UsageError(f"--out {arguments.out} is for the page of a run; tables go --into files")
    if not tables and (arguments.into or arguments.table != "summary"):
        raise UsageError("--into and --table are about recorded results; name their folder with --results")
    if arguments.chart is not None and (arguments.into or arguments.table != "summary"):
        raise UsageError(f"--chart {arguments.chart} goes with --results alone; draw it by a call of its own")


def _chart(results: Path | None, out: Path) -> Outcome:
    # Here, because matplotlib takes as long to start as all tables take to make.
    from tools.chart import evidence_svg

    if results is None:
        raise UsageError("--chart is drawn from recorded results; name their folder with --results")
    if out.suffix != ".svg":
        raise UsageError(f"the chart is {str(out)!r}; its name must end in .svg")
    write_text(out, evidence_svg(read_results(results)))
    return Outcome({"written": [str(out)]}, f"wrote {out}")


def _expected(arguments: Arguments) -> Outcome:
    if arguments.results is None:
        raise UsageError("--table expected is made from recorded results; name their folder with --results")
    if other := [str(path) for path in arguments.into if path.suffix != ".json"]:
        raise UsageError(f"--table expected replaces whole files of JSON, and {other} are none; name .json files")
    text = expected_json(read_results(arguments.results))
    for path in arguments.into:
        write_text(path, text)
    return Outcome({"expected": json.loads(text), "written": [str(path) for path in arguments.into]}, text)


def _published(table: Literal["seed", "sets"], arguments: Arguments) -> Outcome:
    """Print the published rows or the recipe sets; neither needs a run."""
    # Here, because counting the networks needs torch and the other tables do not.
    from tools.published_rows import EXAMPLE_ROW, recorded, seed_rows, set_columns

    if table == "seed":
        rows, results = seed_rows(), recorded(arguments.results)
        text = seed_markdown(rows, results)
        content = {"rows": [seed_entry(row, results) for row in rows]}
    else:
        columns = set_columns()
        text = sets_markdown(EXAMPLE_ROW, columns)
        content = {"sets": [asdict(column) for column in columns]}
    for path in arguments.into:
        update_between_marks(path, text, (f"<!-- {table} -->", f"<!-- /{table} -->"))
    return Outcome({**content, "table": text, "written": [str(path) for path in arguments.into]}, text)
