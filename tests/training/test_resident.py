"""Records that stay on the device: the batches of the stream, bit for bit, and where `cache` puts them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.tiny import CONFIG, CrashError, crash_at, make_store, outcome, with_training

from bandwise.augment import geometry
from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.store.reading.bandfiles import RowGroupReader
from bandwise.store.reading.loader import empty_records, read_all, read_onto
from bandwise.store.reading.store import open_store
from bandwise.training import memory, resident
from bandwise.training.feed import BandFeed, Feed, open_feed
from bandwise.training.identity import Branch
from bandwise.training.resident import ResidentFeed
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")
AUGMENTS: dict[str, dict[str, Any]] = {
    "nothing": {"hflip": 0.0, "random_crop": False, "mixup": 0.0, "cutmix": 0.0},
    "crops": {"hflip": 0.0, "mixup": 0.0, "cutmix": 0.0},
    "flips": {"hflip": 0.5, "vflip": 0.4, "mixup": 0.0, "cutmix": 0.0},
    "mixup": {"mixup": 0.4, "cutmix": 0.0},
    "cutmix": {"mixup": 0.0, "cutmix": 1.0},
    "both": {"mixup": 0.2, "cutmix": 1.0},
    "erasing": {"reprob": 0.4, "mixup": 0.0, "cutmix": 0.0},
    "all": {"hflip": 0.5, "vflip": 0.3, "reprob": 0.3},
}
SPLITS: dict[str, tuple[dict[str, Any], str]] = {
    "one band": ({}, "1"),
    "bands in another order": ({}, "3,0"),
    "half precision": ({"storage": "float16"}, "0,2"),
    "flips that mix bands": ({"transform": "identity"}, "0,1,2,3"),
    "all bands of the paper": ({"transform": "dct1d"}, "0,1,2,3"),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, Path]:
    return {
        name: make_store(tmp_path_factory.mktemp("store"), replace(CONFIG, split=replace(CONFIG.split, **split)))
        for name, (split, _) in SPLITS.items()
    }


def config_of(split: str, augment: str = "all", **training: Any) -> RunConfig:
    changes, branches = SPLITS[split]
    changed = replace(
        CONFIG,
        split=replace(CONFIG.split, **changes),
        branches=branches,
        augment=replace(CONFIG.augment, **AUGMENTS[augment]),
    )
    return with_training(changed, **training)


def feed_of(config: RunConfig, store: Path, kind: type[Feed]) -> Feed:
    return kind(Branch(config, 0, open_store(store), store, CPU))


def batches(feed: Feed, epoch: int, start: int = 0) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    for batch in feed.batches(epoch, start=start):
        images, targets = feed.inputs(batch, epoch)
        yield batch.ids.tolist(), images.clone(), targets.clone()


def assert_equal(found: list[Any], expected: list[Any]) -> None:
    assert [ids for ids, _, _ in found] == [ids for ids, _, _ in expected]
    for one, other in zip(found, expected, strict=True):
        for values, wanted in zip(one[1:], other[1:], strict=True):
            assert values.dtype == wanted.dtype
            assert torch.equal(values, wanted)


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_batch_is_that_of_the_stream(stores, split, augment):
    """Also where the last images of an epoch are no whole batch, and from the middle of an epoch on."""
    config = config_of(split, augment, batch_size=7, cache="none")
    stream, held = (feed_of(config, stores[split], kind) for kind in (BandFeed, ResidentFeed))
    assert held.steps_per_epoch == stream.steps_per_epoch == 5
    for epoch in (0, 3):
        expected = list(batches(stream, epoch))
        assert len(expected) == 5
        for start in (0, 2, 5):
            assert_equal(list(batches(held, epoch, start)), expected[start:])


def test_draws_of_another_sample_are_other_batches(stores, monkeypatch):
    """The negative control: with the rows of the wrong batch the comparison fails."""
    config = config_of("one band", "flips", batch_size=7, cache="none")
    stream, held = (feed_of(config, stores["one band"], kind) for kind in (BandFeed, ResidentFeed))
    monkeypatch.setattr(geometry.Rows, "span", lambda rows, number: slice(0, int(rows._ends[1])))
    found, expected = list(batches(held, 0)), list(batches(stream, 0))
    with pytest.raises(AssertionError):
        assert_equal(found, expected)


def test_a_batch_is_made_without_anything_from_the_host(stores, monkeypatch):
    """All that is moved is moved before the first batch of an epoch."""
    moved: list[int] = []

    def move(values, device):
        moved.append(values.numel())
        return values

    for module in (resident, geometry, resident.Feed.__module__, "bandwise.augment.mixing", "bandwise.augment.bands"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.to_device", move)
    held = feed_of(config_of("flips that mix bands", batch_size=6), stores["flips that mix bands"], ResidentFeed)
    following = batches(held, 0)
    next(following)
    assert moved
    moved.clear()
    assert len(list(following)) == 5
    assert not moved


@pytest.mark.parametrize("crash", [1, 4, 7])
def test_a_training_has_the_bits_of_one_that_streams(store_path, tmp_path, undisturbed, crash):
    with pytest.raises(CrashError):
        train_branch(with_training(cache="device"), store_path, tmp_path, 1, on_step=crash_at(crash))
    train_branch(with_training(cache="device"), store_path, tmp_path, 1)
    assert without_config(outcome(tmp_path)) == without_config(undisturbed[4])


def without_config(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "state": {key: value for key, value in found["state"].items() if key != "config"}}


def test_filling_shows_its_progress_and_reads_some_row_groups_at_a_time(stores, monkeypatch, capsys):
    reader = RowGroupReader(open_store(stores["half precision"]), (0, 2), "train")
    steps: list[int] = []
    monkeypatch.setattr("bandwise.store.reading.loader.WINDOW", 1)
    assert torch.equal(read_onto(CPU, reader, steps.append), read_all(reader))
    assert steps == list(reader.sizes)
    assert empty_records(reader, 1).dtype == torch.float16
    next(batches(feed_of(config_of("one band"), stores["one band"], ResidentFeed), 0))
    assert "branch 0, records to cpu: 36/36 images" in capsys.readouterr().err


def branch_on(config: RunConfig, store: Path, device: str = "cpu") -> Branch:
    return Branch(config, 0, open_store(store), store, torch.device(device))


@pytest.mark.parametrize("spare", [0, -1])
def test_auto_takes_the_device_where_records_and_training_fit_in_its_share(stores, monkeypatch, spare):
    branch = branch_on(config_of("one band"), stores["one band"], "cuda")
    needed = memory._record_bytes(branch) + memory._training_bytes(branch)
    records = 36 * 12 * 12 * 3
    assert needed > records + memory.CONTEXT_BYTES
    monkeypatch.setattr(memory, "SHARE_OF_DEVICE", 0.5)
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 2 * (needed + spare))
    assert memory.records_fit_on_device(branch) is (spare == 0)


def test_a_network_that_takes_no_such_crop_is_refused_elsewhere(stores, monkeypatch):
    def refuse(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(memory, "saved_activation_bytes", refuse)
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 10**12)
    assert not memory.records_fit_on_device(branch_on(config_of("one band"), stores["one band"], "cuda"))


def test_a_cpu_keeps_nothing_on_the_device_unless_asked(stores, monkeypatch):
    for cache, kind in (("auto", BandFeed), ("ram", BandFeed), ("none", BandFeed), ("device", ResidentFeed)):
        assert type(open_feed(branch_on(config_of("one band", cache=cache), stores["one band"]))) is kind
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 1000)
    with pytest.raises(UsageError, match=r"cache is 'device', but the records of branch 0 take 0\.0 GB and cpu has"):
        open_feed(branch_on(config_of("one band", cache="device"), stores["one band"]))
