"""`bandwise verify RUN|STORE`: check every byte, and mend what is broken."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.store_source import source_of
from bandwise.commands.verb import Outcome, parse
from bandwise.config import parse_bands
from bandwise.errors import CorruptionError, UsageError
from bandwise.files.schema import plain
from bandwise.launch.check import store_of
from bandwise.launch.verify import verify_run
from bandwise.runs.run import RUN_NAME
from bandwise.sources.source import Source
from bandwise.store.manifest import Manifest
from bandwise.store.verify import verify_store


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Check a run or a store: hashes of all files, rows and ids of all bands. Exit code 4 names what is broken."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder of a store."""
    bands: str = "all"
    """Of a store: the bands that this copy holds, for example 0,3-5."""
    repair: bool = False
    """Mend it: compute broken bands and logits again, set damaged checkpoints aside. What was done is said."""
    store: Path | None = None
    """Of a run: where its store is now, should it have moved."""
    data: str | None = None
    """Where the images are now; needed to compute bands again that were made from a folder."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "verify")
    folder = arguments.folder.expanduser()
    is_run = (folder / RUN_NAME).exists()
    if arguments.store is not None and not is_run:
        raise UsageError(f"{folder} is no run; --store is for a run, so leave it out")
    if arguments.bands != "all" and (is_run or arguments.repair):
        raise UsageError("--bands checks a copy of a store that holds some bands; leave it out for a run or a repair")
    source = None
    if arguments.repair:
        source = _known_source(arguments.store or store_of(folder) if is_run else folder, arguments.data)
    if is_run:
        result = plain(verify_run(folder, store=arguments.store, repair=arguments.repair, source=source))
    else:
        result = verify_store(folder, repair=arguments.repair, source=source, bands=_bands(folder, arguments.bands))
    shown = {
        key: "\n             ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in result.items()
    }
    return Outcome(result, "\n".join(f"{key:<12} {value}" for key, value in shown.items()))


def _bands(store: Path, text: str) -> tuple[int, ...] | None:
    return None if text == "all" else parse_bands(text, Manifest.read(store).band_count)


def _known_source(store: Path, data: str | None) -> Source | None:
    """Return the images of a store, or None where nothing says where they are: much is mended without them."""
    if data is not None:
        return source_of(store, data)
    try:
        return source_of(store, None)
    except (UsageError, CorruptionError):
        return None
