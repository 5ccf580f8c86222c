"""The data-set card README.md, and MANIFEST.json, derived from the other documents of a store alone."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.bands.quantize import offsets, scales
from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, IncompatibleError
from bandwise.files.regular import sha256_file
from bandwise.sources.samples import SampleList
from bandwise.store.duplicates import Duplicates, find_duplicates
from bandwise.store.layout import (
    CARD_NAME,
    ROW_GROUP,
    SAMPLES_NAME,
    SPLITS,
    STORE_NAME,
    SampleGroup,
    band_folder,
    plan_groups,
    record_header,
)
from bandwise.store.manifest import (
    BandFileFacts,
    BandStatistics,
    CommitRecord,
    FileFacts,
    Identity,
    Manifest,
    Moments,
    SampleFacts,
    SplitFacts,
)
from bandwise.store.origin import read_samples
from bandwise.store.writing.commits import Commits, scan_commits

# Control characters, lone surrogates, and the line separators and marks that YAML gives a meaning.
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_PIXEL_RULES = {
    "decoder": "Pillow",
    "box": "central square: m = min(w, h), left = (w - m) // 2, top = (h - m) // 2",
    "resampler": "Pillow BILINEAR (widened when it shrinks) on that box; none where m is the canvas",
}


def manifest_of_files(path: Path, bands: tuple[int, ...] | None = None) -> Manifest:
    """Derive the manifest of a store from its files, with these bands or with all that are finished."""
    identity = Identity.read(path)
    samples = read_samples(path / SAMPLES_NAME, identity.classes)
    if SampleFacts(samples.sha256(), *samples.counts) != identity.samples:
        raise CorruptionError(f"{SAMPLES_NAME} is another sample list than {STORE_NAME} names")
    groups = plan_groups(samples.counts, identity.group_size)
    commits = scan_commits(path, identity, groups)
    finished = commits.finished_bands(groups, identity.band_count)
    return derive_manifest(path, identity, samples, groups, commits, finished if bands is None else bands)


def derive_manifest(
    out: Path,
    identity: Identity,
    samples: SampleList,
    groups: Sequence[SampleGroup],
    commits: Commits,
    bands: tuple[int, ...],
) -> Manifest:
    """Return the manifest of bands that are finished in every group; README.md must have been written."""
    for group in groups:
        records = commits.of_group(group)
        if changed := sorted({key for record in records[1:] for key in record.differing(records[0])}):
            raise IncompatibleError(
                f"{out}: the records of {group.split} group {group.index} disagree about {' and '.join(changed)}: the "
                "source has changed between two runs; split again into another folder"
            )
    first = {group: commits.of_group(group)[0] for group in groups}
    of_split = {split: [group for group in groups if group.split == split] for split in SPLITS}
    return Manifest(
        **identity.shared(),
        bands=bands,
        transform=_transform(identity.split),
        pixels=_PIXEL_RULES,
        record=_record(identity.split, identity.channels),
        splits={
            split: SplitFacts(
                groups=len(members),
                samples=sum(len(group.ids) for group in members),
                rows=sum(first[group].rows for group in members),
            )
            for split, members in of_split.items()
        },
        statistics={
            band: _statistics([commits.of_band(group, band).statistics[band] for group in of_split["train"]])
            for band in bands
        },
        canvas_digests={
            split: _combined(first[group].canvas_digest for group in members) for split, members in of_split.items()
        },
        content_digests={
            band: {
                split: _combined(commits.of_band(group, band).digests[band] for group in members)
                for split, members in of_split.items()
            }
            for band in bands
        },
        bad=tuple(replace(sample, split=group.split) for group in groups for sample in first[group].bad),
        notes=dict(sum((Counter(first[group].notes) for group in groups), Counter())),
        files=_files(out, bands, groups, commits),
        duplicates=_duplicates(samples, [first[group] for group in groups]),
    )


def _transform(config: SplitConfig) -> dict[str, Any]:
    transform = SubbandTransform(config.stride, config.transform, config.transform_seed)
    return {
        "kind": transform.kind,
        "stride": transform.stride,
        "invertible": transform.invertible,
        "scale": scales(transform).tolist(),
        "offset": offsets(transform).tolist() if config.storage == "uint8" else [0] * transform.count,
    }


def _record(config: SplitConfig, channels: int) -> dict[str, Any]:
    side = config.canvas // config.stride
    return {
        "side": side,
        "dtype": config.storage,
        "header": record_header(side, channels, config.storage).decode("ascii"),
        "row_group": ROW_GROUP,
    }


def _files(
    out: Path, bands: tuple[int, ...], groups: Sequence[SampleGroup], commits: Commits
) -> dict[str, BandFileFacts | FileFacts]:
    names = [STORE_NAME, SAMPLES_NAME, CARD_NAME]
    names += [name for name, record in commits.records() if set(record.bands) & set(bands)]
    files: dict[str, BandFileFacts | FileFacts] = {
        name: FileFacts((out / name).stat().st_size, sha256_file(out / name)) for name in names
    }
    for group in groups:
        for band in bands:
            name = group.band_file(band)
            files[name] = commits.of_band(group, band).files[name]
    return files


def _statistics(parts: list[Moments]) -> BandStatistics:
    count, steps = sum(part.count for part in parts), parts[0].steps
    sums = [sum(column) for column in zip(*(part.sum for part in parts), strict=True)]
    squares = [sum(column) for column in zip(*(part.sum_squares for part in parts), strict=True)]
    # Integers until the last step: neither the order of groups nor cancellation can change a digit.
    spread = [count * square - total * total for total, square in zip(sums, squares, strict=True)]
    return BandStatistics(
        count=count,
        mean=tuple(total / (count * steps) if count else 0.0 for total in sums),
        std=tuple(math.sqrt(value) / (count * steps) if count else 0.0 for value in spread),
    )


def _duplicates(samples: SampleList, records: list[CommitRecord]) -> Duplicates | None:
    hashes = [record.hashes for record in records if record.hashes is not None]
    if len(hashes) < len(records):
        return None
    stored = np.ones(len(samples), bool)
    stored[[sample.id for record in records for sample in record.bad]] = False
    ids = np.flatnonzero(stored)
    splits = np.searchsorted(np.cumsum(samples.counts), ids, side="right")
    return find_duplicates(ids, hashes, splits, samples.labels[ids])


def _combined(digests: Iterable[str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def build_card(identity: Identity, bands: tuple[int, ...], splits: Collection[str]) -> str:
    """Return the card of a store with these finished bands, and files in these splits.

    By it `load_dataset(STORE, "band-03")` and the hub show every band.
    """
    config = identity.split
    side = config.canvas // config.stride
    lines = ["---", "task_categories:", "- image-classification", "tags:", "- bandwise", "- sub-band", "configs:"]
    for band in bands:
        lines += [f"- config_name: {band_folder(band)}", "  data_files:"]
        for split in SPLITS:
            if split in splits:
                lines += [f"  - split: {split}", f"    path: {band_folder(band)}/{split}-*.parquet"]
    lines.append("dataset_info:")
    for band in bands:
        features = _features(identity) if band == bands[0] else ["  features: *features"]
        lines += [f"- config_name: {band_folder(band)}", *features]
    lines += [
        "---",
        "",
        f"# {_plain(identity.source.get('name', 'images'))} in {config.stride**2} sub-bands",
        "",
        f"Made by bandwise: every image was cut to its central square, resized to {config.canvas} pixels and split",
        f"by a {config.transform} transform with stride {config.stride} into {config.stride**2}",
        f"sub-bands of {side} x {side} pixels. Row i of a split is the same image in every band.",
        f'`load_dataset(FOLDER, "{band_folder(bands[0])}")` reads one band; `samples.parquet` names the images,',
        "`MANIFEST.json` states scale, offset, mean and standard deviation of every band, and the libraries that",
        "made the pixels.",
        "",
    ]
    return "\n".join(lines)


def _features(identity: Identity) -> list[str]:
    lines = ["  features: &features", "  - name: id", "    dtype: int64", "  - name: label", "    dtype:"]
    lines += ["      class_label:", "        names:"]
    lines += [f"          '{label}': {_quoted(name)}" for label, name in enumerate(identity.classes)]
    lines.append("  - name: image")
    if identity.split.storage == "uint8":
        return [*lines, "    dtype: image"]
    parts = ["    - name: bytes", "      dtype: binary", "    - name: path", "      dtype: string"]
    return [*lines, "    struct:", *parts]


def _plain(text: str) -> str:
    return _NOT_PRINTABLE.sub("\ufffd", text)


def _quoted(text: str) -> str:
    """Write text as a YAML double-quoted scalar; JSON's form of printable text is one."""
    return json.dumps(_plain(text), ensure_ascii=False)
