"""`bandwise report RUN...`: the HTML and Markdown report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse, wrote
from bandwise.errors import UsageError
from bandwise.report.events import write_events
from bandwise.report.html import render_report
from bandwise.runs.run import open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write one self-contained page that compares runs, and the same as Markdown."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders; the first is the one reported, the others are its controls."""
    out: Path | None = None
    """The page; report.html in the first run when left out."""
    tensorboard: Path | None = None
    """In place of the page: the metrics of all branches, as far as they have come, for TensorBoard, in this folder."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "report")
    if not arguments.runs:
        raise UsageError("name at least one run folder")
    for path in arguments.runs:
        open_run(path)
    if (folder := arguments.tensorboard) is not None:
        if arguments.out is not None:
            raise UsageError("--tensorboard writes no page; leave --out away")
        written = write_events(arguments.runs, folder)
        text = f"wrote the metrics of {len(written)} branches\nnext: tensorboard --logdir {folder}"
        return Outcome({"tensorboard": str(folder), "branches": list(map(str, written))}, text)
    page = render_report(arguments.runs, arguments.out or arguments.runs[0] / "report.html")
    return Outcome({"report": str(page)}, wrote(page, "export", arguments.runs[0], "-o", "MODEL"))
