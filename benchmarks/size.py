"""`python -m benchmarks size`: bytes of a record as a share of its pixels, by band, on the photographs."""

import dataclasses
import shutil

from bandwise.config import SplitConfig
from bandwise.store.reading.store import Store, open_store
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure, Options, Reach
from benchmarks.pictures import as_folder, photographs

SIZES = ((2, 256), (4, 256), (6, 336), (6, 384))
_REACH = {"zstd": {2: 0.57, 4: 0.39, 6: 0.28}, "webp": {2: 0.40, 4: 0.30, 6: 0.22}}
_PUBLISHED_BYTES = 2206
_PUBLISHED_CANVAS = 336
_NOTE = "photographs: JPEGs of quality 75, 348 pixels on the short side, soft; bytes are those of the files, with ids"


def measure(options: Options) -> list[Figure]:
    """Write a store for each size and codec and weigh its bands."""
    pictures = photographs(options.data, options.amount(512, 8))
    source = as_folder(pictures, options.scratch / "source")
    figures: list[Figure] = []
    for stride, canvas in SIZES[:1] if options.smallest else SIZES:
        shared = SplitConfig(stride=stride, canvas=canvas, group_size=512, holdout=0, holdout_min=0)
        for codec in ("zstd", "webp"):
            config = dataclasses.replace(shared, codec=codec)
            out = options.scratch / "store"
            split_dataset(source, config, out)
            figures += _figures(open_store(out), codec, canvas)
            shutil.rmtree(out)
    return figures


def _figures(store: Store, codec: str, canvas: int) -> list[Figure]:
    stride, rows = store.config.stride, store.rows("train")
    raw = store.side**2 * store.channels
    by_band = {f"band {band}": store.band_bytes(band) / rows for band in store.bands}
    mean = sum(by_band.values()) / len(by_band)
    name = f"size/s{stride}-{canvas}/{codec}"
    figures = [
        Figure(
            name,
            "bytes a record, mean of all bands",
            ours=mean,
            peers={"pixels": float(raw), **by_band},
            ratio=mean / raw,
            ratio_of="ours / pixels",
            reach=Reach("<=", _REACH[codec][stride]),
            note=_NOTE,
        )
    ]
    if canvas == _PUBLISHED_CANVAS and codec == "webp":
        figures.append(
            Figure(
                f"{name}/published",
                "bytes a record",
                ours=mean,
                peers={"published": _PUBLISHED_BYTES},
                ratio=mean / _PUBLISHED_BYTES,
                ratio_of="ours / published",
                reach=Reach("<=", 1.0),
                note="published: 27.27 GB for one of 36 sub-datasets of 12.36 million pictures",
            )
        )
    return figures
