"""The whole images of a split, before they were split: decoded from the source again, or rebuilt from all bands.

Both yield what `loader.BatchStream` yields, with canvases in the place of bands.
"""

import bisect
import hashlib
import struct
from collections.abc import Iterator

import numpy as np
import torch

from bandwise.bands.quantize import BandQuantizer
from bandwise.config import format_bands
from bandwise.errors import IncompatibleError, UsageError
from bandwise.files.regular import sha256_bytes
from bandwise.sources.decoding.decode import decoder_versions
from bandwise.sources.source import Source
from bandwise.store.layout import SPLITS, band_folder, plan_groups
from bandwise.store.origin import canvas_of, require_source
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.store import Store


class SourceCanvases:
    """Decodes the images again and proves, by the digest in the manifest, that they are those that were split."""

    def __init__(self, store: Store, source: Source, split: str, batch_size: int) -> None:
        """Prepare one split, after comparing the sample lists; no image is read yet."""
        self._samples = require_source(store, source)
        self._store, self._source, self._split, self._batch_size = store, source, split, batch_size

    def batches(self) -> Iterator[Batch]:
        """Yield every stored sample once, in the order of the ids; images are uint8 (B, C, canvas, canvas).

        Only at the end it is known, and an `IncompatibleError`, that these are not the pixels that were split.
        """
        store, split = self._store, self._split
        # As the commit records have them: one digest over the canvases of each group.
        groups = plan_groups([store.manifest.splits[name].samples for name in SPLITS], store.manifest.group_size)
        ends = [group.ids.stop for group in groups if group.split == split]
        digests = [hashlib.sha256() for _ in ends]
        ids, labels = torch.from_numpy(store.ids(split)), torch.from_numpy(store.labels(split)).long()
        for start in range(0, len(ids), self._batch_size):
            chosen = slice(start, start + self._batch_size)
            images = []
            for sample, label in zip(ids[chosen].tolist(), labels[chosen].tolist(), strict=True):
                images.append(canvas_of(store, self._source, self._samples, sample))
                digest = digests[bisect.bisect_right(ends, sample)]
                digest.update(struct.pack("<qi", sample, label))
                digest.update(images[-1].data)
            yield Batch(ids[chosen], torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), labels[chosen])
        found = sha256_bytes(b"".join(digest.digest() for digest in digests))
        if found != store.manifest.canvas_digests[split]:
            raise IncompatibleError(
                f"the {split} images of {self._source.name} do not give the pixels that {store.path} was made from: "
                f"they were changed, or other libraries decode them ({store.manifest.versions} then, "
                f"{decoder_versions()} now)"
            )


class StoreCanvases:
    """Inverts all bands and rounds to bytes: a grey level is off by about `0.3 * stride` steps RMS.

    The rounding makes it a picture again, so that the split of its crops is the same integer arithmetic as ever.
    """

    def __init__(self, store: Store, split: str, batch_size: int) -> None:
        """Prepare one split; a store that cannot be rebuilt is refused."""
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
