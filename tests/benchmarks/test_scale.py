"""What the scale bench measures with: made-up sources, and processes whose memory is read."""

import numpy as np
import pytest
from benchmarks import scale
from benchmarks.measuring import in_own_process
from benchmarks.scale import SyntheticSource, write_index

from bandwise.store.reading.store import open_store

MEGABYTE = 1_000_000


def hold(size: int) -> int:
    """Touch every page of so many bytes."""
    return int(np.ones(size, np.uint8).sum())


KEPT: list[np.ndarray] = []


def keep() -> None:
    """Take memory that stays taken."""
    KEPT.append(np.ones(200 * MEGABYTE, np.uint8))


def fail() -> None:
    raise SystemExit(1)


def test_memory_is_what_the_function_took():
    small, large = in_own_process(hold, MEGABYTE), in_own_process(hold, 200 * MEGABYTE)
    assert 190 * MEGABYTE < large.grown_bytes - small.grown_bytes < 230 * MEGABYTE
    after = in_own_process(hold, MEGABYTE, ready=keep)
    assert after.grown_bytes - small.grown_bytes < 30 * MEGABYTE, "what came before is not measured"
    with pytest.raises(RuntimeError, match="fail ended without an answer"):
        in_own_process(fail)


def test_a_made_up_source_is_listed_split_and_read(tmp_path):
    write_index(tmp_path / "index", 1000, 100)
    source = SyntheticSource(tmp_path / "index", 100)
    listing = source.entries()
    assert listing[999].path == b"train/n00000099/n00000099_0000999.JPEG"
    assert np.bincount(listing.labels).tolist() == [10] * 100
    first, second = (source.read(listing[place].path) for place in (0, 1))
    assert first.shape == (8, 8, 3)
    assert (first != second).any()
    scale.split_pictures(tmp_path / "index", tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert store.rows("train") + store.rows("holdout") == 1000
    assert scale.load_epoch(tmp_path / "store") == store.rows("train")
    scale.build_list(tmp_path / "index", tmp_path / "samples")
    assert scale.open_list(tmp_path / "samples").sha256() == scale.freeze_list(tmp_path / "index").sha256()


def test_the_order_of_an_epoch_takes_little():
    assert 0 < scale.order_bytes(2_000_000) < 8
