"""What a store was made from: its identity, its sample list as a file, and whether a source is still the one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.config import SplitConfig, to_dict
from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError
from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes
from bandwise.files.schema import plain
from bandwise.sources.columns import pieces
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decoder_versions, load_canvas
from bandwise.sources.samples import SCHEMA, SampleList, freeze_samples
from bandwise.sources.source import Source
from bandwise.store.layout import FORMAT, ROW_GROUP, VERSION
from bandwise.store.manifest import CommitKey, Identity, SampleFacts
from bandwise.store.reading.store import Store, naming_damage

_MAX_GROUP = 8192
_GROUPS_WANTED = 16
_SAMPLES_ROW_GROUP = 1 << 20
_SAMPLES_BATCH = 1 << 16


def group_size(config: SplitConfig, total: int) -> int:
    """Return the images in a group of a set of `total`: as configured, else a power of two near a sixteenth of them."""
    if config.group_size:
        return config.group_size
    size = ROW_GROUP
    while size < _MAX_GROUP and size * _GROUPS_WANTED * 2 <= total:
        size *= 2
    return size


def make_identity(source: Source, samples: SampleList, config: SplitConfig) -> Identity:
    """Return what STORE.json of a new store says.

    The list of bands is left out: bands may be added later, and folders with other bands of one split belong together.
    """
    content = to_dict(config)
    del content["bands"]
    return Identity(
        format=FORMAT,
        version=VERSION,
        config=content,
        group_size=group_size(config, len(samples)),
        classes=tuple(source.classes),
        channels=source.channels,
        samples=SampleFacts(samples.sha256(), *samples.counts),
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
    """
    stored_fields, wanted_fields = (plain(identity.shared()) for identity in (stored, wanted))
    for fields in (stored_fields, wanted_fields):
        fields["source"] = without_name(fields["source"])
    require_equal(what, stored_fields, wanted_fields)


def require_equal(what: str, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to continue what holds other values than those asked for; the message lists the fields."""
    if found := differences(stored, wanted):
        raise IncompatibleError(
            f"{what} was made otherwise than asked for now:\n  " + "\n  ".join(found) + "\n"
            "use the same options and libraries to continue it, or choose another folder"
        )


def write_samples(samples: SampleList, path: Path, *, row_group: int = _SAMPLES_ROW_GROUP) -> None:
    """Write `samples.parquet` in parts; the bytes are those that one table of it would give."""
    with pq.ParquetWriter(
        path, SCHEMA, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
    ) as writer:
        for part in pieces(len(samples), row_group):
            writer.write_table(samples.table(part), row_group_size=row_group)


def read_samples(path: Path, classes: Sequence[str]) -> SampleList:
    """Read what `write_samples` wrote, in parts, with the checksum of every page."""
    with naming_damage(path), pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        return SampleList.from_batches(file.iter_batches(_SAMPLES_BATCH), classes)


def without_name(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Leave the name out of a source's fingerprint: it changes where a folder is renamed."""
    return {key: value for key, value in fingerprint.items() if key != "name"}


def source_differences(store: Store, source: Source) -> list[str]:
    """List what is other in the way a source is read than when the store was made; the name may differ."""
    given = json.loads(json_bytes(source.fingerprint))
    return differences(without_name(store.manifest.source), without_name(given))


def require_source(store: Store, source: Source) -> SampleList:
    """Return the sample list of a store, after checking that `source` still gives it, wherever it lies now."""
    if source_differences(store, source):
        given, made_from = without_name(source.fingerprint), without_name(store.manifest.source)
        raise IncompatibleError(
            f"{source.name} is read as {given}, but {store.path} was made from {made_from}; give the original "
            "with --data"
        )
    samples = freeze_samples(source, store.config, allow_empty_class=True)
    if samples.sha256() != store.manifest.samples.sha256:
        raise IncompatibleError(
            f"{source.name} is not what {store.path} was made from ({store.manifest.source}): images were added, "
            "removed or changed in size; give the original with --data"
        )
    return samples


def canvas_of(store: Store, source: Source, samples: SampleList, sample: int) -> np.ndarray:
    """Decode one stored sample again, uint8 (canvas, canvas, channels)."""
    try:
        return load_canvas(source, samples.paths[sample], store.config)[0]
    except BadImage as error:
        name = samples.paths[sample].decode("utf-8", "backslashreplace")
        raise IncompatibleError(f"{name} of {source.name} could be read once and cannot be now: {error}") from error
