"""`bandwise push RUN|STORE ADDRESS`: copy a run or a store to an object store, or publish it on a hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse
from bandwise.errors import UsageError
from bandwise.export.place import commit_export
from bandwise.export.publish import files_to_publish, publish
from bandwise.files.hub import PREFIX, parse_name
from bandwise.files.remote import is_address
from bandwise.launch.push import push_folder
from bandwise.runs.run import RUN_NAME
from bandwise.serving.release import RELEASE_NAME
from bandwise.store.layout import MANIFEST_NAME


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Copy a run or a store to an address, or publish it on a hub; what is there already is not sent again."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Run folder, folder of a store, or, to hf:, folder of a released model."""
    address: Annotated[str, tyro.conf.Positional]
    """Such as s3://bucket/folder, of any kind that fsspec knows; or hf:OWNER/NAME, where a run becomes a released
    model and a store a data set, each with its card."""
    controls: tuple[Path, ...] = ()
    """To hf:, with a run: runs that the card compares it with."""
    license: str | None = None
    """To hf:, for the card: licence of the weights of a run, of the pictures of a store, such as mit."""
    private: bool = False
    """To hf:, where the repository is made: only its owner sees it."""
    out: Path | None = None
    """To hf:, in place of it: write what would be published to this folder, and send nothing."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "push")
    folder, address = arguments.folder.expanduser(), arguments.address
    hub = address.startswith(PREFIX) and not is_address(address)
    if not hub and not is_address(address):
        raise UsageError(
            f"{address} is no address; give one such as s3://bucket/folder or file:///mnt/disk/folder, or hf:OWNER/NAME"
        )
    known = (RUN_NAME, MANIFEST_NAME, *((RELEASE_NAME,) if hub else ()))
    if not any((folder / name).exists() for name in known):
        raise UsageError(f"{folder} is neither a run nor a finished store (no {', no '.join(known)})")
    if hub:
        return _publish(arguments, folder, address)
    if arguments.controls or arguments.license or arguments.private or arguments.out:
        raise UsageError(f"--controls, --license, --private and --out are for hf:OWNER/NAME, not for {address}")
    sent = push_folder(folder, address)
    is_run = (folder / RUN_NAME).exists()
    use = f"bandwise collect {address} --into RUN" if is_run else f"bandwise train ... --store {address}"
    return Outcome({"folder": str(folder), "address": address, "bytes": sent}, f"{sent} bytes sent; use: {use}")


def _publish(arguments: Arguments, folder: Path, address: str) -> Outcome:
    repository, revision = parse_name(address)
    if revision is not None:
        raise UsageError(f"{address} names a revision; what is published becomes the newest one: leave @ out")
    kind, files = files_to_publish(folder, repository, arguments.controls, arguments.license)
    size = sum(own.stat().st_size if isinstance(own, Path) else len(own) for own in files.values())
    result = {"folder": str(folder), "address": address, "bytes": size, "files": list(files)}
    said = f"{size / 1e6:.1f} MB in {len(files)} files"
    if (out := arguments.out) is not None:
        commit_export(out, files)
        return Outcome({**result, "path": str(out)}, f"wrote {out}: {said}; nothing was sent")
    commit = publish(files, kind, repository, private=arguments.private)
    use = f"predict {address} PICTURES" if kind == "model" else f"train ... --store hf://datasets/{repository}"
    return Outcome({**result, "commit": commit}, f"published {said}: {commit}\nnext: bandwise {use}")
