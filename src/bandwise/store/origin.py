"""Whether a source is the one that a store was made from: by what it lists, wherever it lies and whatever its name."""

import json
from typing import Any

import numpy as np

from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError
from bandwise.files.documents import json_bytes
from bandwise.sources.decoding.decode import BadImage, load_canvas
from bandwise.sources.samples import SampleList, freeze_samples
from bandwise.sources.source import Source
from bandwise.store.reading.store import Store


def without_name(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Leave the name out of a source's fingerprint: it changes where a folder is renamed."""
    return {key: value for key, value in fingerprint.items() if key != "name"}


def read_otherwise(store: Store, source: Source) -> list[str]:
    """List what is other in the way a source is read than when the store was made; the name may differ."""
    given = json.loads(json_bytes(source.fingerprint))
    return differences(without_name(store.manifest.source), without_name(given))


def require_source(store: Store, source: Source) -> SampleList:
    """Return the sample list of a store, after checking that `source` still gives it.

    Raises:
        IncompatibleError: it is read in another way, or gives another list.
    """
    if read_otherwise(store, source):
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
    """Decode one stored sample again, uint8 (canvas, canvas, channels).

    Raises:
        IncompatibleError: it cannot be decoded any more.
    """
    try:
        return load_canvas(source, samples.paths[sample], store.config)[0]
    except BadImage as error:
        name = samples.paths[sample].decode("utf-8", "backslashreplace")
        raise IncompatibleError(f"{name} of {source.name} could be read once and cannot be now: {error}") from error
