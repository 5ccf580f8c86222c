"""`bandwise report RUN...`: the HTML and Markdown report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands.outcome import Outcome
from bandwise.commands.parsing import parse
from bandwise.errors import UsageError
from bandwise.report.evidence import evidence_markdown, read_results, update_between_marks
from bandwise.report.html import render_report
from bandwise.runs import open_run

_COMPARISONS = (("photos-sub4", "photos-baseline"), ("photos-sub4", "photos-lowres4"))


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write one self-contained page that compares runs, and the same as Markdown."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders; the first is the one reported, the others are its controls."""
    out: Path | None = None
    """The page; report.html in the first run when left out."""
    results: Path | None = None
    """Instead of a page: print the table of all results recorded in this folder."""
    into: tuple[Path, ...] = ()
    """With --results: write that table between the marks of these Markdown files."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Render."""
    arguments = parse(Arguments, argv, "report")
    if arguments.results is not None:
        text = evidence_markdown(read_results(arguments.results), _COMPARISONS)
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
