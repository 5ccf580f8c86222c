"""Find the images that a store was made from."""

from pathlib import Path

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.named import available
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import Source
from bandwise.store.format import open_store


def source_of(store: Path, data: str | None) -> Source:
    """Open the source of a store: where `data` says, else the named set that its manifest names.

    Raises:
        UsageError: the store was made from a folder and `data` does not say where that folder is now.
    """
    facts = open_store(store).manifest["source"]
    name = data or facts["name"]
    if data is None and name not in available():
        raise UsageError(f"{store} was made from the folder {name!r}; say where it is now with --data")
    return open_source(DataConfig(data=name, reported=facts.get("reported") or "auto"))
