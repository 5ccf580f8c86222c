"""`bandwise verify STORE`: check every byte, and repair what is broken."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands.outcome import Outcome
from bandwise.commands.parsing import parse
from bandwise.commands.store_source import source_of
from bandwise.store.verify import verify_store


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Check a store: hashes of all files, rows and ids of all bands. Exit code 4 names what is broken."""

    store: Annotated[Path, tyro.conf.Positional]
    """Folder of the store."""
    repair: bool = False
    """Compute broken groups again from the source."""
    data: str | None = None
    """Where the source is now; needed to repair a store made from a folder."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Verify, and repair where asked."""
    arguments = parse(Arguments, argv, "verify")
    source = source_of(arguments.store, arguments.data) if arguments.repair else None
    result = verify_store(arguments.store, repair=arguments.repair, source=source)
    return Outcome(result, "\n".join(f"{key:<12} {value}" for key, value in result.items()))
