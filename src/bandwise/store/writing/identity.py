"""What the bytes of a store are a function of: configuration, sample list, classes, source and library versions."""

import json
from typing import Any

import pyarrow as pa

from bandwise.config import SplitConfig, to_dict
from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.files.schema import plain
from bandwise.sources.decoding.decode import decoder_versions
from bandwise.sources.samples import SampleList
from bandwise.sources.source import Source
from bandwise.store.layout import FORMAT, ROW_GROUP, SPLITS, VERSION
from bandwise.store.manifest import CommitKey, Identity, SampleFacts
from bandwise.store.origin import without_name

MAX_GROUP = 8192
_GROUPS_WANTED = 16


def group_size(config: SplitConfig, total: int) -> int:
    """Return the images in a group of a set of `total`: as configured, else a power of two near a sixteenth of them."""
    if config.group_size:
        return config.group_size
    size = ROW_GROUP
    while size < MAX_GROUP and size * _GROUPS_WANTED * 2 <= total:
        size *= 2
    return size


def make_identity(source: Source, samples: SampleList, config: SplitConfig) -> Identity:
    """Return what STORE.json of a new store says.

    The list of bands is left out: bands may be added later, and folders with other bands of one split belong together.
    """
    content = to_dict(config)
    del content["bands"]
    train, holdout, val = (len(samples.range(split)) for split in SPLITS)
    return Identity(
        format=FORMAT,
        version=VERSION,
        config=content,
        group_size=group_size(config, len(samples)),
        classes=tuple(source.classes),
        channels=source.channels,
        samples=SampleFacts(samples.sha256(), train, holdout, val),
        # As it will be read back, so that tuples and lists compare equal.
        source=json.loads(json_bytes(source.fingerprint)),
        versions={**decoder_versions(), "pyarrow": pa.__version__},
    )


def commit_key(identity: Identity) -> CommitKey:
    """Return what a commit record holds of the identity."""
    content = plain(identity)
    shape = {key: content[key] for key in ("config", "group_size", "classes", "channels", "source")}
    return CommitKey(sha256_bytes(json_bytes(shape)), identity.samples.sha256, identity.versions)


def require_same(what: str, stored: Identity, wanted: Identity) -> None:
    """Refuse to continue a store that was made by another configuration, source, sample list or library.

    A source that has another name now, because its folder was renamed, is the same: the sample list decides.

    Raises:
        IncompatibleError: they differ; the message lists the fields.
    """
    stored_fields, wanted_fields = (plain(identity.shared()) for identity in (stored, wanted))
    for fields in (stored_fields, wanted_fields):
        fields["source"] = without_name(fields["source"])
    require_equal(what, stored_fields, wanted_fields)


def require_equal(what: str, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to continue what holds other values than those asked for."""
    found = differences(stored, wanted)
    if found:
        raise IncompatibleError(
            f"{what} was made otherwise than asked for now:\n  " + "\n  ".join(found) + "\n"
            "use the same options and libraries to continue it, or choose another folder"
        )
