"""A source of random pictures held in memory, and stores made of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bandwise.config import SplitConfig
from bandwise.sources.samples import freeze_samples
from bandwise.sources.source import Entry, Split
from bandwise.store.reading.store import Store, open_store
from bandwise.store.writing.split import split_dataset


@dataclass(frozen=True)
class RandomSource:
    """Pictures of random pixels; those in `broken` cannot be decoded."""

    train: int
    val: int
    side: int = 8
    channels: Literal[1, 3] = 3
    broken: frozenset[bytes] = frozenset()
    name: str = "random"
    classes: tuple[str, ...] = ("a", "b", "c")
    root: Path | None = None

    @property
    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "random"}

    def entries(self) -> list[Entry]:
        size, kinds = self.channels * self.side**2, len(self.classes)
        splits: tuple[tuple[Split, int], ...] = (("train", self.train), ("val", self.val))
        return [
            Entry(f"{split}/{number:05d}".encode(), number % kinds, size, split)
            for split, count in splits
            for number in range(count)
        ]

    def read(self, path: bytes) -> bytes | NDArray[np.uint8]:
        if path in self.broken:
            return b"no picture".ljust(self.channels * self.side**2)
        return self.pixels(path)

    def pixels(self, path: bytes) -> NDArray[np.uint8]:
        split, _, number = path.partition(b"/")
        random = np.random.default_rng([len(split), int(number)])
        return random.integers(0, 256, (self.side, self.side, self.channels), dtype=np.uint8)


SOURCE = RandomSource(train=300, val=7)
CONFIG = SplitConfig(canvas=8, group_size=256, holdout=0.1)
"""What the store of `conftest.whole` is made of: two groups to train, a holdout, a reported set."""
SMALL = RandomSource(train=6, val=3)
SMALL_CONFIG = SplitConfig(canvas=8, holdout=0, bands="0,3")


@dataclass(frozen=True)
class Sample:
    """What a stored sample must be."""

    id: int
    label: int
    pixels: NDArray[np.uint8]


def make_store(folder: Path, source: RandomSource, **options: Any) -> Store:
    config = SplitConfig(**{"canvas": source.side, "holdout": 0.0, "group_size": 512, **options})
    split_dataset(source, config, folder)
    return open_store(folder)


def samples_of(source: RandomSource, split: str, **options: Any) -> list[Sample]:
    """List the readable samples of a split from the source itself, without a store."""
    frozen = freeze_samples(source, SplitConfig(**{"canvas": source.side, "holdout": 0.0, **options}))
    return [
        Sample(number, int(frozen.labels[number]), source.pixels(frozen.paths[number]))
        for number in frozen.range(split)  # type: ignore[arg-type]
        if frozen.paths[number] not in source.broken
    ]
