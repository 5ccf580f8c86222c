"""`bandwise split`: write the sub-datasets of an image set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bandwise.commands.outcome import Outcome
from bandwise.commands.parsing import base_config, core_count, parse, require_out, take_recipe
from bandwise.config import DataConfig, SplitConfig
from bandwise.signals import stop_requested
from bandwise.sources.resolve import open_source
from bandwise.store.split import split_dataset


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write the sub-datasets of an image set; run again to resume, and again with more --bands to add some."""

    data: DataConfig
    split: SplitConfig
    out: Path | None = None
    """Folder of the store."""
    workers: int = field(default_factory=core_count)
    """Processes; the bytes of the store do not depend on it."""
    max_bad: int | None = None
    """Unreadable images allowed before the work stops; 100 or one in ten thousand when left out."""
    allow_empty_class: bool = False
    """Accept a class folder without images."""
    config: Path | None = None
    """YAML or JSON file, merged over the recipe."""
    dry_run: bool = False
    """Say what would be written, and write nothing."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Split, or resume a split."""
    recipe, rest = take_recipe(argv)
    base = base_config(recipe, rest)
    arguments = parse(Arguments, rest, "split", Arguments(data=base.data, split=base.split))
    out = require_out(arguments.out)
    source = open_source(arguments.data)
    with stop_requested() as received:
        result = split_dataset(
            source,
            arguments.split,
            out,
            workers=arguments.workers,
            max_bad=arguments.max_bad,
            allow_empty_class=arguments.allow_empty_class,
            dry_run=arguments.dry_run,
            stop=lambda: received() is not None,
        )
    return Outcome(result, split_text(result))


def split_text(result: dict) -> str:
    """Say in a few lines what a split did."""
    return "\n".join(f"{key:<14} {value}" for key, value in result.items() if not isinstance(value, list | dict))
