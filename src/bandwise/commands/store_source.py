"""Find the images that a store was made from."""

from pathlib import Path

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.named import available
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import Source
from bandwise.store.documents import read_marker

_KINDS_TO_NAME = ("imagenet1k", "imagenet21k", "parquet", "webdataset")


def source_of(store: Path, data: str | None) -> Source:
    """Open the source of a store: where `data` says, else the named set that its STORE.json names.

    Raises:
        UsageError: the store was made from a folder and `data` does not say where that folder is now.
    """
    # STORE.json says it too, and a store that is to be repaired cannot be opened.
    facts = read_marker(store)["source"]
    name = data or facts["name"]
    if data is None and name not in available():
        raise UsageError(f"{store} was made from the folder {name!r}; say where it is now with --data")
    # What a folder of archives or shards is cannot always be seen from outside; the store knows how it was read.
    kind = facts.get("kind")
    how = kind if kind in _KINDS_TO_NAME else "auto"
    return open_source(DataConfig(data=name, source=how, reported=facts.get("reported") or "auto"))
