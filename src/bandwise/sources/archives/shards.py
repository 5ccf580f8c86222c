"""Finds the shards of a set by their names: `train-00000-of-00294.parquet`, `val-000012.tar`, `set-test-7.tar`."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bandwise.errors import UsageError
from bandwise.progress import say

Reported = Literal["auto", "val", "test"]

_NAME = re.compile(r"(?:.*?[-_.])?(train|validation|valid|val|test)(?:[-_.].*)?")
_NUMBERED = re.compile(r"(.*?)-?([0-9]+)-of-([0-9]+)")
_SPLITS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class Shards:
    """The files of a set.

    Attributes:
        root: the folder that was given.
        train: files of training images, sorted by name.
        reported: files of the reported set; empty where there is none.
        reported_split: `val`, `test` or None.
    """

    root: Path
    train: tuple[Path, ...]
    reported: tuple[Path, ...]
    reported_split: Literal["val", "test"] | None


def split_of(path: Path) -> str | None:
    """Return `train`, `val` or `test` as the name of a shard says, or None."""
    match = _NAME.fullmatch(path.name.removesuffix(path.suffix))
    return _SPLITS[match[1]] if match else None


def find_shards(root: Path, suffix: Literal[".parquet", ".tar"], reported: Reported) -> Shards:
    """List the shards in a folder, or in its subfolder `data` as repositories of the Hugging Face hub have it.

    Raises:
        UsageError: there are none to train on; a numbered one is missing; `val` and `test` both exist and `reported` is
            auto, or there is none of `reported`.
    """
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; give the folder that holds train-*{suffix} and validation-*{suffix}")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in [*root.glob(f"*{suffix}")] or [*root.glob(f"data/*{suffix}")]:
        found[split_of(path) or ""].append(path)
    if not found["train"]:
        raise UsageError(f"{root} holds no train-*{suffix}, and none lie in {root / 'data'}")
    if unread := found.pop("", None):
        say(f"note: not read in {root}: {len(unread)} files such as {min(unread).name}, whose names name no split")
    for files in found.values():
        _require_all_numbers(files)
    chosen = _choose(root, [split for split in ("val", "test") if found[split]], reported)
    return Shards(root, tuple(sorted(found["train"])), tuple(sorted(found[chosen])) if chosen else (), chosen)


def _choose(root: Path, present: list[str], reported: Reported) -> Literal["val", "test"] | None:
    if reported != "auto":
        if reported not in present:
            raise UsageError(f"--reported {reported}: {root} has no shards of that name")
        return reported
    if len(present) == 2:
        raise UsageError(
            f"{root} has shards of both val and test; name the reported set with --reported val or --reported test"
        )
    if not present:
        return None
    return "val" if present == ["val"] else "test"


def _require_all_numbers(files: list[Path]) -> None:
    """Check names such as `train-00003-of-00294`: where the number of files is stated, all must be there."""
    series: dict[tuple[str, int], set[int]] = defaultdict(set)
    for path in files:
        if match := _NUMBERED.fullmatch(path.stem):
            series[match[1], int(match[3])].add(int(match[2]))
    for (name, total), numbers in series.items():
        if len(numbers) != total:
            lost = next(number for number in range(total + 1) if number not in numbers)
            raise UsageError(
                f"{files[0].parent} has {len(numbers)} of {total} files {name}-*; number {lost} is missing"
            )
