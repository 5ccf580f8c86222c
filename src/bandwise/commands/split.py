"""`bandwise split`: write the sub-datasets of an image set."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, base_config, parse, require_out, take_recipe, wrote
from bandwise.config import DataConfig, RunConfig, SplitConfig, to_dict
from bandwise.errors import UsageError
from bandwise.machine import usable_cores
from bandwise.progress import say
from bandwise.signals import stop_requested
from bandwise.sources.columns import counts_of
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import SampleList
from bandwise.store.layout import MANIFEST_NAME
from bandwise.store.writing.split import split_dataset
from bandwise.store.writing.workers import DECODE_TIMEOUT_S

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write the sub-datasets of an image set; run again to resume, and again with more --bands to add some."""

    data: DataConfig
    split: SplitConfig
    out: Path | None = None
    """Folder of the store."""
    workers: int = field(default_factory=usable_cores)
    """Processes; the bytes of the store do not depend on it."""
    max_bad: int | None = None
    """Unreadable images allowed before the work stops; 100 or one in ten thousand when left out."""
    decode_timeout: float = DECODE_TIMEOUT_S
    """Seconds for one picture; one that takes longer, or crashes the decoder, is skipped. 0 does not guard."""
    allow_empty_class: flags.AllowEmptyClass = False
    share: str = ""
    """Write one share of the store only, such as 2/8, the second of eight: several machines split shares of one set."""
    recipe_set: flags.RecipeSet = ""
    config: flags.ConfigFile = None
    dry_run: bool = False
    """Say what would be written, and write nothing."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    recipe, rest = take_recipe(argv)
    base = base_config(recipe, rest)
    arguments = parse(Arguments, rest, "split", Arguments(data=base.data, split=base.split))
    out = require_out(arguments.out)
    share = _share(arguments.share) if arguments.share else None
    source = open_source(arguments.data)
    with stop_requested() as received:
        result = split_dataset(
            source,
            arguments.split,
            out,
            workers=arguments.workers,
            max_bad=arguments.max_bad,
            decode_timeout=arguments.decode_timeout,
            allow_empty_class=arguments.allow_empty_class,
            dry_run=arguments.dry_run,
            share=share,
            stop=lambda: received() is not None,
            found=lambda samples: _say_what_was_found(source.name, samples, arguments.data, arguments.split),
        )
    # Without one, shares of other machines are missing.
    is_whole = not arguments.dry_run and (out / MANIFEST_NAME).exists()
    last = "\n" + wrote(out, *_training(recipe, base, arguments, out)) if is_whole else ""
    return Outcome(result, split_text(result) + last)


def _training(recipe: str | None, base: RunConfig, arguments: Arguments, out: Path) -> list[object]:
    """Return the words of the command that trains on the store: what the flags have changed, a crop that it has."""
    split, crop = arguments.split, base.training.crop
    words: list[object] = ["train"] if recipe is None else ["train", recipe]
    if arguments.recipe_set:
        words += ["--recipe-set", arguments.recipe_set]
    if arguments.config is not None:
        words += ["--config", arguments.config]
    words += ["--out", "RUN", "--store", out]
    for key, value in to_dict(split).items():
        if key not in ("bands", "group_size") and value != to_dict(base.split).get(key):
            words += [f"--{key.replace('_', '-')}", value]
    if crop > split.canvas or crop % split.stride:
        words += ["--crop", split.canvas * 7 // 8 // split.stride * split.stride]
    if split.bands.isdecimal():
        words += ["--branch", split.bands]
    return words


def _share(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"--share is {text!r}; it must be like 2/8, the second of eight")
    return number, count


def _say_what_was_found(name: str, samples: SampleList, data: DataConfig, split: SplitConfig) -> None:
    """Say before the first picture is decoded what is about to be split, and what a run of it will lack."""
    train, holdout, val = samples.counts
    counts = counts_of(samples.labels, len(samples.classes))
    shown = [f"{samples.classes[label]!r} ({counts[label]:,})" for label in sorted({0, len(counts) - 1})]
    say(
        f"{name}: {len(counts):,} classes with {len(samples):,} pictures, {' to '.join(shown)}; {train:,} to "
        f"train, {holdout:,} held out, {val:,} reported"
    )
    if len(counts) < 2:
        say(f"WARNING: {name} has one class; a classifier needs at least 2")
    if not val and data.reported != "none":
        say(
            f"WARNING: {name} has no reported set: a run of it can be trained and fused, but not scored; put "
            "one into val/, valid/, validation/ or test/, or into shards of such a name, or say --reported none"
        )
    if split.holdout > 0 and not holdout:
        say(
            f"WARNING: nothing of {name} is held out, for no class has two pictures to train on; fusion can "
            "then fit no weights"
        )


def split_text(result: dict[str, Any]) -> str:
    """Say in a few lines what a split did, what it skipped and why, and what was unusual."""
    lines = [f"{key:<14} {value}" for key, value in result.items() if not isinstance(value, list | dict | None)]
    for reason, count in Counter(sample["reason"] for sample in result.get("bad", ())).most_common():
        lines.append(f"{f'skipped, {reason}':<32} {count}")
    lines += [
        f"  id {sample['id']}, {sample['path']!r}: {sample['reason']}, {sample['detail']}"
        for sample in result.get("bad", ())[:_SHOWN]
    ]
    if (more := len(result.get("bad", ())) - _SHOWN) > 0:
        lines.append(f'  and {more} more, in the manifest under "bad"')
    lines += [f"{f'note: {note}':<62} {count}" for note, count in result.get("notes", {}).items()]
    return "\n".join(lines)
