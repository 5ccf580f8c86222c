"""Find the store of a run, and the images that a store was made from."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bandwise.commands.verb import own_store
from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.evaluation.views import CropsFrom, WantedOrigin
from bandwise.runs.run import Run, open_run
from bandwise.sources.named.catalog import available, home
from bandwise.sources.resolve import open_source
from bandwise.sources.source import Source
from bandwise.store.reading.store import read_source_facts

_CROPS_FROM = (
    "Pixels of the crops: the branch's own stored bands, images rebuilt from a store of all bands, or the source\n"
    "decoded again. auto takes the first of these, in this order, that can give the crops exactly or is there."
)
CropsFromFlag = Annotated[WantedOrigin, arg(help=_CROPS_FROM)]
_FILES = ("folder", "table", "imagenet1k", "imagenet21k", "parquet", "webdataset")


def store_here(place: str | None, bands: Iterable[int]) -> Path | None:
    """Return the folder of a store; one at an address is fetched, as far as some bands need it. None stays None."""
    if place is None:
        return own_store(None)
    # Here, so that other commands do not wait for it.
    from bandwise.files.remote import is_address

    if not is_address(place):
        return own_store(Path(place))
    from bandwise.store.remote import fetch_store

    return fetch_store(place, tuple(sorted(set(bands))), home() / "stores")


def run_with_store(path: Path, place: str | None) -> Run:
    """Open a run with its store at another place; of one at an address, with the bands of branches yet to be asked."""
    if place is None:
        return open_run(path)
    run = open_run(path)
    silent = (
        group
        for branch, group in enumerate(run.groups)
        if not all(run.logits_path(split, branch).exists() for split in ("holdout", "val"))
    )
    return open_run(path, store_here(place, chain.from_iterable(silent)))


def source_of(store: Path, data: str | None, run_data: DataConfig | None = None) -> Source:
    """Open the source of a store, as the kind that its STORE.json names, which is there before it is finished.

    Where `data` is None, the images are where a run of this store had them, `run_data`, else they are the named set of
    STORE.json; a folder that is neither is a `UsageError`.
    """
    facts = read_source_facts(store)
    kind, name = facts.get("kind"), str(facts.get("name", ""))
    place = _known_place(name, run_data) if data is None else DataConfig(data=data)
    if place is None:
        made_from = f"the folder {name!r}" if name else f"a source of the kind {kind!r}"
        raise UsageError(f"{store} was made from {made_from}; say where it is now with --data")
    named = _is_named(place)
    seed = facts.get("seed", 0) if kind == "imagenet21k" else 0
    # What a folder of archives or shards is cannot always be seen from outside; it may even have the name of a set.
    how = "named" if named else kind if kind in _FILES else "auto"
    # A folder or shards that were read without a reported set may have one by now.
    reported = "auto" if named or "reported" not in facts else facts["reported"] or "none"
    base = run_data or place
    if kind == "table" and not base.labels:
        columns = {f"{what}_column": name for what, name in facts["columns"].items()}
        base = replace(base, source="table", labels=facts["labels"], **columns)
    return open_source(replace(base, data=place.data, source=how, reported=reported, val_seed=seed, expect="any"))


def _known_place(name: str, run_data: DataConfig | None) -> DataConfig | None:
    """Return where the images are of a store that names its source so; None where nothing says it."""
    if run_data is not None and not _is_named(run_data):
        return run_data if Path(run_data.data).expanduser().exists() else None
    # A run that was only trained from a store has the name of the default set, whatever the store is of.
    return DataConfig(data=name) if name in available() else None


def _is_named(place: DataConfig) -> bool:
    return place.source == "named" or (place.source == "auto" and place.data in available())


def crops_from(run: Run, origin: WantedOrigin, data: str | None) -> CropsFrom:
    """Say where the crops of an evaluation come from; the source is opened when it is needed, and once."""
    return CropsFrom(origin, cache(lambda: source_of(run.store_path, data, run.config.data)))
