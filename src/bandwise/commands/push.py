"""`bandwise push RUN|STORE ADDRESS`: copy a run or a store to an object store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse
from bandwise.errors import UsageError
from bandwise.files.remote import is_address
from bandwise.launch.push import push_folder
from bandwise.runs.run import RUN_NAME
from bandwise.store.layout import MANIFEST_NAME


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Copy a run or a store to an address; what is there already is not sent again, and its documents come last."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder of a store."""
    address: Annotated[str, tyro.conf.Positional]
    """Such as s3://bucket/folder; of any kind that fsspec knows."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "push")
    folder, address = arguments.folder.expanduser(), arguments.address
    if not is_address(address):
        raise UsageError(f"{address} is no address; give one such as s3://bucket/folder or file:///mnt/disk/folder")
    if not any((folder / name).exists() for name in (RUN_NAME, MANIFEST_NAME)):
        raise UsageError(f"{folder} is neither a run nor a finished store (no {RUN_NAME}, no {MANIFEST_NAME})")
    sent = push_folder(folder, address)
    is_run = (folder / RUN_NAME).exists()
    use = f"bandwise collect {address} --into RUN" if is_run else f"bandwise train ... --store {address}"
    return Outcome({"folder": str(folder), "address": address, "bytes": sent}, f"{sent} bytes sent; use: {use}")
