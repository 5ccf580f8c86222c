"""`python -m benchmarks split`: photographs to a finished store, against decoding and resizing them alone.

Seconds are CPU seconds of one process that does everything; only the figure of two workers is by the clock on the wall.
"""

import dataclasses
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bandwise.config import SplitConfig
from bandwise.machine import usable_cores
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.folder import FolderSource
from bandwise.store.layout import COMMITS_NAME
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure, Options, Reach, Spread
from benchmarks.measuring import compare, race
from benchmarks.pictures import Photograph, as_folder, canvases, imagenet_sized, photographs
from benchmarks.stages import stage_milliseconds
from benchmarks.transform import fft_form

SIZES = ((2, 256), (4, 256), (6, 384))
_REACH = {
    ("zstd", 2): 1.6,
    ("zstd", 4): 1.6,
    ("zstd", 6): 1.9,
    ("webp", 2): 3.0,
    ("webp", 4): 3.0,
    ("webp", 6): 4.5,
}
_UPSTREAM, _TWO_WORKERS = Reach(">=", 3.0), Reach(">=", 1.8)
_PICTURES, _GROUP, _GROUPS = 384, 256, 10
_SIZED = "JPEGs of ImageNet's mean size, made from the photographs"
_PEER, _CHAIN, _UNIT = "decode and resize", "upstream chain", "ms a picture"
_CHAIN_PART, _WEBP_PART = 24, 2
_TIMES = 2
_number = itertools.count()


def measure(options: Options) -> list[Figure]:
    """Measure both codecs at every size, the upstream chain, and two workers against one."""
    small = photographs(options.data, options.amount(_PICTURES, 8))
    large = imagenet_sized(small)
    _warm_up(small[:8], options)
    if options.smallest:
        return [*_sized_figures(small, 2, 32, options), _two_workers(small, options)]
    figures: list[Figure] = []
    for stride, canvas in SIZES:
        figures += _sized_figures(large, stride, canvas, options)
    figures += [_small_figure(small, stride, canvas, options) for stride, canvas in SIZES]
    return [*figures, _two_workers(large, options)]


def _warm_up(pictures: Sequence[Photograph], options: Options) -> None:
    """Do everything once, so that nothing is imported or compiled while it is timed."""
    source, configs = _prepare(pictures, 2, 256, options)
    for config in configs.values():
        _convert(source, config, options.scratch)
    _upstream(pictures[:1], 2, 256, options.scratch)


def _sized_figures(pictures: Sequence[Photograph], stride: int, canvas: int, options: Options) -> list[Figure]:
    """Both codecs, the upstream chain and the stages, on pictures for which a reach is promised.

    What is fast has every picture twice, so that the start and the end of a store weigh less, as in a real one; what is
    slow has some of them. All figures are for one picture.
    """
    source, configs = _prepare([*pictures] * _TIMES, stride, canvas, options)
    half, _ = _prepare(pictures[::_WEBP_PART], stride, canvas, options)
    some = pictures[: max(1, len(pictures) // _CHAIN_PART)]
    found = race(
        {
            _PEER: lambda: _decode_all(source, configs["zstd"]),
            "zstd": lambda: _convert(source, configs["zstd"], options.scratch),
            "webp": lambda: _convert(half, configs["webp"], options.scratch),
            _CHAIN: lambda: _upstream(some, stride, canvas, options.scratch),
        },
        rounds=options.rounds(3),
        warm_up=0,
    )
    counts = {"webp": len(half.entries()), _CHAIN: len(some)}
    for name, seconds in found.seconds.items():
        found.seconds[name] = [each / counts.get(name, len(pictures) * _TIMES) for each in seconds]
    base, factor = f"split/imagenet-sized/s{stride}-{canvas}", 1e3
    figures = [
        compare(
            found,
            f"{base}/{codec}",
            unit=_UNIT,
            factor=factor,
            ours=codec,
            over=codec,
            under=_PEER,
            peers=(_PEER, _CHAIN),
            reach=Reach("<=", _REACH[codec, stride]),
            ratio_of=f"ours / {_PEER}",
            note=_SIZED,
        )
        for codec in configs
    ]
    figures.append(
        compare(
            found,
            f"{base}/rate",
            unit=_UNIT,
            factor=factor,
            ours="zstd",
            over=_CHAIN,
            under="zstd",
            peers=(_CHAIN,),
            reach=_UPSTREAM,
            ratio_of=f"{_CHAIN} / ours",
        )
    )
    once, _ = _prepare(pictures, stride, canvas, options)
    stages = stage_milliseconds(once, configs["zstd"], options.scratch)
    total = found.spread("zstd", factor).median
    stages["everything else"] = max(0.0, total - sum(stages.values()))
    return [*figures, Figure(f"{base}/stages", _UNIT, ours=total, peers=stages, note="stages: each alone, zstd")]


def _small_figure(pictures: Sequence[Photograph], stride: int, canvas: int, options: Options) -> Figure:
    """The same ratio on the photographs as they are; nothing is promised for it."""
    source, configs = _prepare(pictures, stride, canvas, options)
    found = race(
        {
            _PEER: lambda: _decode_all(source, configs["zstd"]),
            "zstd": lambda: _convert(source, configs["zstd"], options.scratch),
        },
        rounds=options.rounds(2),
        warm_up=0,
    )
    return compare(
        found,
        f"split/photographs/s{stride}-{canvas}/zstd",
        unit=_UNIT,
        factor=1e3 / len(pictures),
        ours="zstd",
        over="zstd",
        under=_PEER,
        peers=(_PEER,),
        reach=None,
        ratio_of=f"ours / {_PEER}",
        note="photographs: as they are, small, so that decoding them costs half as much",
    )


def _prepare(
    pictures: Sequence[Photograph], stride: int, canvas: int, options: Options
) -> tuple[FolderSource, dict[str, SplitConfig]]:
    source = as_folder(pictures, options.scratch / f"source-{next(_number)}")
    shared = SplitConfig(stride=stride, canvas=canvas, group_size=1024, holdout=0, holdout_min=0)
    return source, {codec: dataclasses.replace(shared, codec=codec) for codec in ("zstd", "webp")}


def _convert(source: FolderSource, config: SplitConfig, scratch: Path) -> None:
    out = scratch / f"store-{next(_number)}"
    split_dataset(source, config, out, workers=1, decode_timeout=0.0)
    shutil.rmtree(out)


def _decode_all(source: FolderSource, config: SplitConfig) -> None:
    for entry in source.entries():
        load_canvas(source, entry.path, config)


def _upstream(pictures: Sequence[Photograph], stride: int, canvas: int, scratch: Path) -> None:
    root = scratch / f"images-{next(_number)}"
    write_band_images(pictures, stride, canvas, root)
    shutil.rmtree(root)


def _two_workers(pictures: Sequence[Photograph], options: Options) -> Figure:
    """Compare the pace of commits of two workers and of one: the start of processes is no conversion.

    Two workers at the same pace commit in turns, so an even number of commits later both have done as much, however
    far apart they began.
    """
    reach = _TWO_WORKERS
    if usable_cores() < 2:
        return Figure("split/two workers", "pictures a second", reach=reach, note="one core here")
    config = SplitConfig(stride=4, canvas=256, group_size=_GROUP, holdout=0, holdout_min=0)
    count = _GROUP * (4 if options.smallest else _GROUPS)
    folder = options.scratch / "workers"
    source = as_folder([pictures[place % len(pictures)] for place in range(count)], folder)
    paces: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds(2)):
        for workers, found in paces.items():
            out = options.scratch / f"store-{next(_number)}"
            split_dataset(source, config, out, workers=workers, decode_timeout=0.0)
            found.append(_pace(out))
            shutil.rmtree(out)
    shutil.rmtree(folder)
    rates = {workers: Spread.of(found) for workers, found in paces.items()}
    return Figure(
        "split/two workers",
        "pictures a second",
        ours=rates[2].median,
        peers={"one worker": rates[1].median},
        ratio=rates[2].median / rates[1].median,
        ratio_of="two workers / one",
        reach=reach,
        spread={"ours": rates[2], "one worker": rates[1]},
        note="two workers: by the wall clock, from one commit to another; a busy machine cannot show it",
    )


def _pace(store: Path) -> float:
    """Return the pictures a second between the second commit and the last, for an even number of full groups."""
    times = sorted(record.stat().st_mtime_ns for record in (store / COMMITS_NAME).glob("train-*.json"))
    assert len(times) % 2 == 0
    return _GROUP * (len(times) - 2) / (times[-1] - times[1]) * 1e9


def write_band_images(pictures: Sequence[Photograph], stride: int, canvas: int, root: Path) -> None:
    """Decode, resize, turn into a tensor, transform by FFT and write PNG files, picture by picture."""
    folders = [root / f"band-{band:02d}" for band in range(stride * stride)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for place, picture in enumerate(pictures):
        pixels = canvases([picture], canvas)[0]
        tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        bands = fft_form(tensor[None], stride)
        for folder, band in zip(folders, bands[:, 0], strict=True):
            Image.fromarray(np.ascontiguousarray(band.permute(1, 2, 0).numpy())).save(folder / f"{place:05d}.png")
