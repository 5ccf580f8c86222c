"""A few samples as pictures, the canvas and its stored bands, for the report."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bandwise.bands.quantize import ZERO_LEVEL
from bandwise.errors import UsageError
from bandwise.files.atomic import replacing
from bandwise.files.documents import write_document
from bandwise.files.regular import sha256_file
from bandwise.sources.source import Source
from bandwise.store.origin import canvas_of, require_source
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.store import Store, open_store

_SAMPLES = 4
_VISIBLE_STD = 32.0
_MAX_GAIN = 8


def write_preview(store_path: Path, source: Source, folder: Path) -> list[dict[str, Any]]:
    """Write `sample-0.png`, `sample-0-band-00.png` and so on, and last `preview.json`, which lists them.

    Of many channels the first three are shown as red, green and blue. Bands around zero are shown around middle grey
    with more contrast, by the same factor for all samples; the caption says which. The samples are spread evenly over
    the reported set, or over the training set where there is none.
    Returns for each picture its file, sample, band (None for the canvas), class name, caption and SHA-256.
    """
    store = open_store(store_path)
    samples = require_source(store, source)
    split = "val" if store.rows("val") else "train"
    reader = RowGroupReader(store, store.bands, split)
    positions = np.unique(np.linspace(0, reader.rows - 1, min(_SAMPLES, reader.rows)).astype(int)).tolist()
    gains = {band: _gain(store, band) for band in store.bands}
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[dict[str, Any]] = []

    for number, position in enumerate(positions):
        label = store.classes[int(store.labels(split)[position])]
        canvas = canvas_of(store, source, samples, int(store.ids(split)[position]))
        pictures: list[tuple[int | None, str, np.ndarray, str]] = [
            (None, f"sample-{number}.png", canvas, f"canvas, {store.config.canvas} pixels")
        ]
        for band, pixels in zip(store.bands, _bands_at(store, reader, position), strict=True):
            caption = f"band {band}" + (f", contrast x {gains[band]}" if gains[band] > 1 else "")
            shown = _visible(store, band, pixels, gains[band])
            pictures.append((band, f"sample-{number}-band-{band:02d}.png", shown, caption))
        for band, name, shown, caption in pictures:
            with replacing(folder / name) as path:
                as_picture(shown).save(path, "PNG")
            about = {"file": name, "sample": number, "band": band, "class": label, "caption": caption}
            listed.append({**about, "sha256": sha256_file(folder / name)})
    write_document(folder / "preview.json", {"pictures": listed})
    return listed


def stored_pictures(store_path: Path, split: str, ids: np.ndarray) -> list[np.ndarray]:
    """Return images of a split as its lowest band shows them, uint8 (side, side, channels), which needs no source."""
    store = open_store(store_path, (0,))
    if not store.transform.has_mean(0):
        raise UsageError(f"band 0 of the {store.config.transform} transform is no picture")
    reader, known = RowGroupReader(store, (0,), split), store.ids(split)
    places = np.searchsorted(known, ids)
    if not np.array_equal(known[np.minimum(places, len(known) - 1)], ids):
        raise UsageError(f"{store_path} does not hold these images")
    return [_visible(store, 0, _bands_at(store, reader, place)[0], 1) for place in places.tolist()]


def as_picture(pixels: np.ndarray) -> Image.Image:
    """Return uint8 (H, W, C) as a picture: the first three of its channels, or the first of one or two."""
    return Image.fromarray(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0])


def _bands_at(store: Store, reader: RowGroupReader, position: int) -> np.ndarray:
    """Return the stored bands of one sample, (len(bands), side, side, channels)."""
    group = reader.find(position)
    records = np.empty((reader.sizes[group], *reader.record_shape), reader.dtype)
    reader.read(group, records)
    record = records[position - reader.span(group)[0]]
    return record.reshape(store.side, store.side, len(store.bands), store.channels).transpose(2, 0, 1, 3)


def _visible(store: Store, band: int, pixels: np.ndarray, gain: int) -> np.ndarray:
    values = pixels.astype(np.float32)
    if not store.transform.has_mean(band):
        zero = ZERO_LEVEL if store.config.storage == "uint8" else 0
        values = ZERO_LEVEL + gain * (values - zero)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _gain(store: Store, band: int) -> int:
    spread = float(store.std([band]).max())
    if store.transform.has_mean(band) or spread == 0:
        return 1
    return int(np.clip(_VISIBLE_STD / spread, 1, _MAX_GAIN))
