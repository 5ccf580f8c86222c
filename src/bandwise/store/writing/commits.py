"""Commit records: which groups of which bands are finished, and which of them must be written (again)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandwise.config.branches import parse_bands
from bandwise.errors import CorruptionError, UsageError
from bandwise.files.documents import read_sealed
from bandwise.store.layout import COMMITS_NAME, band_file, commit_file
from bandwise.store.writing.identity import Group, require_same
from bandwise.store.writing.recordcheck import well_formed

_NAME = re.compile(r"(train|holdout|val)-(\d{5,})(?:\.bands-([0-9_-]+))?\.json")

Planned = tuple[str, Group, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Commits:
    """The commit records of a store.

    Attributes:
        valid: for each group its records, by name; each covers other bands.
        broken: records that must be written again: name, group and bands.
    """

    valid: dict[Group, dict[str, dict[str, Any]]] = field(default_factory=dict)
    broken: list[Planned] = field(default_factory=list)

    def add(self, group: Group, name: str, record: dict[str, Any]) -> None:
        """Count one more record as valid."""
        self.valid.setdefault(group, {})[name] = record

    def of_group(self, group: Group) -> list[dict[str, Any]]:
        """Return the valid records of one group."""
        return list(self.valid.get(group, {}).values())

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name and content of every valid record."""
        for records in self.valid.values():
            yield from records.items()

    def covered(self, group: Group) -> set[int]:
        """Return the bands of one group that are committed."""
        return {band for record in self.of_group(group) for band in record["bands"]}

    def bad_count(self) -> int:
        """Return how many samples were skipped, each counted once whatever the number of bands."""
        return sum(len(next(iter(records.values()))["bad"]) for records in self.valid.values())

    def finished_bands(self, groups: list[Group], band_count: int) -> tuple[int, ...]:
        """Return the bands of which every group is committed."""
        finished = set(range(band_count))
        for group in groups:
            finished &= self.covered(group)
        return tuple(sorted(finished))

    def missing_work(self, groups: list[Group], bands: tuple[int, ...], band_count: int) -> list[Planned]:
        """Return the records to write so that every group has all of `bands`: broken ones again, then new ones."""
        broken: dict[Group, list[Planned]] = {}
        for planned in self.broken:
            broken.setdefault(planned[1], []).append(planned)
        work: list[Planned] = []
        for group in groups:
            again = broken.get(group, [])
            work += again
            covered = self.covered(group).union(*(of for _, _, of in again))
            if missing := tuple(band for band in bands if band not in covered):
                work.append((commit_file(group.split, group.index, missing, band_count), group, missing))
        return work


def scan_commits(
    out: Path, key: dict[str, Any], groups: list[Group], band_count: int, redo: frozenset[str] = frozenset()
) -> Commits:
    """Read every commit record of a store.

    Args:
        out: folder of the store.
        key: `identity.commit_key` of the split to continue.
        groups: all groups of that split.
        band_count: how many bands the transform has.
        redo: names of records to count as broken, whatever they say, and whether they exist or not.

    Raises:
        IncompatibleError: a record belongs to another split.
    """
    by_number = {(group.split, group.index): group for group in groups}
    found = Commits()
    for name in sorted(redo.union(f"{COMMITS_NAME}/{path.name}" for path in (out / COMMITS_NAME).glob("*.json"))):
        split, index, bands = parse_record_name(name.removeprefix(f"{COMMITS_NAME}/"), band_count) or ("", 0, ())
        group = by_number.get((split, index))
        if group is None:
            continue
        record = None if name in redo else _read_record(out / name, key)
        if record is not None and _files_present(out, record, group, bands):
            found.add(group, name, record)
        else:
            found.broken.append((name, group, bands))
    return found


def parse_record_name(name: str, band_count: int) -> tuple[str, int, tuple[int, ...]] | None:
    """Return split, group and bands of a record's file name, or None where it is not one of ours."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    split, index, text = match[1], int(match[2]), match[3]
    try:
        bands = parse_bands("all" if text is None else text.replace("_", ","), band_count)
    except UsageError:
        return None
    return (split, index, bands) if commit_file(split, index, bands, band_count).endswith(f"/{name}") else None


def _read_record(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    try:
        record = read_sealed(path)
    except CorruptionError:
        return None
    require_same(str(path), {part: record.get(part) for part in key}, key)
    return record


def _files_present(out: Path, record: dict[str, Any], group: Group, bands: tuple[int, ...]) -> bool:
    names = {band_file(band, group.split, group.index, group.count) for band in bands}
    if not well_formed(record, group, bands, names):
        return False
    for name, facts in record["files"].items():
        path = out / name
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            return False
    return True
