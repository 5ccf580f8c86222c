"""Commit records: which groups of which bands are finished, and which of them must be written (again)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bandwise.errors import CorruptionError
from bandwise.files.documents import read_sealed
from bandwise.files.schema import plain
from bandwise.store.layout import COMMITS_NAME, SampleGroup, commit_file, parse_commit_file
from bandwise.store.manifest import BadSample, CommitRecord, Identity
from bandwise.store.origin import commit_key, require_equal


@dataclass(frozen=True, slots=True)
class Planned:
    """A commit record to write: its name, and the group and bands that it is of."""

    name: str
    group: SampleGroup
    bands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Commits:
    """The commit records of a store."""

    valid: dict[SampleGroup, dict[str, CommitRecord]] = field(default_factory=dict)
    """For each group its records, by name; each covers other bands."""
    broken: list[Planned] = field(default_factory=list)
    """Records that must be written again."""

    def add(self, group: SampleGroup, name: str, record: CommitRecord) -> None:
        """Count one more record as valid."""
        self.valid.setdefault(group, {})[name] = record

    def of_group(self, group: SampleGroup) -> list[CommitRecord]:
        """Return the valid records of one group."""
        return list(self.valid.get(group, {}).values())

    def of_band(self, group: SampleGroup, band: int) -> CommitRecord:
        """Return the record that covers one band of a group."""
        for record in self.of_group(group):
            if band in record.bands:
                return record
        raise CorruptionError(
            f"the commit records do not cover its bands: no valid one is of band {band} of {group.split} group "
            f"{group.index}"
        )

    def covered(self, group: SampleGroup) -> set[int]:
        """Return the bands of one group that are committed."""
        return {band for record in self.of_group(group) for band in record.bands}

    def records(self) -> Iterator[tuple[str, CommitRecord]]:
        """Yield name and content of every valid record."""
        for records in self.valid.values():
            yield from records.items()

    def bad(self) -> list[BadSample]:
        """Return the samples that were skipped, each once whatever the number of bands."""
        return [sample for records in self.valid.values() for sample in next(iter(records.values())).bad]

    def finished_bands(self, groups: Sequence[SampleGroup], band_count: int) -> tuple[int, ...]:
        """Return the bands of which every group is committed."""
        finished = set(range(band_count))
        for group in groups:
            finished &= self.covered(group)
        return tuple(sorted(finished))

    def missing_work(self, groups: Sequence[SampleGroup], bands: tuple[int, ...], band_count: int) -> list[Planned]:
        """Return the records to write so that every group has all of `bands`: broken ones again, then new ones."""
        work: list[Planned] = []
        for group in groups:
            broken = [planned for planned in self.broken if planned.group == group]
            work += broken
            covered = self.covered(group).union(*(planned.bands for planned in broken))
            if missing := tuple(band for band in bands if band not in covered):
                work.append(Planned(commit_file(group.split, group.index, missing, band_count), group, missing))
        return work


def scan_commits(
    out: Path, identity: Identity, groups: Sequence[SampleGroup], rewrite: frozenset[str] = frozenset()
) -> Commits:
    """Read every commit record of a store; one of another split is refused.

    Those in `rewrite` count as broken, whatever they say, and whether they exist or not.
    """
    by_number = {(group.split, group.index): group for group in groups}
    found = Commits()
    for name in sorted(rewrite.union(f"{COMMITS_NAME}/{path.name}" for path in (out / COMMITS_NAME).glob("*.json"))):
        parsed = parse_commit_file(name, identity.band_count)
        group = by_number.get(parsed[:2]) if parsed else None
        if parsed is None or group is None:
            continue
        planned = Planned(name, group, parsed[2])
        record = None if name in rewrite else _read_record(out, identity, planned)
        if record is None:
            found.broken.append(planned)
        else:
            found.add(group, name, record)
    return found


def _read_record(out: Path, identity: Identity, planned: Planned) -> CommitRecord | None:
    """Return a valid record whose files are all there, or None."""
    path, key = out / planned.name, plain(commit_key(identity))
    try:
        content = read_sealed(path)
        require_equal(str(path), {part: content.get(part) for part in key}, key)
        record = CommitRecord.parse(content, path, planned.group, planned.bands, identity.channels)
    except CorruptionError:
        return None
    return record if _files_present(out, record) else None


def _files_present(out: Path, record: CommitRecord) -> bool:
    files = ((out / name, facts.bytes) for name, facts in record.files.items())
    return all(file.is_file() and file.stat().st_size == size for file, size in files)
