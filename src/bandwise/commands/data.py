"""`bandwise data list | get NAME | inspect FOLDER`: the named data sets, and what a folder holds."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse, wrote
from bandwise.config import DataConfig, SplitConfig
from bandwise.errors import UsageError
from bandwise.sources.inspect import Inspection, inspect
from bandwise.sources.named.catalog import available, fetch
from bandwise.sources.resolve import open_source, require_one_meaning

_CLASSES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List the named data sets, fetch one now instead of on first use, or say what `split` would see of a folder."""

    action: Annotated[Literal["list", "get", "inspect"], tyro.conf.Positional]
    """What to do."""
    name: Annotated[str, tyro.conf.Positional] = ""
    """The set to get, or the folder to inspect."""
    settings: DataConfig
    looked_at: int = 500
    """Pictures that are read and decoded, evenly spread over all of them; 0 is all."""
    background: int = 255
    """As for `split`: grey level behind transparent pixels."""
    depth: int = 16
    """As for `split`: bits that a grey picture of 16 bits uses."""
    max_pixels: int = 50_000_000
    """As for `split`: a larger picture is skipped."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "data", Arguments(action="list", settings=DataConfig()))
    names = available()
    if arguments.action == "list":
        width = max(map(len, names))
        return Outcome({"data": names}, "\n".join(f"{name:<{width}}  {text}" for name, text in names.items()))
    if not arguments.name:
        raise UsageError(f"name the set to get: {', '.join(names)}; or the folder to inspect")
    if arguments.action == "inspect":
        return _inspect(arguments)
    path = fetch(arguments.name)
    return Outcome(
        {"name": arguments.name, "path": str(path)}, wrote(path, "split", "--data", arguments.name, "--out", "STORE")
    )


def _inspect(arguments: Arguments) -> Outcome:
    if arguments.looked_at < 0:
        raise UsageError(f"looked_at is {arguments.looked_at}; it must be at least 0")
    if arguments.settings.source == "auto":
        require_one_meaning(arguments.name)
    source = open_source(replace(arguments.settings, data=arguments.name))
    split = SplitConfig(background=arguments.background, depth=arguments.depth, max_pixels=arguments.max_pixels)
    found = inspect(source, split, arguments.looked_at or sys.maxsize)
    return Outcome(found.to_dict(), _text(found))


def _text(found: Inspection) -> str:
    facts = found.to_dict()
    lines = [
        f"{found.name}: read as {found.kind}, {len(found.classes):,} classes, {facts['train']:,} pictures to train"
    ]
    lines[0] += f" and {facts['val']:,} reported"
    lines += [
        f"  {name!r:<24} {train:>8,} {val:>8,}" for name, (train, val) in list(found.classes.items())[:_CLASSES_SHOWN]
    ]
    if (more := len(found.classes) - _CLASSES_SHOWN) > 0:
        lines.append(f"  and {more:,} more")
    lines.append(f"looked at {found.looked_at:,} pictures")
    for what in ("formats", "modes", "short_sides", "notes", "skipped"):
        if facts[what]:
            lines.append(
                f"  {what.replace('_', ' ')}: {', '.join(f'{key} {count:,}' for key, count in facts[what].items())}"
            )
    lines += [f"    {reason}: {', '.join(map(repr, names))}" for reason, names in facts["skipped_examples"].items()]
    if found.duplicates:
        lines.append(
            f"  equal files: {len(found.duplicates):,} sets, {found.across_splits:,} of them across splits, such as "
            f"{', '.join(map(repr, found.duplicates[0][:3]))}"
        )
    return "\n".join(lines)
