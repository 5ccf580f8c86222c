"""The map-style data set gives the same samples as the stream, in worker processes too."""

import pickle
import warnings
from typing import Any

import pytest
import torch
from tests.helpers.arrays import RandomSource, make_store, samples_of
from torch.utils.data import DataLoader

from bandwise.bands.quantize import reference_split
from bandwise.errors import UsageError
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.dataset import BandDataset, WindowSampler
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import Store

SOURCE = RandomSource(train=1500, val=5, broken=frozenset({b"train/00010"}))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """1,499 training samples in 6 row groups."""
    return make_store(tmp_path_factory.mktemp("stores") / "shared", SOURCE)


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_items_are_the_bands_of_the_pictures(store: Store, cache: Any) -> None:
    dataset = BandDataset(store, (3, 1), cache=cache)
    expected = samples_of(SOURCE, "train")
    assert len(dataset) == len(expected) == 1499
    for position in (0, 1, 255, 256, 700, 1498, -1, -1499):
        image, label, number = dataset[position]
        sample = expected[position]
        wanted = reference_split(sample.pixels, store.transform)[[3, 1]].transpose(0, 3, 1, 2).reshape(6, 4, 4)
        assert (label, number) == (sample.label, sample.id)
        assert torch.equal(image, torch.from_numpy(wanted).to(torch.uint8))
        assert image.is_contiguous()
    for position in (1499, -1500):
        with pytest.raises(IndexError, match=f"index is {position}; the split has 1499 samples"):
            dataset[position]


def test_an_item_is_memory_of_its_own(store: Store) -> None:
    for cache in ("ram", "none"):
        dataset = BandDataset(store, (0,), cache=cache)  # type: ignore[arg-type]
        before = dataset[7][0].clone()
        dataset[7][0].zero_()
        assert torch.equal(dataset[7][0], before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_window_sampler_gives_the_order_of_the_stream(store: Store, workers: int) -> None:
    dataset = BandDataset(store, (2,), cache="none", window=3)
    sampler = WindowSampler(dataset, seed=5)
    assert len(sampler) == 1499
    data_loader = DataLoader(dataset, batch_size=100, sampler=sampler, num_workers=workers)
    stream = BatchStream(store, (2,), "train", 100, cache="none", window=3)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        pairs = zip(data_loader, stream.batches(epoch, seed=5), strict=True)
        for (images, labels, ids), batch in pairs:
            assert ids.tolist() == batch.ids.tolist()
            assert labels.tolist() == batch.labels.tolist()
            assert torch.equal(images, batch.images)


def test_the_window_order_decodes_each_row_group_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = RowGroupReader.read
    monkeypatch.setattr(
        RowGroupReader, "read", lambda self, group, out: (read.append(group), original(self, group, out))
    )
    dataset = BandDataset(store, (0,), cache="none", window=2)
    for position in WindowSampler(dataset):
        dataset[position]
    assert sorted(read) == list(range(6))


def test_a_random_order_is_correct_and_is_called_slow_once(store: Store) -> None:
    order = torch.randperm(1499, generator=torch.Generator().manual_seed(0)).tolist()[:300]
    dataset, known = BandDataset(store, (0,), cache="none", window=1), BandDataset(store, (0,), cache="ram")
    with pytest.warns(UserWarning, match="pass WindowSampler") as caught:
        images = [dataset[position][0] for position in order]
    assert len(caught) == 1
    assert torch.equal(torch.stack(images), torch.stack([known[position][0] for position in order]))
    with warnings.catch_warnings(record=True) as quiet:
        warnings.simplefilter("always")
        fresh = BandDataset(store, (0,), cache="none")
        for position in order:
            assert torch.equal(fresh[position][0], known[position][0])
        for position in range(1499):
            dataset[position]
    assert not quiet, "few row groups all stay decoded, a stored order is fast, and nothing is said twice"


def test_a_dataset_goes_to_another_process_without_its_open_files(store: Store) -> None:
    dataset = BandDataset(store, (0,), cache="none")
    untouched = len(pickle.dumps(dataset))
    before = dataset[3]
    sent = pickle.dumps(dataset)
    assert len(sent) < untouched + 100, "nor its decoded records"
    copy = pickle.loads(sent)
    assert torch.equal(copy[3][0], before[0])
    assert copy[3][1:] == before[1:]
    assert torch.equal(dataset[1400][0], copy[1400][0])


def test_a_window_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="window is 0; it must be at least 1"):
        BandDataset(store, (0,), window=0)
