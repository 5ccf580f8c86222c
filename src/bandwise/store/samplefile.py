"""The sample list as a file, `samples.parquet`: written and read in parts, so that a long one is in memory once."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from bandwise.sources.columns import pieces
from bandwise.sources.samples import SCHEMA, SampleList
from bandwise.store.reading.store import naming_damage

_ROW_GROUP = 1 << 20
_BATCH = 1 << 16


def write_samples(samples: SampleList, path: Path, *, row_group: int = _ROW_GROUP) -> None:
    """Write a sample list; the bytes are those that one table of it would give."""
    with pq.ParquetWriter(
        path, SCHEMA, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
    ) as writer:
        for part in pieces(len(samples), row_group):
            writer.write_table(samples.table(part), row_group_size=row_group)


def read_samples(path: Path, classes: Sequence[str]) -> SampleList:
    """Read what `write_samples` wrote, with the checksum of every page.

    Raises:
        CorruptionError: the file is missing or damaged, or is no sample list.
    """
    with naming_damage(path), pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        return SampleList.from_batches(file.iter_batches(_BATCH), classes)
