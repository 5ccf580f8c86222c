"""Batches: every row once, in an order that is a function of seed and epoch, the same from disk and from memory."""

import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from tests.helpers.arrays import RandomSource, make_store, samples_of

from bandwise.bands.quantize import BandQuantizer, reference_split
from bandwise.errors import CorruptionError, UsageError
from bandwise.store.reading import bandfiles as reading
from bandwise.store.reading import loader
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.order import shuffled_windows
from bandwise.store.reading.store import Store

BROKEN = frozenset({b"train/00003", b"train/00500", b"train/00777", b"val/00001"})
SOURCE = RandomSource(train=1300, val=40, broken=BROKEN)
BATCH = 37


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """1,297 stored training samples in 3 files of 6 row groups."""
    return make_store(tmp_path_factory.mktemp("stores") / "shared", SOURCE)


def collect(
    stream: BatchStream, epoch: int | None = None, **options: Any
) -> tuple[list[list[int]], torch.Tensor, list[int]]:
    ids, images, labels = [], [], []
    for batch in stream.batches(epoch, **options):
        ids.append(batch.ids.tolist())
        images.append(batch.images.clone())
        labels += batch.labels.tolist()
    return ids, torch.cat(images), labels


def flat(parts: list[list[int]]) -> list[int]:
    return [each for part in parts for each in part]


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize(
    ("channels", "options", "bands"),
    [
        (3, {"codec": "zstd"}, (2,)),
        (3, {"codec": "zstd"}, (3, 0)),
        (1, {"codec": "zstd"}, (0, 1, 2, 3)),
        (3, {"codec": "webp"}, (1, 2)),
        (1, {"codec": "webp"}, (0,)),
        (3, {"codec": "zstd", "storage": "float16"}, (1, 3)),
    ],
)
def test_batches_hold_the_bands_of_the_pictures(
    tmp_path: Path, channels: Any, options: dict[str, Any], bands: tuple[int, ...], cache: Any
) -> None:
    source = RandomSource(train=300, val=30, channels=channels, broken=BROKEN)
    made = make_store(tmp_path / "store", source, **options)
    transform = made.transform
    for split in ("train", "val"):
        expected = samples_of(source, split)
        stream = BatchStream(made, bands, split, 32, cache=cache)
        ids, images, labels = collect(stream)
        assert [len(part) for part in ids[:-1]] == [32] * (len(ids) - 1)
        assert flat(ids) == [sample.id for sample in expected] == made.ids(split).tolist()
        assert labels == [sample.label for sample in expected]
        assert images.shape == (len(expected), len(bands) * channels, 4, 4)
        for sample, image in zip(expected, images, strict=True):
            if made.config.storage == "float16":
                wanted = BandQuantizer(transform, bands).split_float16(sample.pixels)
            else:
                wanted = reference_split(sample.pixels, transform)[list(bands)]
            assert np.array_equal(image.numpy().reshape(len(bands), channels, 4, 4), wanted.transpose(0, 3, 1, 2))
    assert images.dtype == (torch.float16 if "storage" in options else torch.uint8)


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_training_order_is_the_pure_function(store: Store, cache: Any) -> None:
    stream = BatchStream(store, (0,), "train", BATCH, cache=cache, window=2)
    assert stream.reader.sizes == [256, 254, 256, 256, 256, 19]
    for epoch in (0, 1, 5):
        ids, _, _ = collect(stream, epoch, seed=4)
        windows = shuffled_windows(stream.reader.sizes, seed=4, epoch=epoch, window=2)
        order = np.concatenate([each.positions for each in windows])
        assert flat(ids) == store.ids("train")[order].tolist()
        assert [len(part) for part in ids] == [BATCH] * 35 + [2]
        assert stream.steps_per_epoch == len(list(stream.batches(epoch, seed=4, drop_last=True))) == 35
    assert sorted(flat(ids)) == store.ids("train").tolist()


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_resume_at_every_step_of_two_epochs_gives_the_exact_rest(store: Store, cache: Any) -> None:
    stream = BatchStream(store, (0,), "train", BATCH, cache=cache, window=3)
    for epoch in (0, 1):
        whole = [(batch.ids.tolist(), batch.images.sum().item()) for batch in stream.batches(epoch, seed=1)]
        for start in range(len(whole) + 1):
            rest = stream.batches(epoch, seed=1, start=start)
            assert [(batch.ids.tolist(), batch.images.sum().item()) for batch in rest] == whole[start:]


def test_resume_reads_only_the_windows_that_are_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = RowGroupReader.read

    def counted(self: RowGroupReader, group: int, out: NDArray[np.generic]) -> None:
        read.append(group)
        original(self, group, out)

    monkeypatch.setattr(RowGroupReader, "read", counted)
    stream = BatchStream(store, (0,), "train", 64, cache="none", window=2)
    collect(stream, 0)
    assert sorted(read) == list(range(6)), "each row group once an epoch"
    whole, last = read.copy(), stream.steps_per_epoch
    read.clear()
    collect(stream, 0, start=last)
    assert read == whole[4:], "only the last window"
    read.clear()
    resident = BatchStream(store, (0,), "train", 64, cache="ram", window=2)
    for epoch in range(3):
        collect(resident, epoch)
    assert read == list(range(6)), "once for all epochs"


def test_two_iterations_at_once_do_not_disturb_each_other(store: Store) -> None:
    stream = BatchStream(store, (0,), "train", 50, cache="none", window=2)
    alone = {epoch: collect(stream, epoch)[1] for epoch in (0, 1)}
    together: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    for one, other in zip(stream.batches(0), stream.batches(1), strict=True):
        together[0].append(one.images.clone())
        together[1].append(other.images.clone())
    for epoch in (0, 1):
        assert torch.equal(torch.cat(together[epoch]), alone[epoch])


def test_an_empty_split_has_no_batches(store: Store) -> None:
    for cache in ("ram", "none"):
        stream = BatchStream(store, (0,), "holdout", 8, cache=cache)  # type: ignore[arg-type]
        assert stream.rows == stream.steps_per_epoch == 0
        assert list(stream.batches()) == list(stream.batches(0)) == []


def test_what_cannot_be_read_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"cache is 'disk'; it must be auto, ram or none"):
        BatchStream(store, (0,), "train", 8, cache="disk")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch_size is 0"):
        BatchStream(store, (0,), "train", 0)
    with pytest.raises(UsageError, match="band 4 is not one"):
        BatchStream(store, (4,), "train", 8)
    with pytest.raises(UsageError, match="'test' is not one of train, holdout, val"):
        BatchStream(store, (0,), "test", 8)


def test_auto_keeps_records_that_fit_in_a_quarter_of_the_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 1297 * 4 * 4 * 3 * 2
    for memory, resident in ((4 * needed, True), (4 * needed - 1, False)):
        monkeypatch.setattr(loader, "available_bytes", lambda memory=memory: memory)
        assert BatchStream(store, (0, 1), "train", 8).resident is resident


def flip_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def page_of_row_group(path: Path, group: int) -> tuple[int, int]:
    """Return where the pages of the record column of a row group start, and how long they are."""
    column = pq.read_metadata(path).row_group(group).column(2)
    assert column.path_in_schema == "image.bytes"
    return column.data_page_offset, column.total_compressed_size


def test_a_flipped_byte_is_an_error_when_it_is_touched_and_silent_without_page_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = make_store(tmp_path / "store", RandomSource(train=1300, val=3))
    clean = collect(BatchStream(damaged, (2,), "train", 64))[1]
    name = damaged.files(2, "train")[1]
    start, size = page_of_row_group(damaged.path / name, 1)
    flip_byte(damaged.path / name, start + size // 2)
    for cache in ("ram", "none"):
        with pytest.raises(CorruptionError, match=rf"{name} is damaged.*bandwise verify --repair"):
            collect(BatchStream(damaged, (2,), "train", 64, cache=cache))  # type: ignore[arg-type]
    batches = BatchStream(damaged, (2,), "train", 64, cache="none").batches()
    untouched = torch.cat([next(batches).images.clone() for _ in range(12)])
    assert torch.equal(untouched, clean[:768]), "the three row groups before it are good"
    with pytest.raises(CorruptionError, match="is damaged"):
        next(batches)
    assert len(collect(BatchStream(damaged, (0, 1, 3), "train", 64, cache="none"))[1]) == 1300

    real = pq.ParquetFile
    monkeypatch.setattr(
        reading.pq, "ParquetFile", lambda path, **named: real(path, **{**named, "page_checksum_verification": False})
    )
    wrong = collect(BatchStream(damaged, (2,), "train", 64, cache="none"))[1]
    assert 0 < (wrong != clean).sum() < 10, "the negative control: without the checksum nobody notices"


def test_files_that_hold_other_samples_are_refused(tmp_path: Path) -> None:
    """Two good files under each other's names, with a manifest that agrees: only the ids tell."""
    swapped = make_store(tmp_path / "store", RandomSource(train=1024, val=3, classes=("one",)))
    one, other = swapped.files(1, "train")
    first, second = (swapped.path / name for name in (one, other))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    facts = swapped.manifest.files
    facts[one], facts[other] = facts[other], facts[one]
    for cache in ("ram", "none"):
        with pytest.raises(CorruptionError, match=rf"{one} does not hold the samples"):
            collect(BatchStream(swapped, (0, 1), "train", 64, cache=cache))  # type: ignore[arg-type]
    assert len(collect(BatchStream(swapped, (0, 2), "train", 64))[2]) == 1024


def test_a_window_is_read_while_the_one_before_is_given_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One window ahead and no further, in one thread, in the order of the windows."""
    read: list[int] = []
    threads: set[int] = set()
    second_is_read = threading.Event()
    original = RowGroupReader.read

    def noted(self: RowGroupReader, group: int, out: NDArray[np.generic]) -> None:
        original(self, group, out)
        threads.add(threading.get_ident())
        read.append(group)
        if len(read) == 2:
            second_is_read.set()

    monkeypatch.setattr(RowGroupReader, "read", noted)
    batches = BatchStream(store, (0,), "train", 16, cache="none", window=1).batches(0)
    first = next(batches).ids.tolist()
    assert second_is_read.wait(30), "nobody asked for a batch of the second window"
    for _ in range(3):
        next(batches)
    assert len(read) == 2, "and nothing was read of the third"
    batches.close()
    assert threading.get_ident() not in threads
    assert len(threads) == 1
    window = next(shuffled_windows([256, 254, 256, 256, 256, 19], seed=0, epoch=0, window=1))
    assert first == store.ids("train")[window.positions][:16].tolist()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bandwise-read-ahead")]


@pytest.mark.parametrize("readers", [2, 4, 9])
def test_several_threads_read_a_window_to_the_same_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    """Also more of them than there are row groups; each with open files of its own."""
    used: dict[int, set[int]] = {}
    original = RowGroupReader.read

    def noted(self: RowGroupReader, group: int, out: NDArray[np.generic]) -> None:
        original(self, group, out)
        used.setdefault(id(self._open), set()).add(id(self))

    expected = [collect(BatchStream(store, (0, 2), "train", BATCH, cache="none", window=4), epoch) for epoch in (0, 1)]
    monkeypatch.setattr(RowGroupReader, "read", noted)
    stream = BatchStream(store, (0, 2), "train", BATCH, cache="none", window=4, readers=readers)
    for epoch, (ids, images, labels) in enumerate(expected):
        found = collect(stream, epoch)
        assert (found[0], found[2]) == (ids, labels)
        assert torch.equal(found[1], images)
    assert len(used) > 1
    assert all(len(each) == 1 for each in used.values())


def test_an_error_of_the_thread_comes_with_its_window(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    original, count = RowGroupReader.read, itertools.count()

    def broken(self: RowGroupReader, group: int, out: NDArray[np.generic]) -> None:
        if next(count) == 2:
            raise CorruptionError("the third row group is damaged")
        original(self, group, out)

    monkeypatch.setattr(RowGroupReader, "read", broken)
    stream = BatchStream(store, (0,), "train", 32, cache="none", window=1)
    sizes: list[int] = []
    with pytest.raises(CorruptionError, match="the third row group is damaged"):
        sizes.extend(len(batch.ids) for batch in stream.batches(0))
    windows = shuffled_windows(stream.reader.sizes, seed=0, epoch=0, window=1)
    whole = sum(len(window.rows) for window in itertools.islice(windows, 2))
    assert sum(sizes) == whole // 32 * 32, "every whole batch before the damage was given out"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bandwise-read-ahead")]
