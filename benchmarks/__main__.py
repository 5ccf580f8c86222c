"""`python -m benchmarks NAME`: measure this machine, ours beside its peers in one run."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from bandwise.commands.verb import Outcome, parse
from bandwise.errors import BandwiseError, UsageError


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Run one benchmark, or all of them, or print the table of the recorded ones."""

    name: Annotated[str, tyro.conf.Positional] = "list"
    """A benchmark, `all`, `table` for the recorded figures, `list`, or `accelerator`, which has flags of its own."""
    data: str = "photos"
    """The pictures to use: a folder or the name of a set."""
    smallest: bool = False
    """Do the least that shows that everything runs; the numbers mean nothing."""
    record: Path | None = None
    """Folder to write the figures to, or for `table` the one to read them from."""
    into: tuple[Path, ...] = ()
    """With `table`: write it between the marks of these Markdown files."""
    brief: bool = False
    """With `table`: one table, of the figures that are meant to reach something."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Measure."""
    if argv[:1] == ["accelerator"]:
        from benchmarks.machine import main as on_accelerator

        return on_accelerator(argv[1:])
    arguments = parse(Arguments, argv, "bench")
    from benchmarks.catalog import BENCHES, run_isolated

    if arguments.name == "list":
        width = max(map(len, BENCHES))
        return Outcome({"benches": BENCHES}, "\n".join(f"{name:<{width}}  {text}" for name, text in BENCHES.items()))
    if arguments.name == "table":
        return _table(arguments)
    if arguments.into:
        raise UsageError("--into belongs to `python -m benchmarks table`")
    names = list(BENCHES) if arguments.name == "all" else [arguments.name]
    documents = []
    for name in names:
        documents.append(run_isolated(name, data=arguments.data, smallest=arguments.smallest))
        if arguments.record is not None:
            from benchmarks.documents import record

            record(arguments.record, documents[-1])
    result = documents[0] if arguments.name != "all" else {"benches": documents}
    return Outcome(result, "\n\n".join(map(_lines, documents)))


def _table(arguments: Arguments) -> Outcome:
    from tools.blocks import update_between_marks

    from benchmarks.documents import MARKS, benchmarks_markdown, read_documents

    text = benchmarks_markdown(read_documents(arguments.record or Path("benchmarks")), brief=arguments.brief)
    for path in arguments.into:
        update_between_marks(path, text, MARKS)
    return Outcome({"table": text, "written": [str(path) for path in arguments.into]}, text)


def _lines(document: dict[str, Any]) -> str:
    from benchmarks.documents import line_of

    return "\n".join(line_of(figure) for figure in document["figures"])


def run(argv: Sequence[str]) -> int:
    """Run one benchmark as a command and return its exit code."""
    try:
        outcome = main(argv)
    except BandwiseError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    print(
        json.dumps(outcome.result, sort_keys=True, allow_nan=False)
        if "--json" in argv and argv[0] != "accelerator"
        else outcome.text
    )
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
