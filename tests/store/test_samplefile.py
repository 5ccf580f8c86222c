"""samples.parquet: written in parts with the bytes of one table, and read in parts."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandwise.errors import CorruptionError
from bandwise.sources.columns import Names, PickedNames
from bandwise.sources.samples import SampleList
from bandwise.store.origin import read_samples, write_samples

COUNT = 5000


def some(count=COUNT):
    """Return a list of names of every length up to 60, in no order."""
    rng = np.random.default_rng(1)
    names = Names.of(rng.bytes(number % 61) + b"/%d" % number for number in range(count))
    labels, sizes = (rng.integers(0, top, count).astype(np.int32) for top in (3, 10**6))
    return SampleList(PickedNames(names, rng.permutation(count)), labels, (count - 30, 20, 10), sizes, ("a", "b", "c"))


@pytest.mark.parametrize("row_group", [1 << 20, COUNT, 3000, 1024, 1000])
def test_the_bytes_are_those_of_one_table(row_group, tmp_path):
    samples = some()
    write_samples(samples, tmp_path / "ours", row_group=row_group)
    options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
    pq.write_table(samples.table(), tmp_path / "at once", row_group_size=row_group, **options)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "at once").read_bytes()


def test_a_list_is_read_as_it_was_written(tmp_path):
    samples = some()
    write_samples(samples, tmp_path / "list", row_group=1000)
    again = read_samples(tmp_path / "list", samples.classes)
    assert list(again.paths) == list(samples.paths)
    assert again.sha256() == samples.sha256()


def test_damage_is_named(tmp_path):
    path, samples = tmp_path / "list", some()
    write_samples(samples, path)
    sound = path.read_bytes()
    for damaged in (b"", sound[:-1], sound[:1000] + bytes([sound[1000] ^ 1]) + sound[1001:]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptionError, match="list is damaged"):
            read_samples(path, samples.classes)
    path.unlink()
    with pytest.raises(CorruptionError, match="list is damaged"):
        read_samples(path, samples.classes)


def test_another_table_is_refused(tmp_path):
    pq.write_table(pa.table({"id": [0, 1]}), tmp_path / "list")
    with pytest.raises(CorruptionError, match="the sample list has columns"):
        read_samples(tmp_path / "list", ("a",))
