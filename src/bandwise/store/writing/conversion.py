"""A source on its way into a store: group by group, restartable at any point, the same bytes every time."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.config import SplitConfig, parse_bands
from bandwise.errors import CorruptionError, TooManyBadInputs, UsageError
from bandwise.files.atomic import (
    explain_full_disk,
    fsync_folder,
    remove_temporaries,
    replacing,
    require_space,
    write_text,
)
from bandwise.files.documents import read_document, read_sealed, write_document
from bandwise.files.schema import plain
from bandwise.progress import progress, say
from bandwise.sources.samples import SampleList
from bandwise.sources.source import Source
from bandwise.store.layout import (
    CARD_NAME,
    COMMITS_NAME,
    MANIFEST_NAME,
    SAMPLES_NAME,
    SPLITS,
    STORE_NAME,
    SampleGroup,
    band_folder,
    plan_groups,
)
from bandwise.store.manifest import BadSample, FileFacts, Identity
from bandwise.store.origin import commit_key, make_identity, require_same, write_samples
from bandwise.store.reading.store import open_store
from bandwise.store.writing.commits import Commits, Planned, scan_commits
from bandwise.store.writing.derive import build_card, derive_manifest
from bandwise.store.writing.group import Job, Work
from bandwise.store.writing.records import estimate_bytes
from bandwise.store.writing.workers import run_jobs

_MIN_MAX_BAD = 100
_BAD_SHARE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to write, which is no part of what is written; see `split.split_dataset`."""

    workers: int = 1
    max_bad: int | None = None
    stop: Callable[[], bool] = lambda: False
    decode_timeout: float = 0.0
    allow_empty_class: bool = True
    share: tuple[int, int] | None = None


def _of_no_reported(identity: Identity) -> Identity:
    """Return an identity whose source does not say which of its folders is reported on."""
    return replace(identity, source={key: value for key, value in identity.source.items() if key != "reported"})


class Conversion:
    """One source on its way into one store; all that writes needs the lock of the folder."""

    def __init__(self, source: Source, config: SplitConfig, out: Path, samples: SampleList) -> None:
        """Work out what belongs in the store; nothing is read or written yet."""
        self.out = out
        self.identity = make_identity(source, samples, config)
        self._source, self._config, self._samples = source, config, samples
        self._bands = parse_bands(config.bands, self.identity.band_count)
        self._groups = plan_groups(samples.counts, self.identity.group_size)

    def plan(self, share: tuple[int, int] | None) -> dict[str, Any]:
        """Return what a complete run would write, without looking at the folder."""
        groups = self._of_share(share)
        return {
            "store": str(self.out),
            "bands": list(self._bands),
            **dict(zip(SPLITS, self._samples.counts, strict=True)),
            "groups": len(groups),
            "estimated_bytes": self._estimate((self._bands, group) for group in groups),
            "dry_run": True,
        }

    def _of_share(self, share: tuple[int, int] | None) -> list[SampleGroup]:
        """Return the groups of one share of all; a group depends on the sample list alone, whoever writes it."""
        if share is None:
            return self._groups
        number, count = share
        if count > len(self._groups):
            raise UsageError(
                f"--share {number}/{count} of {len(self._groups)} groups leaves some shares empty; give at most "
                f"{len(self._groups)} shares, or smaller groups with --group-size"
            )
        return self._groups[number - 1 :: count]

    def continue_as(self, held: Identity) -> None:
        """Take over the identity of a store that was begun: a source that was renamed keeps its old name there."""
        require_same(str(self.out), held, self.identity)
        self.identity = held

    def run(self, options: Options) -> int:
        """Write what is missing and then the manifest, and return the number of groups written.

        Of one share only its groups are written, and no manifest: whoever has all shares makes it.
        """
        self._clear_temporaries()
        if not self._adds_reported_set():
            if self._is_complete():
                return 0
            if (self.out / STORE_NAME).exists():
                held = Identity.read(self.out)
                if any((self.out / COMMITS_NAME).glob("*.json")) or (self.out / MANIFEST_NAME).exists():
                    self.continue_as(held)
        return self._write(options, frozenset(), {})

    def _adds_reported_set(self) -> bool:
        """Say whether the source has got a reported set since, and nothing else; then keep what is written of the rest.

        The commit records get the new sample list one after another; STORE.json, which is written after them, has the
        old one until all have, so that this goes on where it was interrupted.
        """
        if not (self.out / STORE_NAME).exists():
            return False
        held = Identity.read(self.out)
        before, after = held.samples, self.identity.samples
        if before.val or not after.val or self._samples.without_reported().sha256() != before.sha256:
            return False
        added = replace(self.identity, group_size=held.group_size)
        require_same(str(self.out), _of_no_reported(held), _of_no_reported(replace(added, samples=before)))
        if "name" in held.source:
            added = replace(added, source={**added.source, "name": held.source["name"]})
        self.identity = added
        self._groups = plan_groups(self._samples.counts, held.group_size)
        say(f"{self.out}: adding the reported set, {after.val} images; what is written of the others stays as it is")
        (self.out / MANIFEST_NAME).unlink(missing_ok=True)
        old, new = (plain(commit_key(identity)) for identity in (held, added))
        for path in sorted((self.out / COMMITS_NAME).glob("*.json")):
            # A damaged one is written again from the images.
            with suppress(CorruptionError):
                record = read_document(path)
                if old.items() <= record.items():
                    write_document(path, {**record, **new})
        return True

    def repair(self, options: Options, broken: frozenset[str], expected_files: Mapping[str, FileFacts]) -> None:
        """Write the groups of `broken` commit records again, whatever is there of them, and then the manifest.

        Files that are named in `expected_files` must come out as they were.
        """
        self._clear_temporaries()
        self._write(options, broken, expected_files)

    def summary(self, written: int) -> dict[str, Any]:
        """Return what the finished store holds and how many groups this run wrote, ready for JSON."""
        store = open_store(self.out, self._bands)
        manifest, document = store.manifest, read_sealed(self.out / MANIFEST_NAME)
        return {
            "store": str(self.out),
            "bands": list(manifest.bands),
            **{split: store.rows(split) for split in SPLITS},
            "skipped": len(manifest.bad),
            "bad": document["bad"],
            "worst_class": self._worst_class(manifest.bad) if manifest.bad else None,
            "notes": document["notes"],
            "duplicates": document.get("duplicates"),
            "groups_written": written,
            "bytes": sum(store.band_bytes(band) for band in store.bands),
            "digest": store.digest,
        }

    def summary_of_share(self, written: int, share: tuple[int, int]) -> dict[str, Any]:
        """Return what one share of a store is and how many of its groups this run wrote, ready for JSON."""
        return {
            "store": str(self.out),
            "share": "{}/{}".format(*share),
            "bands": list(self._bands),
            "groups": len(self._of_share(share)),
            "of_groups": len(self._groups),
            "groups_written": written,
        }

    def _worst_class(self, bad: tuple[BadSample, ...]) -> tuple[str, int, int]:
        """Return the class with the most skipped pictures, how many these are, and of how many."""
        labels = self._samples.labels
        skipped = np.bincount(labels[[sample.id for sample in bad]])
        worst = int(skipped.argmax())
        return self._samples.classes[worst], int(skipped[worst]), int(np.count_nonzero(labels == worst))

    def _is_complete(self) -> bool:
        try:
            store = open_store(self.out, self._bands)
        except (UsageError, CorruptionError):
            return False
        self.continue_as(store.manifest)
        return True

    def _clear_temporaries(self) -> None:
        for folder in (self.out, self.out / COMMITS_NAME, *self.out.glob("band-*")):
            for path in remove_temporaries(folder):
                say(f"removed {path}, left by an interrupted run")

    def _write(self, options: Options, rewrite: frozenset[str], expected_files: Mapping[str, FileFacts]) -> int:
        self._write_head()
        commits = scan_commits(self.out, self.identity, self._groups, rewrite)
        planned = commits.missing_work(self._of_share(options.share), self._bands, self.identity.band_count)
        default_limit = max(_MIN_MAX_BAD, int(_BAD_SHARE * len(self._samples)))
        limit = default_limit if options.max_bad is None else options.max_bad
        self._check_bad(commits, limit)
        require_space(self.out, self._estimate((one.bands, one.group) for one in planned))
        jobs = [self._job(commits, one, expected_files) for one in planned]
        self._write_groups(commits, jobs, limit, options)
        if options.share is None:
            if not options.allow_empty_class:
                self._require_readable_classes(commits)
            self._finish(commits)
        return len(planned)

    def _write_head(self) -> None:
        write_document(self.out / STORE_NAME, plain(self.identity.shared()))
        with replacing(self.out / SAMPLES_NAME) as path:
            write_samples(self._samples, path)
        with explain_full_disk(self.out):
            for name in (COMMITS_NAME, *(band_folder(band) for band in self._bands)):
                (self.out / name).mkdir(exist_ok=True)
            fsync_folder(self.out)

    def _write_groups(self, commits: Commits, jobs: list[Job], limit: int, options: Options) -> None:
        work = Work(self.out, self._source, self._config, commit_key(self.identity))
        todo = sum(len(job.group.ids) for job in jobs)
        total = todo if options.share else max(todo, len(self._samples))
        with progress("split", total, "images", done=total - todo) as advance:
            results = run_jobs(work, jobs, options.workers, options.decode_timeout, advance, options.stop)
            for job, record in results:
                commits.add(job.group, job.record, record)
                self._check_bad(commits, limit)

    def _job(self, commits: Commits, planned: Planned, expected_files: Mapping[str, FileFacts]) -> Job:
        group = planned.group
        here = slice(group.ids.start, group.ids.stop)
        names = {group.band_file(band) for band in planned.bands}
        return Job(
            group=group,
            bands=planned.bands,
            record=planned.name,
            paths=tuple(self._samples.paths[here]),
            labels=tuple(self._samples.labels[here].tolist()),
            sizes=tuple(self._samples.sizes[here].tolist()),
            other=next(iter(commits.of_group(group)), None),
            expected_files={name: facts for name, facts in expected_files.items() if name in names},
        )

    def _require_readable_classes(self, commits: Commits) -> None:
        labels = self._samples.labels[: self._samples.range("train").stop]
        train_groups = [group for group in self._groups if group.split == "train"]
        bad = [sample for group in train_groups for sample in commits.of_group(group)[0].bad]
        readable = np.delete(labels, [sample.id for sample in bad])
        for label in sorted(set(labels.tolist()) - set(readable.tolist())):
            reason = next(sample.reason for sample in bad if labels[sample.id] == label)
            raise UsageError(
                f"none of the {int((labels == label).sum())} training pictures of class "
                f"{self._samples.classes[label]!r} can be read ({reason}); mend them, remove the class, or accept "
                "an empty one with --allow-empty-class: the same command then goes on from here"
            )

    def _check_bad(self, commits: Commits, limit: int) -> None:
        bad = commits.bad()
        if len(bad) > limit:
            first = bad[0]
            raise TooManyBadInputs(
                f"{len(bad)} unreadable images, {limit} are allowed; the first is {first.path!r}: {first.reason}, "
                f"{first.detail}; repair or remove them, or allow more with --max-bad (finished groups are kept)"
            )

    def _finish(self, commits: Commits) -> None:
        bands = commits.finished_bands(self._groups, self.identity.band_count)
        write_text(self.out / CARD_NAME, build_card(self.identity, bands, {group.split for group in self._groups}))
        manifest = derive_manifest(self.out, self.identity, self._samples, self._groups, commits, bands)
        write_document(self.out / MANIFEST_NAME, plain(manifest))

    def _estimate(self, parts: Iterable[tuple[tuple[int, ...], SampleGroup]]) -> int:
        channels = self._source.channels
        return sum(estimate_bytes(self._config, len(bands), channels, len(group.ids)) for bands, group in parts)
