"""`python -m benchmarks scale`: does a sample list, a split or an epoch cost more an image when there are more images?

Every measurement is a process of its own, whose memory is read where it has imported everything and at its peak.
"""

import hashlib
import importlib
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bandwise.config import SplitConfig
from bandwise.sources.archives.index import IndexBuilder, load_index
from bandwise.sources.archives.index import write_index as write_picture_index
from bandwise.sources.columns import Names, pieces
from bandwise.sources.samples import SampleList, freeze_samples
from bandwise.sources.source import Listing
from bandwise.store.layout import ROW_GROUP
from bandwise.store.origin import read_samples, write_samples
from bandwise.store.reading.order import shuffled_windows
from bandwise.store.reading.store import open_store
from bandwise.store.writing.records import RecordBlock
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure, Options, Reach
from benchmarks.measuring import Cost, in_own_process

_SPLIT = SplitConfig(stride=2, canvas=8, holdout=0.02, holdout_min=0)
_BATCH, _CLASSES = 256, 100
_FLAT, _PARENT, _LIST, _ORDER = Reach("<=", 1.25), Reach("<=", 0.2), Reach("<=", 1.0), Reach("<=", 8.0)
_LARGEST = 14_000_000
_PICTURES = "pictures of 8 px: what is measured is what an image costs besides its pixels"


def measure(options: Options) -> list[Figure]:
    """Measure lists up to a million, splits and epochs up to a hundred thousand, then 14 million names."""
    lists = (1_000, 10_000) if options.smallest else (1_000, 10_000, 100_000, 1_000_000)
    splits = (1_000, 10_000) if options.smallest else (1_000, 10_000, 100_000)
    index, store = options.scratch / "index-{}.arrow", options.scratch / "store-{}"
    paths = {count: (Path(str(index).format(count)), Path(str(store).format(count))) for count in lists}
    for count, (path, _) in paths.items():
        in_own_process(write_index, path, count, _CLASSES)
    costs = {
        "sample list": {count: in_own_process(freeze_list, paths[count][0], ready=import_late) for count in lists},
        "split": {count: in_own_process(split_pictures, *paths[count], ready=import_late) for count in splits},
        "load": {count: in_own_process(load_epoch, paths[count][1], ready=import_loader) for count in splits},
    }
    figures = []
    for name, found in costs.items():
        figures += _flat(name, found)
    return [*figures, *_largest(options)]


def import_late() -> None:
    """Import what is imported at first use: compiled code by numba, and what pyarrow looks for at an array of numpy."""
    block = RecordBlock(_SPLIT, (0, 1, 2, 3), 3)
    block.add(0, 0, np.zeros((_SPLIT.canvas, _SPLIT.canvas, 3), np.uint8))
    pa.array(block.take()[0])


def import_loader() -> None:
    """Import what reading an epoch needs."""
    import_late()
    importlib.import_module("bandwise.store.reading.loader")


def freeze_list(index: Path) -> SampleList:
    """Put a made-up source in order."""
    return freeze_samples(SyntheticSource(index, _CLASSES), _SPLIT)


def split_pictures(index: Path, out: Path) -> dict[str, Any]:
    """Write a store of tiny pictures in this process."""
    return split_dataset(SyntheticSource(index, _CLASSES), _SPLIT, out)


def load_epoch(path: Path) -> int:
    """Open a store and read one epoch of one band."""
    # torch, which the processes that list and split do without.
    from bandwise.store.reading.loader import BatchStream

    stream = BatchStream(open_store(path), (1,), "train", _BATCH, cache="none")
    return sum(len(batch.ids) for batch in stream.batches(0))


def build_list(index: Path, path: Path) -> None:
    """Put a list in order, take its digest and write it, as a split does."""
    samples = freeze_list(index)
    samples.sha256()
    write_samples(samples, path)


def open_list(path: Path) -> SampleList:
    """Read a written list."""
    return read_samples(path, tuple(map(str, range(_CLASSES))))


def order_bytes(count: int) -> float:
    """Return the most bytes a sample that the order of an epoch takes while it is used."""
    groups = [ROW_GROUP] * (count // ROW_GROUP)
    tracemalloc.start()
    try:
        for _ in shuffled_windows(groups, seed=0, epoch=0):
            pass
        return tracemalloc.get_traced_memory()[1] / count
    finally:
        tracemalloc.stop()


def _flat(name: str, found: dict[int, Cost]) -> list[Figure]:
    """Compare the largest with the next smaller one: smaller still, and what is paid once would hide the growth."""
    counts: Sequence[int] = sorted(found)
    least, most = counts[-2], counts[-1]
    times = {count: found[count].seconds / count * 1e6 for count in counts}
    grown = found[most].grown_bytes / 1e9
    return [
        Figure(
            f"scale/{name}/time",
            "us an image",
            ours=times[most],
            peers={f"{count:,} images": times[count] for count in counts[:-1]},
            ratio=times[most] / times[least],
            ratio_of=f"at {most:,} images / at {least:,}",
            reach=_FLAT,
            note=_PICTURES,
        ),
        Figure(
            f"scale/{name}/memory",
            "GB",
            ours=grown,
            peers={f"{count:,} images": found[count].grown_bytes / 1e9 for count in counts[:-1]},
            ratio=grown,
            ratio_of=f"GB above the imports, at {most:,} images",
            reach=_PARENT,
            note=_PICTURES,
        ),
    ]


def _largest(options: Options) -> list[Figure]:
    count = options.amount(_LARGEST, 10_000)
    path = options.scratch / "samples.parquet"
    index = options.scratch / "largest.arrow"
    in_own_process(write_index, index, count, _CLASSES)
    built = in_own_process(build_list, index, path, ready=import_late)
    opened = in_own_process(open_list, path, ready=import_late)
    figures = [
        Figure(
            f"scale/{count:,} names/{name}",
            "GB",
            ours=cost.own_bytes / 1e9,
            peers={"with mapped files": cost.grown_bytes / 1e9},
            ratio=cost.own_bytes / 1e9,
            ratio_of="GB above the imports, mapped files left out",
            reach=_LIST,
            note="names of 38 bytes; the listing of the source lies in a mapped file, as that of an archive does",
        )
        for name, cost in (("built", built), ("opened", opened))
    ]
    order = order_bytes(count)
    figures.append(
        Figure(
            f"scale/{count:,} names/order of an epoch",
            "bytes a sample",
            ours=order,
            ratio=order,
            ratio_of="bytes a sample, at its peak",
            reach=_ORDER if not options.smallest else None,
            note="the order is made window by window",
        )
    )
    return figures


SIDE = 8
_PATTERN = b"train/n00000000/n00000000_0000000.JPEG"
_DIGITS = (slice(7, 15), slice(17, 25), slice(26, 33))


@dataclass(frozen=True, slots=True)
class SyntheticSource:
    """Pictures of random pixels that follow from their names."""

    index: Path
    class_count: int

    @property
    def root(self) -> Path:
        """The index is all that it reads."""
        return self.index

    @property
    def name(self) -> str:
        """What titles say."""
        return "synthetic"

    @property
    def classes(self) -> tuple[str, ...]:
        """Numbers."""
        return tuple(map(str, range(self.class_count)))

    @property
    def channels(self) -> Literal[1, 3]:
        """RGB."""
        return 3

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Nothing outside decides its pictures."""
        return {"kind": "synthetic"}

    def entries(self) -> Listing:
        """List them; the names lie in the mapped index."""
        return load_index(self.index).listing

    def read(self, path: bytes) -> np.ndarray:
        """Return uint8 (8, 8, 3)."""
        content = b"".join(hashlib.sha256(b"%d " % part + path).digest() for part in range(6))
        return np.frombuffer(content, np.uint8).reshape(SIDE, SIDE, 3)


def write_index(path: Path, count: int, classes: int) -> None:
    """Write the index of so many pictures, in equal classes."""
    builder = IndexBuilder()
    for here in pieces(count):
        numbers = np.arange(here.start, here.stop)
        labels = numbers * classes // count
        builder.add(_names(numbers, labels), label=labels, offset=numbers, size=SIDE * SIDE * 3)
    write_picture_index(path, builder.batch({}))


def _names(numbers: np.ndarray, labels: np.ndarray) -> Names:
    text = np.tile(np.frombuffer(_PATTERN, np.uint8), (len(numbers), 1))
    for place, values in zip(_DIGITS, (labels, labels, numbers), strict=True):
        width = place.stop - place.start
        for digit in range(width):
            text[:, place.start + digit] += (values // 10 ** (width - 1 - digit) % 10).astype(np.uint8)
    offsets = np.arange(len(numbers) + 1, dtype=np.int64) * len(_PATTERN)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.reshape(-1))]
    return Names(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(numbers), buffers))
