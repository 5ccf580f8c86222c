"""`bandwise collect RUN... --into RUN`: bring together what machines have trained that share nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, own_store, parse
from bandwise.files.schema import plain
from bandwise.launch.collect import collect


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Copy the finished branches of run folders from other machines into one run, after comparing all of them."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders that hold some branches each."""
    into: Path
    """The run; made with the configuration of the first folder where there is none."""
    store: flags.SharedStore = None
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "collect")
    into = arguments.into.expanduser()
    done = collect([folder.expanduser() for folder in arguments.folders], into, store=own_store(arguments.store))
    lines = [f"branch {branch} from {folder}" for branch, folder in done.brought.items()]
    lines += [f"branch {branch} was there" for branch in done.there]
    lines += [f"note: {note}" for note in done.notes]
    if done.missing:
        lines.append(f"missing: {', '.join(map(str, done.missing))}; fuse what is there with --use, or collect again")
    else:
        lines.append(f"all branches are in {into}; next: bandwise fuse {into}, then bandwise evaluate {into}")
    return Outcome(plain(done), "\n".join(lines))
