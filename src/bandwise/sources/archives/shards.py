"""What Parquet and WebDataset shards share: their names say the split, their labels become classes.

Names are such as `train-00000-of-00294.parquet`, `val-000012.tar`, `set-test-7.tar`.
"""

import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import progress, say
from bandwise.sources.archives.index import IndexBuilder
from bandwise.sources.columns import Names
from bandwise.sources.naming import SPLIT_WORDS, Reported, choose_reported, require_distinct, require_same, some

_NAME = re.compile(
    r"((?:.*?[-_.])?(" + "|".join(SPLIT_WORDS) + r")(?:[-_.][a-z]+(?=[-_.]|$))*)(?:[-_.].*)?", re.IGNORECASE
)
_OF_TOTAL = re.compile(r"(.*?)-?([0-9]+)-of-([0-9]+)(?![0-9]).*")
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,9}(?![0-9])")
_OF_A_NAME = re.compile(r".*[a-z]", re.IGNORECASE)
_STANDS_ALONE = re.compile(r"[-_.][0-9]")
_NAMES_FROM = 1000
_YEAR_OR_DATE = re.compile(r"(19|20)[0-9]{2}([01][0-9][0-3][0-9])?")
_COUNTED = re.compile(r"0[0-9]{2,}")


@dataclass(frozen=True, slots=True)
class Shards:
    """The files of a set, sorted by name; `reported` is empty where no set to report on is there."""

    root: Path
    train: tuple[Path, ...]
    reported: tuple[Path, ...]
    reported_split: Literal["val", "test"] | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them; the index numbers them in this order."""
        return (*self.train, *self.reported)

    def fingerprint(self, kind: str) -> dict[str, Any]:
        """Return what identifies a source of these shards."""
        return {"kind": kind, "name": self.root.name, "reported": self.reported_split}


@dataclass(frozen=True, slots=True)
class ShardContent:
    """The pictures of one shard: N names, N labels, and where they lie as columns of the index."""

    names: Sequence[bytes]
    labels: Sequence[int | str]
    places: Mapping[str, Any]


def index_shards(
    shards: Shards, class_names: Sequence[str] | None, list_shard: Callable[[Path], ShardContent], **facts: str
) -> pa.RecordBatch:
    """List all shards; the facts of the index are `classes` and those that are given."""
    reader, builder = LabelReader(str(shards.root), class_names), IndexBuilder()
    listed: list[tuple[Names, Mapping[str, Any], np.ndarray]] = []
    with progress("index", len(shards.files), "shards") as advance:
        for path in shards.files:
            content = list_shard(path)
            listed.append((Names.of(content.names), content.places, reader.codes(content.labels, str(path))))
            advance(1)
    counts = [len(names) for names, _, _ in listed]
    val_shards = [number >= len(shards.train) for number in range(len(listed))]
    classes, labels = reader.finish(np.concatenate([codes for _, _, codes in listed]), np.repeat(val_shards, counts))
    labels_of_shards = np.split(labels, np.cumsum(counts)[:-1])
    for number, (names, places, _) in enumerate(listed):
        builder.add(names, file=number, label=labels_of_shards[number], val=val_shards[number], **places)
    return builder.batch({"classes": classes, **facts})


def split_of(path: Path) -> str | None:
    """Return `train`, `val` or `test` as the name of a shard says, or None."""
    match = _NAME.fullmatch(path.stem)
    return SPLIT_WORDS[match[2].lower()] if match else SPLIT_WORDS.get(path.parent.name.lower())


def shard_name(path: Path) -> bytes:
    """Return what the names of its pictures begin with: its own, after that of its folder where this says the split."""
    return os.fsencode(path.stem if _NAME.fullmatch(path.stem) else f"{path.parent.name}/{path.stem}")


def shard_files(root: Path, suffix: str) -> list[Path]:
    """Return the shards in a folder, or else in its `data/`, or else in its folders of splits."""
    of_splits = (path for path in root.glob(f"*/*{suffix}") if path.parent.name.lower() in SPLIT_WORDS)
    return [*root.glob(f"*{suffix}")] or [*root.glob(f"data/*{suffix}")] or [*of_splits]


def find_shards(root: Path, suffix: Literal[".parquet", ".tar"], reported: Reported) -> Shards:
    """List the shards of a folder, by the split that their names or those of their folders say."""
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise UsageError(f"{root} is no folder; give the folder that holds train-*{suffix} and validation-*{suffix}")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in shard_files(root, suffix):
        found[split_of(path) or ""].append(path)
    if not found["train"]:
        raise UsageError(f"{root} holds no train-*{suffix}, and none lie in {root / 'data'}")
    if unread := found.pop("", None):
        say(f"note: not read in {root}: {len(unread)} files such as {min(unread).name}, whose names name no split")
    chosen = choose_reported(
        [split for split in ("val", "test") if found[split]],
        reported,
        lacks=f"--reported {reported}: {root} has no shards of that name",
        has_both=f"{root} has shards of both val and test; "
        "name the reported set with --reported val or --reported test",
    )
    for files in filter(None, (found["train"], found[chosen] if chosen else [])):
        _require_one_family(files)
        _require_all_numbers(sorted(files))
    _require_once([*found["train"], *(found[chosen] if chosen else [])])
    return Shards(root, tuple(sorted(found["train"])), tuple(sorted(found[chosen])) if chosen else (), chosen)


class LabelReader:
    """Turns labels into numbers as they come, and into classes when all have come: all numbers, or all words."""

    def __init__(self, where: str, names: Sequence[str] | None = None) -> None:
        """With the names of the classes, labels are numbers, or these words."""
        self._where = where
        self._names = names
        self._words: dict[str, int] = {}
        self._numbers = False

    def codes(self, labels: Sequence[int | str], shard: str) -> np.ndarray:
        """Return int32 `(N,)`; only `finish` knows what the codes of words mean."""
        for label in labels:
            number = isinstance(label, int)
            if (number and self._words) or (not number and self._numbers):
                raise UsageError(f"{shard}: labels are words and numbers, for example {label!r}; use one kind")
            if number:
                self._numbers = True
                self._require_number(label, shard)
            else:
                self._words.setdefault(label, len(self._words))
        codes = labels if self._numbers else [self._words[str(label)] for label in labels]
        return np.array(codes, np.int32)

    def finish(self, codes: np.ndarray, val: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the class names and the labels, int32 `(N,)`, of all codes; `val` is true for the reported set."""
        if self._words:
            return self._finish_words(codes, val)
        if self._names is None:
            known = int(codes[~val].max(initial=-1)) + 1
            if known > len(codes):
                raise UsageError(
                    f"{self._where}: labels run to {known - 1}, but there are only {len(codes)} pictures; a "
                    "label is the position of a class, from 0: write other codes as words"
                )
            if val.any() and (highest := int(codes[val].max())) >= known:
                raise UsageError(
                    f"{self._where}: training labels run to {known - 1} and reported ones to {highest}: "
                    "the classes differ"
                )
            return tuple(map(str, range(known))), codes
        # Duplicates get their number, for ImageNet has two kinds of crane.
        counts = Counter(self._names)
        numbered = (f"{name} ({label})" if counts[name] > 1 else name for label, name in enumerate(self._names))
        return tuple(numbered), codes

    def _finish_words(self, codes: np.ndarray, val: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        words = list(self._words)
        require_distinct(self._where, words)
        train, reported = ({words[code] for code in np.unique(codes[part])} for part in (~val, val))
        if reported:
            require_same(self._where, train, "reported", reported)
        classes = sorted(words) if self._names is None else list(self._names)
        if unknown := set(words) - set(classes):
            raise UsageError(f"{self._where}: the label {min(unknown)!r} is none of the {len(classes)} named classes")
        position = {word: label for label, word in enumerate(classes)}
        return tuple(classes), np.array([position[word] for word in words], np.int32)[codes]

    def _require_number(self, label: int, shard: str) -> None:
        if label < 0:
            raise UsageError(f"{shard} has the label {label}: its pictures are not labelled; report on another split")
        if label >= (1 << 31) - 1 if self._names is None else label >= len(self._names):
            allowed = "" if self._names is None else f"; there are {len(self._names)} classes"
            raise UsageError(f"{shard} has the label {label}{allowed}")


def _require_one_family(files: list[Path]) -> None:
    """Refuse `train-0.tar` beside `train_small-0.tar`: most probably a set and a part of it, or an addition."""
    families: Counter[str] = Counter(match[1] for path in files if (match := _NAME.fullmatch(path.stem)))
    if len(families) > 1:
        named = ", ".join(f"{name}* ({count} files)" for name, count in sorted(families.items()))
        raise UsageError(
            f"{files[0].parent} holds {len(families)} families of shards for one split: {named}; give a folder "
            "with only those that are meant (links to them will do), or rename them into one family"
        )


def _require_once(files: list[Path]) -> None:
    """Refuse two links to one file: every picture in it would count twice."""
    known: dict[tuple[int, int], Path] = {}
    for path in sorted(files):
        try:
            status = path.stat()
        except OSError:
            # Opening it says what is wrong.
            continue
        first = known.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            raise UsageError(
                f"{path} and {first} are links to one file, so every picture in it would count twice; remove one"
            )


def _require_all_numbers(files: list[Path]) -> None:
    """Check that no shard is missing, by the total in names such as `train-00003-of-00294` or by their numbers."""
    totals: dict[tuple[str, int], set[int]] = defaultdict(set)
    others = []
    for path in files:
        if match := _OF_TOTAL.fullmatch(path.stem):
            totals[match[1], int(match[3])].add(int(match[2]))
        else:
            others.append(path.name)
    for (name, total), numbers in totals.items():
        if len(numbers) != total:
            lost = next(number for number in range(total + 1) if number not in numbers)
            raise UsageError(
                f"{files[0].parent} has {len(numbers)} of {total} files {name}-*; number {lost} is missing"
            )
    if len(totals) + bool(others) > 1:
        named = ", ".join([*(f"{name}-*-of-{total}" for name, total in totals), *others[:1]])
        raise UsageError(
            f"{files[0].parent} holds shards of several sets for one split: {named}; leave one of them there"
        )
    _require_no_gap(files[0].parent, others)


def _require_no_gap(folder: Path, names: list[str]) -> None:
    """Check every number in the names: those that are equal but for it are a series, which may have no gap."""
    series: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in names:
        for match in _NUMBER.finditer(name):
            before, after = name[: match.start()], name[match.end() :]
            # `train-node3-0`: the machine that wrote it is a name, and what counts comes later.
            if not (_OF_A_NAME.fullmatch(before) and _STANDS_ALONE.search(after)):
                series[before, after][int(match[0])] = match[0]
    for (before, after), found in series.items():
        lowest, highest = min(found), max(found)
        if lowest >= _NAMES_FROM and not any(text.startswith("0") for text in found.values()):
            # Years, dates, ids: the next one is not the next number. What is nearly a count is one.
            named = all(_YEAR_OR_DATE.fullmatch(text) for text in found.values())
            if named or 2 * len(found) <= highest - lowest + 1:
                continue
        # A number such as 2012 may be part of a name; one with leading zeros counts from 0 or 1.
        counted = _COUNTED.fullmatch(found[lowest]) and before[-1:] in "-_." and after[:1] in "-_."
        numbers = range(1 if counted else lowest, highest)
        if missing := list(itertools.islice((number for number in numbers if number not in found), 6)):
            width = len(found[highest]) if any(len(text) > 1 and text[0] == "0" for text in found.values()) else 0
            shown = some(f"{before}{number:0{width}d}{after}" for number in missing)
            raise UsageError(
                f"{folder} has {len(found)} files {before}*{after} up to number {highest}, but not {shown}; "
                "fetch what is missing, or number the files without a gap"
            )
