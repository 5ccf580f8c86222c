"""MANIFEST.json: what a reader must know, derived from STORE.json, the sample list and the commit records alone."""

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.bands.quantize import offsets, scales
from bandwise.bands.transform import SubbandTransform
from bandwise.errors import IncompatibleError
from bandwise.files.documents import seal
from bandwise.files.regular import sha256_file
from bandwise.sources.samples import SampleList
from bandwise.store.layout import CARD_NAME, ROW_GROUP, SAMPLES_NAME, SPLITS, STORE_NAME, band_file, record_header
from bandwise.store.writing.commits import Commits
from bandwise.store.writing.duplicates import find_duplicates
from bandwise.store.writing.identity import Group

PIXEL_RULES = {
    "decoder": "Pillow",
    "box": "central square: m = min(w, h), left = (w - m) // 2, top = (h - m) // 2",
    "resampler": "Pillow BILINEAR (widened when it shrinks) on that box; none where m is the canvas",
}


def build_manifest(
    out: Path,
    identity: dict[str, Any],
    samples: SampleList,
    groups: list[Group],
    commits: Commits,
    bands: tuple[int, ...],
) -> dict[str, Any]:
    """Return the sealed manifest of bands that are finished in every group; README.md must have been written.

    Raises:
        CorruptionError: a record does not fit its group.
        IncompatibleError: two records of a group disagree about its samples, so the source has changed in between.
    """
    for group in groups:
        _require_agreement(out, commits.of_group(group))
    config = identity["config"]
    transform = SubbandTransform(config["stride"], config["transform"], config["transform_seed"])
    side = config["canvas"] // config["stride"]
    per_split = {split: [group for group in groups if group.split == split] for split in SPLITS}
    facts = {group: commits.of_group(group)[0] for group in groups}
    notes = sum((Counter(facts[group]["notes"]) for group in groups), Counter())
    content = {
        **{key: value for key, value in identity.items() if key != "self_sha256"},
        "bands": list(bands),
        "transform": {
            "kind": transform.kind,
            "stride": transform.stride,
            "invertible": transform.invertible,
            "scale": scales(transform).tolist(),
            "offset": offsets(transform).tolist() if config["storage"] == "uint8" else [0] * transform.count,
        },
        "pixels": PIXEL_RULES,
        "record": {
            "side": side,
            "dtype": config["storage"],
            "header": record_header(side, identity["channels"], config["storage"]).decode("ascii"),
            "row_group": ROW_GROUP,
        },
        "splits": {
            split: {
                "groups": len(members),
                "samples": sum(len(group.ids) for group in members),
                "rows": sum(facts[group]["rows"] for group in members),
            }
            for split, members in per_split.items()
        },
        "statistics": {str(band): _statistics(band, per_split["train"], commits) for band in bands},
        "canvas_digests": {
            split: _combine([facts[group]["canvas_digest"] for group in members])
            for split, members in per_split.items()
        },
        "content_digests": {
            str(band): {
                split: _combine([_record_of(group, band, commits)["digests"][str(band)] for group in members])
                for split, members in per_split.items()
            }
            for band in bands
        },
        "bad": [{**sample, "split": group.split} for group in groups for sample in facts[group]["bad"]],
        "notes": dict(sorted(notes.items())),
        "files": _files(out, bands, groups, commits),
    }
    # Records made before there were hashes have none.
    if all("hashes" in record for record in facts.values()):
        content["duplicates"] = _duplicates(samples, groups, facts)
    return seal(content)


def file_facts(path: Path) -> dict[str, Any]:
    """Return what the manifest says of a file that is no band file: its bytes and sha256."""
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _files(out: Path, bands: tuple[int, ...], groups: list[Group], commits: Commits) -> dict[str, Any]:
    counts = {group.split: group.count for group in groups}
    files = {name: file_facts(out / name) for name in (STORE_NAME, SAMPLES_NAME, CARD_NAME)}
    for name, record in commits.records():
        if not set(record["bands"]) & set(bands):
            continue
        files[name] = file_facts(out / name)
        members = {band_file(band, record["split"], record["group"], counts[record["split"]]) for band in bands}
        files |= {member: facts for member, facts in record["files"].items() if member in members}
    return dict(sorted(files.items()))


def _duplicates(samples: SampleList, groups: list[Group], facts: dict[Group, dict[str, Any]]) -> dict[str, Any]:
    stored = np.ones(len(samples), bool)
    stored[[sample["id"] for group in groups for sample in facts[group]["bad"]]] = False
    ids = np.flatnonzero(stored)
    splits = np.searchsorted([samples.range(split).stop for split in SPLITS], ids, side="right")
    return find_duplicates(ids, [facts[group]["hashes"] for group in groups], splits, samples.labels[ids])


def _record_of(group: Group, band: int, commits: Commits) -> dict[str, Any]:
    return next(record for record in commits.of_group(group) if band in record["bands"])


def _statistics(band: int, groups: list[Group], commits: Commits) -> dict[str, Any]:
    parts = [_record_of(group, band, commits)["statistics"][str(band)] for group in groups]
    count, steps = sum(part["count"] for part in parts), parts[0]["steps"]
    sums = [sum(column) for column in zip(*(part["sum"] for part in parts), strict=True)]
    squares = [sum(column) for column in zip(*(part["sum_squares"] for part in parts), strict=True)]
    # Integers until the last step: neither the order of groups nor cancellation can change a digit.
    spread = [count * square - total * total for total, square in zip(sums, squares, strict=True)]
    return {
        "count": count,
        "mean": [total / (count * steps) if count else 0.0 for total in sums],
        "std": [math.sqrt(value) / (count * steps) if count else 0.0 for value in spread],
    }


def _combine(digests: list[str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def _require_agreement(out: Path, records: list[dict[str, Any]]) -> None:
    for record in records[1:]:
        changed = [key for key in ("bad", "canvas_digest") if record[key] != records[0][key]]
        if changed:
            raise IncompatibleError(
                f"{out}: the records of {record['split']} group {record['group']} disagree about "
                f"{' and '.join(changed)}: the source has changed between two runs; split again into another folder"
            )
