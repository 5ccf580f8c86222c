"""Inverts stored bands and compares them with their images: what rounding cost, and that nothing was clipped."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.bands.quantize import BandQuantizer
from bandwise.config import format_bands
from bandwise.errors import UsageError
from bandwise.progress import progress
from bandwise.sources.source import Source
from bandwise.store.layout import SPLITS
from bandwise.store.origin import canvas_of, require_source
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.store import Store, open_store

LOSSLESS_DB = 100.0
_PEAK = 255.0


def reconstruct_store(path: Path, source: Source) -> dict[str, Any]:
    """Rebuild every image of a store in floating point and measure it against the image decoded again.

    Returns:
        `{"psnr_db": {"min", "mean"}, "clipped_fraction", "n"}`. PSNR is 10 log10(255^2 / mean squared error) of one
        image over all its channels, at most 100 dB, which stands for lossless. `clipped_fraction` is the share of band
        values that lay more than half a step outside 0..255 before the split cut them; the theory says 0.
    """
    store = open_store(path)
    if not store.transform.invertible:
        raise UsageError(f"{path}: the {store.config.transform} transform has no inverse, so nothing can be rebuilt")
    if absent := tuple(sorted(set(range(store.transform.count)) - set(store.bands))):
        raise UsageError(
            f"{path}: all bands are needed to rebuild an image; bands {format_bands(absent)} are not stored"
        )
    samples = require_source(store, source)
    psnr: list[float] = []
    clipped = values = 0
    quantizer = BandQuantizer(store.transform)
    with progress("reconstruct", sum(store.rows(split) for split in SPLITS), "images") as advance:
        for split in SPLITS:
            reader = RowGroupReader(store, store.bands, split)
            for group, rows in enumerate(reader.sizes):
                stored = np.empty((rows, *reader.record_shape), reader.dtype)
                reader.read(group, stored)
                first, last = reader.span(group)
                for sample, record in zip(store.ids(split)[first:last].tolist(), stored, strict=True):
                    canvas = canvas_of(store, source, samples, sample)
                    psnr.append(_psnr_db(canvas, _rebuild(store, quantizer, record)))
                    clipped += quantizer.count_clipped(canvas)
                    values += record.size
                    advance(1)
    if not psnr:
        raise UsageError(f"{path} has no images in {', '.join(SPLITS)}")
    return {
        "psnr_db": {"min": min(psnr), "mean": math.fsum(psnr) / len(psnr)},
        "clipped_fraction": clipped / values,
        "n": len(psnr),
    }


def _rebuild(store: Store, quantizer: BandQuantizer, record: np.ndarray) -> np.ndarray:
    """Return float64 (canvas, canvas, channels) from one record of all bands side by side."""
    side, bands = store.side, len(store.bands)
    stored = record.reshape(side, side, bands, store.channels).transpose(2, 3, 0, 1)
    coefficients = quantizer.dequantize(np.ascontiguousarray(stored)).astype(np.float64)
    return store.transform.inverse(coefficients).transpose(1, 2, 0)


def _psnr_db(canvas: np.ndarray, rebuilt: np.ndarray) -> float:
    error = float(np.mean((rebuilt - canvas) ** 2))
    return LOSSLESS_DB if error == 0 else min(LOSSLESS_DB, 10 * math.log10(_PEAK**2 / error))
