"""The whole images of a split, before they were split: decoded from the source again, or rebuilt from all bands.

Both yield what `loader.BatchStream` yields, with canvases in the place of bands.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import numpy as np
import torch

from bandwise.bands.quantize import BandQuantizer
from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.decoding.decode import decoder_versions
from bandwise.sources.source import Source
from bandwise.store.layout import band_folder, format_bands, plan_groups
from bandwise.store.origin import canvas_of, require_source
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.store import Store

OpenSource = Callable[[], Source]


def no_source() -> Source:
    """Stand for a source where none is known."""
    raise UsageError("none was given")


class Canvases(Protocol):
    """Where the whole images of one split come from."""

    @property
    def origin(self) -> Literal["source", "store"]:
        """Decoded from the source, or rebuilt from the store."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Yield every stored sample once, in the order of the ids; images are uint8 (B, C, canvas, canvas)."""
        ...


class SourceCanvases:
    """Decodes the images again and proves, by the digest in the manifest, that they are those that were split."""

    origin: Literal["source"] = "source"

    def __init__(self, store: Store, source: Source, split: str, batch_size: int) -> None:
        """Prepare one split; no image is read yet.

        Raises:
            IncompatibleError: the source is another one, or lists other samples.
        """
        self._samples = require_source(store, source)
        self._store, self._source, self._split, self._batch_size = store, source, split, batch_size

    def batches(self) -> Iterator[Batch]:
        """Yield every stored sample once, in the order of the ids; images are uint8 (B, C, canvas, canvas).

        Raises:
            IncompatibleError: an image cannot be decoded any more, or, known at the end, they are not the same pixels.
        """
        digest = _SplitDigest(self._store, self._split)
        ids, labels = self._store.ids(self._split), self._store.labels(self._split)
        for start in range(0, len(ids), self._batch_size):
            chosen = slice(start, start + self._batch_size)
            images = []
            for sample, label in zip(ids[chosen].tolist(), labels[chosen].tolist(), strict=True):
                images.append(canvas_of(self._store, self._source, self._samples, sample))
                digest.add(sample, label, images[-1])
            yield _batch(ids[chosen], labels[chosen], images)
        digest.require_that_of_the_store(self._source.name)


class StoreCanvases:
    """Inverts all bands and rounds to bytes: a grey level is off by about `0.3 * stride` steps RMS.

    The rounding makes it a picture again, so that the split of its crops is the same integer arithmetic as ever.
    """

    origin: Literal["store"] = "store"

    def __init__(self, store: Store, split: str, batch_size: int) -> None:
        """Prepare one split.

        Raises:
            UsageError: a band is missing, or the transform has no inverse.
        """
        if reason := why_not_rebuilt(store):
            raise UsageError(reason)
        self._stream = BatchStream(store, range(store.transform.count), split, batch_size, cache="none")
        self._store, self._quantizer = store, BandQuantizer(store.transform)

    def batches(self) -> Iterator[Batch]:
        """Yield every stored sample once, in the order of the ids; images are uint8 (B, C, canvas, canvas)."""
        for batch in self._stream.batches():
            stored = batch.images.unflatten(1, (self._store.transform.count, -1)).transpose(0, 1).contiguous().numpy()
            coefficients = self._quantizer.dequantize(stored).astype(np.float64)
            images = np.clip(np.rint(self._store.transform.inverse(coefficients)), 0, 255).astype(np.uint8)
            yield Batch(batch.ids, torch.from_numpy(images), batch.labels)


def why_not_rebuilt(store: Store) -> str | None:
    """Say why the images of a store cannot be rebuilt from the bands that are here; None where they can."""
    if not store.transform.invertible:
        return f"the {store.config.transform} transform of {store.path} has no inverse"
    here = {band for band in store.manifest.bands if (store.path / band_folder(band)).is_dir()}
    if absent := sorted(set(range(store.transform.count)) - here):
        return f"{store.path} lacks bands {format_bands(tuple(absent))} of {store.transform.count}"
    return None


class _SplitDigest:
    """Repeats the digest over the canvases of a split that its commit records hold, group by group."""

    def __init__(self, store: Store, split: str) -> None:
        self._store, self._split = store, split
        counts = {name: facts.samples for name, facts in store.manifest.splits.items()}
        groups = plan_groups(counts, store.manifest.group_size)
        self._ends = [group.ids.stop for group in groups if group.split == split]
        self._total, self._group = hashlib.sha256(), hashlib.sha256()

    def add(self, sample: int, label: int, canvas: np.ndarray) -> None:
        while sample >= self._ends[0]:
            self._close_group()
        self._group.update(struct.pack("<qi", sample, label))
        self._group.update(canvas.data)

    def require_that_of_the_store(self, name: str) -> None:
        while self._ends:
            self._close_group()
        if self._total.hexdigest() != self._store.manifest.canvas_digests[self._split]:
            raise IncompatibleError(
                f"the {self._split} images of {name} do not give the pixels that {self._store.path} was made from: "
                f"they were changed, or other libraries decode them ({self._store.manifest.versions} then, "
                f"{decoder_versions()} now)"
            )

    def _close_group(self) -> None:
        self._ends.pop(0)
        self._total.update(self._group.digest())
        self._group = hashlib.sha256()


def _batch(ids: np.ndarray, labels: np.ndarray, canvases: list[np.ndarray]) -> Batch:
    images = torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2)
    return Batch(torch.from_numpy(ids.astype(np.int64)), images, torch.from_numpy(labels.astype(np.int64)))
