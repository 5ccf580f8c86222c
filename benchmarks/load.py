"""`python -m benchmarks load`: batches of 256 for training, augmented and normalised, in CPU microseconds a record."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bandwise.augment.bands import BandAugment, BandCutter
from bandwise.augment.standardise import BandStandardiser
from bandwise.config import AugmentConfig, SplitConfig
from bandwise.sources.folder import FolderSource
from bandwise.store.reading.loader import BatchStream, Cache, read_all
from bandwise.store.reading.order import shuffled_windows
from bandwise.store.reading.store import Store, open_store
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure, Options, Reach, Spread
from benchmarks.loadpeers import image_folder, memory_map, tar_loop, webdataset_loop, write_tar
from benchmarks.measuring import compare, race
from benchmarks.pictures import as_folder, imagenet_sized, photographs

_BATCH = 256
_CANVAS, _CROP = 256, 224
# One low band, two in the middle and the highest: they compress differently.
_BANDS = {4: (0, 5, 10, 15), 2: (0, 1, 2, 3)}
_JPEG, _MAP, _TAR, _WEBDATASET = "JPEG folder", "memory map", "tar of PNG", "webdataset"
_NOTE = "JPEG folder: ImageNet's mean size, Pillow, timm's random resized crop to 224 and flip; per picture"


def measure(options: Options) -> list[Figure]:
    """Measure 56 and 112 pixels, then whether a shuffled window trains as well as a full shuffle."""
    small = photographs(options.data, options.amount(1024, 16))
    source = as_folder(small, options.scratch / "source")
    jpegs = as_folder(imagenet_sized(small[: options.amount(_BATCH, 8)]), options.scratch / "jpegs")
    figures: list[Figure] = []
    for stride in (4,) if options.smallest else (4, 2):
        figures += _one_size(source, jpegs, stride, options)
    return [*figures, shuffling_figure(options)]


def _one_size(source: FolderSource, jpegs: FolderSource, stride: int, options: Options) -> list[Figure]:
    stores = _stores(source, stride, options)
    batch = min(_BATCH, stores["zstd"].rows("train"))
    count, bands = stores["zstd"].rows("train"), _BANDS[stride]
    use = _augment(stores["zstd"], bands[:1])
    tar, raw = options.scratch / f"{stride}.tar", options.scratch / f"{stride}.raw"
    stream = BatchStream(stores["zstd"], (bands[1],), "train", batch)
    records = read_all(stream.reader).numpy()
    records.tofile(raw)
    write_tar(records, stores["zstd"].labels("train"), tar)
    ids = stores["zstd"].ids("train")
    contestants: dict[str, Callable[[], object]] = {
        "zstd": _epochs(stores["zstd"], bands, "none", batch),
        "webp": _epochs(stores["webp"], bands[:1], "none", batch),
        "RAM": _epochs(stores["zstd"], bands[1:2], "ram", batch),
        "all bands": _together(stores["zstd"], batch),
        _JPEG: image_folder(jpegs, batch),
        _MAP: memory_map(raw, records.shape, batch, lambda images, rows: use(images, ids[rows])),
        f"{_MAP}, only gathered": memory_map(raw, records.shape, batch, lambda images, rows: None),
        _TAR: tar_loop(tar, _CROP // stride, batch),
    }
    if (webdataset := webdataset_loop(tar, _CROP // stride, batch)) is not None:
        contestants[_WEBDATASET] = webdataset
    found = race(contestants, rounds=options.rounds(5))
    items = {"zstd": count * len(bands), _JPEG: len(jpegs.entries())}
    for name, seconds in found.seconds.items():
        found.seconds[name] = [each / items.get(name, count) for each in seconds]
    side, share = _CROP // stride, {4: 1.0, 2: 0.25}[stride]
    reaches: dict[tuple[str, str], Reach | None] = {
        ("zstd", _JPEG): Reach(">=", 150 * share),
        ("webp", _JPEG): Reach(">=", 10 * share),
        ("RAM", _MAP): Reach(">=", 0.9),
        ("all bands", _JPEG): Reach(">=", 10) if stride == 4 else None,
        ("zstd", _WEBDATASET if webdataset else _TAR): Reach(">=", 3),
    }
    peers = tuple(name for name in contestants if name not in ("zstd", "webp", "RAM", "all bands"))
    return [
        compare(
            found,
            f"load/{side}px/{ours} over {peer}",
            unit="us a record" if ours != "all bands" else "us a picture",
            factor=1e6,
            ours=ours,
            over=peer,
            under=ours,
            peers=peers,
            reach=reach,
            ratio_of=f"{peer} / ours",
            note=_NOTE,
        )
        for (ours, peer), reach in reaches.items()
    ]


def _stores(source: FolderSource, stride: int, options: Options) -> dict[str, Store]:
    found = {}
    config = SplitConfig(stride=stride, canvas=_CANVAS, group_size=1024, holdout=0, holdout_min=0)
    for codec, bands in (("zstd", "all"), ("webp", "0")):
        out = options.scratch / f"{codec}-{stride}"
        split_dataset(source, dataclasses.replace(config, codec=codec, bands=bands), out)
        found[codec] = open_store(out)
    return found


def _augment(store: Store, bands: Sequence[int]) -> Callable[[Tensor, NDArray[np.int64]], object]:
    standardiser = BandStandardiser(store.transform, bands, store.mean(bands), store.std(bands))
    cutter = BandCutter(standardiser, side=store.side, crop_side=_CROP // store.config.stride, reuse=True)
    augment = BandAugment(AugmentConfig(), cutter, seed=0)
    return lambda images, ids: augment(images, torch.from_numpy(ids), 0)


def _epochs(store: Store, bands: Sequence[int], cache: Cache, batch: int) -> Callable[[], object]:
    streams = [(BatchStream(store, (band,), "train", batch, cache=cache), _augment(store, (band,))) for band in bands]

    def run() -> None:
        for stream, use in streams:
            for each in stream.batches(0):
                use(each.images, each.ids.numpy())

    return run


def _together(store: Store, batch: int) -> Callable[[], object]:
    bands = store.bands
    stream, use = BatchStream(store, bands, "train", batch, cache="none"), _augment(store, bands)

    def run() -> None:
        for each in stream.batches(0):
            use(each.images, each.ids.numpy())

    return run


_ROWS, _TEST, _CLASSES, _FEATURES = 16_384, 4_096, 10, 64
_GROUP, _WINDOW, _SHUFFLED_BATCH, _EPOCHS, _SEEDS = 256, 2, 64, 3, 8
_NOISE = 2.5
_HIDDEN, _RATE = 64, 0.2
_SHUFFLED_REACH = Reach("<=", 2.0)


def shuffling_figure(options: Options) -> Figure:
    """Say whether a network learns as well from rows shuffled inside a window as from a full shuffle.

    The figure is the accuracy of one hidden layer on noisy made-up classes, the ratio the gap over its spread. Order
    can matter in it: 64 row groups, windows of only two of them (16 is the default).
    """
    seeds = options.amount(_SEEDS, 2)
    rows = options.amount(_ROWS, 1024)
    found = {
        name: [100 * _accuracy(seed, rows, window, stored_by_class) for seed in range(seeds)]
        for name, window, stored_by_class in (
            ("window", _WINDOW, False),
            ("full shuffle", rows, False),
            ("window over a set sorted by class", _WINDOW, True),
        )
    }
    gaps = [a - b for a, b in zip(found["window"], found["full shuffle"], strict=True)]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    return Figure(
        "load/shuffling",
        "% accuracy",
        ours=statistics.mean(found["window"]),
        peers={name: statistics.mean(values) for name, values in found.items() if name != "window"},
        ratio=abs(statistics.mean(gaps)) / max(error, 1e-9),
        ratio_of="gap / its standard error",
        reach=_SHUFFLED_REACH,
        spread={"ours": Spread.of(found["window"]), "full shuffle": Spread.of(found["full shuffle"])},
        note="shuffling: a made-up set of 64 row groups, windows of 2; a split shuffles its source before it stores "
        "it, and the last peer shows what happens without that",
    )


def _accuracy(seed: int, rows: int, window: int, stored_by_class: bool) -> float:
    """Train once and return the accuracy on rows that were not trained on."""
    images, labels = _samples(seed, rows + _TEST)
    if stored_by_class:
        order = labels[:rows].argsort(stable=True)
        images[:rows], labels[:rows] = images[:rows][order], labels[:rows][order]
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(_FEATURES, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _CLASSES))
    optimiser = torch.optim.SGD(network.parameters(), lr=_RATE, momentum=0.9)
    groups = [_GROUP] * (rows // _GROUP)
    for epoch in range(_EPOCHS):
        windows = shuffled_windows(groups, seed=seed, epoch=epoch, window=window)
        positions = torch.from_numpy(np.concatenate([each.positions for each in windows]))
        for batch in positions.split(_SHUFFLED_BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        return (network(images[rows:]).argmax(1) == labels[rows:]).float().mean().item()


def _samples(seed: int, count: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (_CLASSES, _FEATURES))
    labels = random.integers(0, _CLASSES, count)
    images = centres[labels] + random.normal(0, _NOISE, (count, _FEATURES))
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)
