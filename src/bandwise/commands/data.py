"""`bandwise data list | get NAME`: the named data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse
from bandwise.errors import UsageError
from bandwise.sources.named.catalog import available, fetch


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List the named data sets, or fetch one now instead of on first use."""

    action: Annotated[Literal["list", "get"], tyro.conf.Positional]
    """What to do."""
    name: Annotated[str, tyro.conf.Positional] = ""
    """The set to get."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "data")
    names = available()
    if arguments.action == "list":
        width = max(map(len, names))
        return Outcome({"data": names}, "\n".join(f"{name:<{width}}  {text}" for name, text in names.items()))
    if not arguments.name:
        raise UsageError(f"name the set to get: {', '.join(names)}")
    path = fetch(arguments.name)
    return Outcome({"name": arguments.name, "path": str(path)}, f"{arguments.name} is in {path}")
