"""What each stage of a conversion costs when it runs alone, over the same pictures."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bandwise.bands.quantize import BandQuantizer, band_sums
from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig
from bandwise.sources.decoding.decode import decode, to_canvas
from bandwise.sources.folder import FolderSource
from bandwise.store.layout import ROW_GROUP
from bandwise.store.writing.records import BandFileWriter, RecordBlock


def stage_milliseconds(source: FolderSource, config: SplitConfig, scratch: Path) -> dict[str, float]:
    """Return CPU milliseconds a picture of decode, resize, transform, sums, table, write, sha256 and commit.

    `write` compresses, checks sums of pages and calls the file system, without the hash of the file; `sha256` is that
    hash, those of bands and canvas, and that of the encoded picture; `table` builds Arrow arrays; `commit` closes,
    renames and syncs.
    """
    encoded = [source.read(entry.path) for entry in source.entries()]
    count = len(encoded)
    found: dict[str, float] = {}

    def clock(stage: str, work: Callable[[], object]) -> None:
        started = time.process_time()
        work()
        found[stage] = found.get(stage, 0.0) + (time.process_time() - started) * 1e3 / count

    pictures: list = []
    clock(
        "decode",
        lambda: pictures.extend(
            decode(each, channels=3, background=255, exif="ignore", max_pixels=config.max_pixels)[0] for each in encoded
        ),
    )
    images: list[np.ndarray] = []
    clock("resize", lambda: images.extend(to_canvas(each, config.canvas) for each in pictures))
    transform = SubbandTransform(config.stride, config.transform)
    quantizer = BandQuantizer(transform)
    stored = np.empty(
        (count, transform.count, config.canvas // config.stride, config.canvas // config.stride, 3), np.uint8
    )
    # The first touch of fresh memory is no part of the transform.
    stored.fill(0)
    clock("transform", lambda: [quantizer.split(image, out=out) for image, out in zip(images, stored, strict=True)])
    clock("sums", lambda: [band_sums(each) for each in stored])
    clock("sha256", lambda: [hashlib.sha256(each).digest() for each in encoded])
    clock("sha256", lambda: [hashlib.sha256(each.data).digest() for each in (*images, stored)])

    block = RecordBlock(config, tuple(range(transform.count)), 3)
    groups = []
    for start in range(0, count, ROW_GROUP):
        for image in images[start : start + ROW_GROUP]:
            block.add(start, 0, image)
        taken: list = []
        clock("table", lambda taken=taken: taken.append(block.take()))
        # The arrays share the memory of the block, which the next group overwrites.
        ids, labels, records = taken[0]
        groups.append((ids.copy(), labels.copy(), [pa.concat_arrays([each, each[:0]]) for each in records]))
    paths = [scratch / f"stage-{band}.parquet" for band in range(transform.count)]
    writers = [BandFileWriter(path, codec=config.codec, storage=config.storage, channels=3) for path in paths]

    def write() -> None:
        for ids, labels, records in groups:
            for writer, encoded_records in zip(writers, records, strict=True):
                writer.add(ids, labels, encoded_records)

    clock("write", write)
    clock("commit", lambda: [writer.close() for writer in writers])
    files = io.BytesIO()
    for path in paths:
        files.write(path.read_bytes())
        path.unlink()
    before = found["sha256"]
    clock("sha256", lambda: hashlib.sha256(files.getbuffer()).digest())
    found["write"] -= found["sha256"] - before
    return found
