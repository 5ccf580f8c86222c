"""`bandwise collect RUN... --into RUN`: bring together what machines have trained that share nothing."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, command, own_store, parse
from bandwise.files.remote import is_address
from bandwise.files.schema import plain
from bandwise.launch.collect import Collected, collect
from bandwise.launch.lowres import take_low_resolution
from bandwise.runs.run import Run, open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Copy the finished branches of run folders from other machines into one run, after comparing all of them."""

    folders: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Run folders that hold some branches each, or their addresses, such as s3://bucket/run."""
    into: Path
    """The run; made with the configuration of the first folder where there is none."""
    store: flags.SharedStore = None
    low_resolution: Path | None = None
    """A run on the pictures at 1/s of their size, stride 1 and one branch: its answers become those of branch 0."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "collect")
    into = arguments.into.expanduser()
    with tempfile.TemporaryDirectory(prefix="bandwise-collect-") as scratch:
        folders = [_folder_of(place, Path(scratch) / str(index)) for index, place in enumerate(arguments.folders)]
        done = collect(folders, into, store=own_store(arguments.store))
    places = dict(zip(map(str, folders), arguments.folders, strict=True))
    done = replace(done, brought={branch: places[folder] for branch, folder in done.brought.items()})
    if arguments.low_resolution is not None:
        done = _with_low_band(done, arguments.low_resolution.expanduser(), open_run(into, own_store(arguments.store)))
    lines = [f"branch {branch} from {folder}" for branch, folder in done.brought.items()]
    lines += [f"branch {branch} was there" for branch in done.there]
    lines += [f"note: {note}" for note in done.notes]
    if done.missing:
        lines.append(f"missing: {', '.join(map(str, done.missing))}; fuse what is there with --use, or collect again")
    else:
        lines.append(f"all branches are in {into}; next: {command('fuse', into)}, then {command('evaluate', into)}")
    return Outcome(plain(done), "\n".join(lines))


def _with_low_band(done: Collected, folder: Path, run: Run) -> Collected:
    note = take_low_resolution(folder, run)
    missing = tuple(branch for branch in done.missing if branch != 0)
    return replace(done, brought={0: str(folder), **done.brought}, missing=missing, notes=(*done.notes, note))


def _folder_of(place: str, scratch: Path) -> Path:
    """Return a run folder; one at an address is copied first."""
    if not is_address(place):
        return Path(place).expanduser()
    from bandwise.launch.push import pull_run

    return pull_run(place, scratch)
