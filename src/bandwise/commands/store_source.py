"""Find the images that a store was made from."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.evaluation.views import CropsFrom, WantedOrigin
from bandwise.runs.run import Run
from bandwise.sources.named.catalog import available
from bandwise.sources.resolve import open_source
from bandwise.sources.source import Source
from bandwise.store.reading.store import read_source_facts

_CROPS_FROM = (
    "Pixels of the crops: the branch's own stored bands, images rebuilt from a store of all bands, or the source\n"
    "decoded again. auto takes the first of these, in this order, that can give the crops exactly or is there."
)
CropsFromFlag = Annotated[WantedOrigin, arg(help=_CROPS_FROM)]
_KINDS_TO_NAME = ("imagenet1k", "imagenet21k", "parquet", "webdataset")


def source_of(store: Path, data: str | None, run_data: DataConfig | None = None) -> Source:
    """Open the source of a store, finished or not: where `data` says, else the named set of its STORE.json.

    Where that is a folder, where a run of this store had it (`run_data`); a folder that is not there is a `UsageError`.
    """
    # From STORE.json alone: a store that is to be repaired cannot be opened.
    facts = read_source_facts(store)
    base = DataConfig() if run_data is None else run_data
    name = data or facts["name"]
    named = base.source == "named" or (base.source == "auto" and base.data in available())
    if data is None and not (named and name in available()):
        if run_data is None or named or not Path(run_data.data).expanduser().exists():
            raise UsageError(f"{store} was made from the folder {name!r}; say where it is now with --data")
        name = run_data.data
    # What a folder of archives or shards is cannot always be seen from outside; the store knows how it was read.
    kind = facts.get("kind")
    how = kind if kind in _KINDS_TO_NAME else base.source if data is None else "auto"
    seed = facts.get("seed", 0) if kind == "imagenet21k" else 0
    reported = facts.get("reported") or "auto"
    return open_source(replace(base, data=name, source=how, reported=reported, val_seed=seed, expect="any"))


def crops_from(run: Run, origin: WantedOrigin, data: str | None) -> CropsFrom:
    """Say where the crops of an evaluation come from; the source is opened when it is needed, and once."""
    return CropsFrom(origin, cache(lambda: source_of(run.store_path, data, run.config.data)))
