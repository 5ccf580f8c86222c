"""What the bytes of a store are a function of: configuration, sample list, classes, source and library versions."""

import dataclasses
import json
from typing import Any

import pyarrow as pa

from bandwise.config import SplitConfig, to_dict
from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.sources.decoding.decode import decoder_versions
from bandwise.sources.samples import SampleList
from bandwise.sources.source import Source
from bandwise.store.layout import FORMAT, ROW_GROUP, SPLITS, VERSION

MAX_GROUP = 8192
IDENTITY_KEYS = ("format", "version", "config", "group_size", "classes", "channels", "samples", "source", "versions")
"""What STORE.json holds beside its seal; the manifest repeats all of it."""
_GROUPS_WANTED = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Consecutive ids of one split, written and committed together.

    Attributes:
        split: `train`, `holdout` or `val`.
        index: number of the group in its split.
        count: number of groups of the split.
        ids: the ids, of which unreadable ones will be left out.
    """

    split: str
    index: int
    count: int
    ids: range


def group_size(config: SplitConfig, total: int) -> int:
    """Return the images in a group of a set of `total`: as configured, else a power of two near a sixteenth of them."""
    if config.group_size:
        return config.group_size
    size = ROW_GROUP
    while size < MAX_GROUP and size * _GROUPS_WANTED * 2 <= total:
        size *= 2
    return size


def plan_groups(samples: SampleList, size: int) -> list[Group]:
    """Cut every split into groups of `size` ids; the last one of a split may be smaller."""
    groups: list[Group] = []
    for split in SPLITS:
        ids = samples.range(split)
        starts = range(ids.start, ids.stop, size)
        for index, start in enumerate(starts):
            groups.append(Group(split, index, len(starts), range(start, min(start + size, ids.stop))))
    return groups


def make_identity(source: Source, samples: SampleList, config: SplitConfig) -> dict[str, Any]:
    """Return the content of STORE.json, before it is sealed.

    The list of bands is left out: bands may be added later, and folders with other bands of one split belong together.
    """
    content = to_dict(config)
    del content["bands"]
    counts = {split: len(samples.range(split)) for split in SPLITS}
    identity = {
        "format": FORMAT,
        "version": list(VERSION),
        "config": content,
        "group_size": group_size(config, len(samples)),
        "classes": list(source.classes),
        "channels": source.channels,
        "samples": {"sha256": samples.sha256(), **counts},
        "source": source.fingerprint,
        "versions": {**decoder_versions(), "pyarrow": pa.__version__},
    }
    assert tuple(identity) == IDENTITY_KEYS
    # As it will be read back, so that tuples and lists compare equal.
    return json.loads(json_bytes(identity))


def commit_key(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what a commit record holds of the identity, so that a record of another split is recognised."""
    shape = {key: identity[key] for key in ("config", "group_size", "classes", "channels", "source")}
    return {
        "config_sha256": sha256_bytes(json_bytes(shape)),
        "samples_sha256": identity["samples"]["sha256"],
        "versions": identity["versions"],
    }


def require_same(what: str, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to continue a store that was made by another configuration, source, sample list or library.

    Raises:
        IncompatibleError: they differ; the message lists the fields.
    """
    found = differences(stored, wanted)
    if found:
        raise IncompatibleError(
            f"{what} was made otherwise than asked for now:\n  " + "\n  ".join(found) + "\n"
            "use the same options and libraries to continue it, or choose another folder"
        )
