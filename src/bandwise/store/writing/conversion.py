"""A source on its way into a store: group by group, restartable at any point, the same bytes every time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.config import SplitConfig
from bandwise.config.branches import parse_bands
from bandwise.errors import CorruptionError, TooManyBadInputs, UsageError
from bandwise.files.atomic import (
    explain_full_disk,
    fsync_folder,
    remove_temporaries,
    replacing,
    require_space,
    write_bytes,
    write_text,
)
from bandwise.files.documents import json_bytes, seal
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
    band_file,
    band_folder,
)
from bandwise.store.manifest import build_manifest
from bandwise.store.reading.store import open_store
from bandwise.store.samplefile import write_samples
from bandwise.store.writing.card import build_card
from bandwise.store.writing.commits import Commits, Planned, scan_commits
from bandwise.store.writing.documents import read_marker
from bandwise.store.writing.estimate import estimate_bytes
from bandwise.store.writing.group import Job, Work
from bandwise.store.writing.identity import Group, commit_key, make_identity, plan_groups, require_same
from bandwise.store.writing.workers import run_jobs

_MIN_MAX_BAD = 100
_BAD_SHARE = 1e-4


class Conversion:
    """One source on its way into one store; `run` needs the lock of the folder."""

    def __init__(self, source: Source, config: SplitConfig, out: Path, samples: SampleList) -> None:
        """Work out what belongs in the store; nothing is read or written yet."""
        self.out = out
        self.identity = make_identity(source, samples, config)
        self._work = Work(out, source, config, commit_key(self.identity))
        self._samples = samples
        self._band_count = config.stride**2
        self._bands = parse_bands(config.bands, self._band_count)
        self._groups = plan_groups(samples, self.identity["group_size"])

    def plan(self) -> dict[str, Any]:
        """Return what a complete run would write, without looking at the folder."""
        return {
            "store": str(self.out),
            "bands": list(self._bands),
            **{split: len(self._samples.range(split)) for split in SPLITS},
            "groups": len(self._groups),
            "estimated_bytes": self._estimate([("", group, self._bands) for group in self._groups]),
            "dry_run": True,
        }

    def run(
        self,
        *,
        workers: int,
        max_bad: int | None,
        stop: Callable[[], bool],
        decode_timeout: float = 0.0,
        redo: frozenset[str] | None = None,
        expected_files: dict[str, Any] | None = None,
        allow_empty_class: bool = True,
    ) -> int:
        """Write what is missing and then the manifest.

        Args:
            workers: processes.
            max_bad: as in `split_dataset`.
            stop: as in `split_dataset`.
            decode_timeout: as in `split_dataset`.
            redo: commit records to make again although they look valid; None where nothing is known to be broken, and
                then a complete store is left as it is.
            expected_files: facts by name of band files that must come out as they were.
            allow_empty_class: accept a class none of whose training pictures can be read.

        Returns:
            The number of groups written.

        Raises:
            BandwiseError: as `split_dataset`.
        """
        self._clear_temporaries()
        if redo is None and self._complete():
            return 0
        self._write_head()
        commits = scan_commits(self.out, self._work.key, self._groups, self._band_count, redo or frozenset())
        planned = commits.missing_work(self._groups, self._bands, self._band_count)
        limit = max(_MIN_MAX_BAD, int(_BAD_SHARE * len(self._samples))) if max_bad is None else max_bad
        self._check_bad(commits, limit)
        require_space(self.out, self._estimate(planned))
        jobs = [self._job(commits, *one, expected_files or {}) for one in planned]
        self._write_groups(commits, jobs, limit, workers=workers, decode_timeout=decode_timeout, stop=stop)
        if not allow_empty_class:
            self._require_readable_classes(commits)
        self._finish(commits)
        return len(planned)

    def summary(self, written: int) -> dict[str, Any]:
        """Return what the finished store holds and how many groups this run wrote."""
        store = open_store(self.out, self._bands)
        bad = store.manifest["bad"]
        return {
            "store": str(self.out),
            "bands": store.manifest["bands"],
            **{split: store.rows(split) for split in SPLITS},
            "skipped": len(bad),
            "bad": bad,
            "worst_class": self._worst_class([sample["id"] for sample in bad]) if bad else None,
            "notes": store.manifest["notes"],
            "duplicates": store.manifest.get("duplicates"),
            "groups_written": written,
            "bytes": sum(store.band_bytes(band) for band in store.bands),
            "digest": store.digest,
        }

    def _worst_class(self, bad: list[int]) -> tuple[str, int, int]:
        """Return the class with the most skipped pictures, how many these are, and of how many."""
        labels = self._samples.labels
        skipped = np.bincount(labels[bad])
        worst = int(skipped.argmax())
        return self._samples.classes[worst], int(skipped[worst]), int(np.count_nonzero(labels == worst))

    def _complete(self) -> bool:
        try:
            store = open_store(self.out, self._bands)
        except (UsageError, CorruptionError):
            return False
        held = {key: store.manifest[key] for key in self.identity}
        require_same(str(self.out), held, self.identity)
        return True

    def _clear_temporaries(self) -> None:
        for folder in (self.out, self.out / COMMITS_NAME, *self.out.glob("band-*")):
            for path in remove_temporaries(folder):
                say(f"removed {path}, left by an interrupted run")

    def _write_head(self) -> None:
        begun = any((self.out / COMMITS_NAME).glob("*.json")) or (self.out / MANIFEST_NAME).exists()
        held = read_marker(self.out) if (self.out / STORE_NAME).exists() else {}
        if begun and held:
            require_same(str(self.out), {key: held.get(key) for key in self.identity}, self.identity)
        write_bytes(self.out / STORE_NAME, json_bytes(seal(self.identity)))
        with replacing(self.out / SAMPLES_NAME) as path:
            write_samples(self._samples, path)
        with explain_full_disk(self.out):
            for name in (COMMITS_NAME, *(band_folder(band) for band in self._bands)):
                (self.out / name).mkdir(exist_ok=True)
            fsync_folder(self.out)

    def _write_groups(self, commits: Commits, jobs: list[Job], limit: int, **how: Any) -> None:
        todo = sum(len(job.group.ids) for job in jobs)
        total = max(todo, len(self._samples))
        with progress("split", total, "images", done=total - todo) as advance:
            for job, record in run_jobs(self._work, jobs, advance=advance, **how):
                commits.add(job.group, job.record, record)
                self._check_bad(commits, limit)

    def _job(
        self, commits: Commits, record: str, group: Group, bands: tuple[int, ...], expected_files: dict[str, Any]
    ) -> Job:
        ids = group.ids
        here = slice(ids.start, ids.stop)
        paths, labels, sizes = self._samples.paths[here], self._samples.labels[here], self._samples.sizes[here]
        others = commits.of_group(group)
        expected = {key: others[0][key] for key in ("bad", "canvas_digest")} if others else {}
        names = (band_file(band, group.split, group.index, group.count) for band in bands)
        files = {name: expected_files[name] for name in names if name in expected_files}
        return Job(group, bands, record, tuple(paths), tuple(labels.tolist()), tuple(sizes.tolist()), expected, files)

    def _require_readable_classes(self, commits: Commits) -> None:
        train = self._samples.range("train")
        labels = self._samples.labels[train.start : train.stop]
        readable = np.ones(len(train), dtype=bool)
        bad = {}
        for group in self._groups:
            if group.split == "train":
                bad |= {sample["id"]: sample for sample in commits.of_group(group)[0]["bad"]}
        readable[[number - train.start for number in bad]] = False
        for label in sorted(set(labels.tolist()) - set(labels[readable].tolist())):
            reason = next(s["reason"] for number, s in bad.items() if labels[number - train.start] == label)
            raise UsageError(
                f"none of the {int((labels == label).sum())} training pictures of class "
                f"{self._samples.classes[label]!r} can be read ({reason}); mend them, remove the class, or accept "
                "an empty one with --allow-empty-class: the same command then goes on from here"
            )

    def _check_bad(self, commits: Commits, limit: int) -> None:
        bad = commits.bad_count()
        if bad > limit:
            first = next(sample for _, record in commits.records() for sample in record["bad"])
            raise TooManyBadInputs(
                f"{bad} unreadable images, {limit} are allowed; the first is {first['path']!r}: {first['reason']}, "
                f"{first['detail']}; repair or remove them, or allow more with --max-bad (finished groups are kept)"
            )

    def _finish(self, commits: Commits) -> None:
        bands = commits.finished_bands(self._groups, self._band_count)
        splits = tuple(dict.fromkeys(group.split for group in self._groups))
        write_text(self.out / CARD_NAME, build_card(self.identity, bands, splits))
        manifest = build_manifest(self.out, self.identity, self._samples, self._groups, commits, bands)
        write_bytes(self.out / MANIFEST_NAME, json_bytes(manifest))

    def _estimate(self, planned: list[Planned]) -> int:
        config = self._work.config
        return sum(
            estimate_bytes(config, len(bands), self._work.source.channels, len(group.ids))
            for _, group, bands in planned
        )
