"""Training on augmented images: equal to stored bands where it must be, and the same for every branch."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tests.training.photos import image_config, make_image_store, make_jpegs
from tests.training.tiny import outcome

from bandwise.config import RunConfig, TrainingConfig
from bandwise.errors import BandwiseError, IncompatibleError
from bandwise.machine import CORES
from bandwise.sources.folder import open_folder
from bandwise.store.reading.order import COPY_SHIFT
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset
from bandwise.training.feed import open_feed
from bandwise.training.identity import Branch
from bandwise.training.images import decoding_processes, open_training_source
from bandwise.training.trainer import train_branch


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """24 JPEGs to train, 9 in the holdout, 6 in val; 4 bands of 12 px."""
    root = tmp_path_factory.mktemp("photos")
    make_image_store(root, image_config(root))
    return root


def epoch_of(
    config: RunConfig, root: Path, branch: int = 0, *, epoch: int = 0, start: int = 0
) -> list[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Return ids, labels and stored values of the batches of one epoch."""
    store = open_store(root / "store", config.groups()[branch])
    feed = open_feed(Branch(config, branch, store, root, torch.device("cpu")))
    try:
        return [
            (batch.ids.tolist(), batch.labels.clone(), feed.stored(batch).clone())
            for batch in feed.batches(epoch, start=start)
        ]
    finally:
        feed.close()


def by_id(batches: list[tuple[list[int], torch.Tensor, torch.Tensor]]) -> dict[int, torch.Tensor]:
    return {key: value for ids, _, stored in batches for key, value in zip(ids, stored, strict=True)}


@pytest.mark.parametrize("storage", ["uint8", "float16"])
@pytest.mark.parametrize("transform", ["dct2d", "dct1d", "refft"])
def test_a_whole_training_on_centres_equals_one_on_stored_bands_bit_for_bit(tmp_path, transform, storage):
    """Mixup, cutmix and erasing included, which are done on bands in both; also where the canvas is no multiple."""
    config = image_config(tmp_path, random_crop=False, aa="", hflip=0.0)
    config = replace(config, split=replace(config.split, storage=storage, transform=transform))
    store = make_image_store(tmp_path, config)
    at_band = replace(config, augment=replace(config.augment, at="band"))
    train_branch(config, store, tmp_path / "image", 1)
    train_branch(at_band, store, tmp_path / "band", 1)
    assert outcome(tmp_path / "image")["tensors"] == outcome(tmp_path / "band")["tensors"]


def test_all_branches_see_the_same_augmented_image(root):
    """What a branch gets is its own bands of one picture, whatever the other bands of its group."""
    config = replace(image_config(root), branches="0,1,2,3;3;0,2")
    first = by_id(epoch_of(config, root, 0))
    for branch, bands in ((1, (3,)), (2, (0, 2))):
        found = by_id(epoch_of(config, root, branch))
        assert found.keys() == first.keys()
        assert list(found) != list(first)
        for sample, stored in found.items():
            expected = first[sample].unflatten(0, (4, 3))[list(bands)].flatten(0, 1)
            assert torch.equal(stored, expected)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("counts", "ahead"), [((1, 2), False), ((1,), True)])
def test_any_number_of_processes_makes_the_same_batches(root, counts, ahead):
    """For an accelerator a thread asks for them, that lasts an epoch, and copies them to memory that is used again."""

    def epochs(workers: int) -> list[tuple[list[int], torch.Tensor, torch.Tensor]]:
        config = image_config(root, training={"loader_workers": workers})
        feed = open_feed(Branch(config, 0, open_store(root / "store", (0,)), root, torch.device("cpu")))
        feed._goes_ahead = ahead and workers > 0
        try:
            return [
                (batch.ids.tolist(), batch.labels.clone(), batch.images.clone())
                for epoch in range(2)
                for batch in feed.batches(epoch, start=0)
            ]
        finally:
            feed.close()

    expected = epochs(0)
    assert len(expected) == 8
    for workers in counts:
        for found, one in zip(epochs(workers), expected, strict=True):
            assert found[0] == one[0]
            assert torch.equal(found[1], one[1])
            assert torch.equal(found[2], one[2])


def test_cores_that_do_not_train_decode_and_what_one_makes_is_said(root, capsys, monkeypatch):
    monkeypatch.setenv(CORES, "8")
    found = [(None, 1), (None, 3), (None, 9), (0, 1), (3, 1)]
    settings = [TrainingConfig(loader_workers=asked, threads=threads) for asked, threads in found]
    assert [decoding_processes(training) for training in settings] == [7, 5, 0, 0, 3]
    # Twice as many seconds as images.
    monkeypatch.setattr("time.process_time", iter((0.0, 32.0)).__next__)
    open_feed(Branch(image_config(root), 0, open_store(root / "store", (0,)), root, torch.device("cpu"))).close()
    said = capsys.readouterr().err
    assert "branch 0: one core reads and augments 0.5 images/s, processes for that: none; for every 1,000" in said
    assert "images/s that a device trains it takes 2,000 cores" in said


def test_an_image_depends_on_seed_epoch_and_id_but_not_on_its_batch(root):
    def images(size: int, epoch: int, seed: int = 0) -> dict[int, torch.Tensor]:
        return by_id(epoch_of(image_config(root, training={"batch_size": size, "seed": seed}), root, epoch=epoch))

    first, second = images(6, 0), images(8, 0)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    for other in (images(6, 1), images(6, 0, seed=1)):
        assert sum(torch.equal(first[key], other[key]) for key in first) < 3


def test_repeated_augmentation(root):
    """Each chosen image comes three times in a row, each time other; an epoch keeps its length (Hoffer et al.)."""
    config = image_config(root, aug_repeats=3)
    plain, repeated = epoch_of(image_config(root), root), epoch_of(config, root)
    assert len(plain) == len(repeated) == 4
    keys = [key for ids, _, _ in repeated for key in ids]
    order = [key for ids, _, _ in plain for key in ids]
    assert [key & (1 << COPY_SHIFT) - 1 for key in keys] == [sample for sample in order[:8] for _ in range(3)]
    assert [key >> COPY_SHIFT for key in keys] == [0, 1, 2] * 8
    images, first = by_id(repeated), by_id(plain)
    assert all(torch.equal(images[sample], first[sample]) for sample in order[:8])
    assert not any(torch.equal(images[sample], images[sample + (1 << COPY_SHIFT)]) for sample in order[:8])
    labels = torch.cat([labels for _, labels, _ in repeated])
    assert torch.equal(labels.view(8, 3), labels.view(8, 3)[:, :1].expand(8, 3))
    assert [ids for ids, _, _ in epoch_of(config, root, start=2)] == [ids for ids, _, _ in repeated[2:]]


def changed(root: Path, tmp_path: Path, change: Callable[[Path], object]) -> RunConfig:
    """Copy the pictures, change the copy, and return a configuration that reads it."""
    shutil.copytree(root / "pictures", tmp_path / "pictures")
    change(tmp_path / "pictures")
    return image_config(tmp_path)


GONE = "1 images are gone, for example 'train/class-"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda top: (top / "train/class-1/003.jpg").unlink(), f"{GONE}1/003.jpg'"),
        (
            lambda top: os.link(top / "train/class-0/000.jpg", top / "train/class-2/new.jpg"),
            "1 images are new, for example 'train/class-2/new.jpg'",
        ),
        (
            lambda top: (top / "train/class-0/000.jpg").rename(top / "train/class-0/zzz.jpg"),
            f"{GONE}0/000.jpg' and 1 images are new",
        ),
        (
            lambda top: Image.new("RGB", (40, 40)).save(top / "val/class-0/001.jpg"),
            r"1 images differ, for example 'val/class-0/001.jpg' had \d+ bytes and has \d+",
        ),
    ],
)
def test_a_source_that_has_changed_is_refused(root, tmp_path, change, message):
    config = changed(root, tmp_path, change)
    with pytest.raises(IncompatibleError, match=message):
        train_branch(config, root / "store", tmp_path / "branch", 1)


def test_another_kind_of_source_is_refused(root, tmp_path, monkeypatch):
    config = replace(image_config(root), data=replace(image_config(root).data, data="mnist", source="named"))
    other = SimpleNamespace(fingerprint={"kind": "mnist", "files": "abc"}, name="mnist")
    monkeypatch.setattr("bandwise.training.images.open_source", lambda data: other)
    with pytest.raises(IncompatibleError, match=r"mnist is not what the store (.|\n)*kind: 'folder' -> 'mnist'"):
        open_training_source(config.data, open_store(root / "store"), tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_has_become_unreadable_is_named(root, tmp_path, workers):
    """Its size is the same, so only reading it can tell."""
    store = open_store(root / "store")
    name = open_training_source(image_config(root).data, store, tmp_path)[1][int(store.ids("train")[9])].decode()
    config = changed(root, tmp_path, lambda top: (top / name).write_bytes(bytes((top / name).stat().st_size)))
    config = replace(config, training=replace(config.training, loader_workers=workers))
    with pytest.raises(IncompatibleError, match=rf"training image '{name}' was readable when .*: unidentified"):
        train_branch(config, root / "store", tmp_path / "branch", 1)


def test_an_unforeseen_failure_names_the_image(root, tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("bandwise.augment.transforms.RandomResizedCropAndInterpolation.__call__", failing)
    with pytest.raises(BandwiseError, match=r"training image 'train/class-\d/\d+.jpg' cannot be used: ZeroDivisionErr"):
        train_branch(image_config(root), root / "store", tmp_path, 1)


def test_images_that_the_store_left_out_are_left_out(tmp_path):
    config = image_config(tmp_path, training={"batch_size": 1})
    top = make_jpegs(tmp_path / "pictures") / "train"
    for name in ("class-0/005.jpg", "class-1/005.jpg", "class-2/005.jpg"):
        (top / name).write_bytes(b"no picture")
    split_dataset(open_folder(tmp_path / "pictures"), config.split, tmp_path / "store")
    store = open_store(tmp_path / "store")
    left_out = {sample.id for sample in store.manifest.bad if sample.split == "train"}
    assert left_out
    seen = [key for batch, _, _ in epoch_of(config, tmp_path) for key in batch]
    assert sorted(seen) == store.ids("train").tolist()
    assert not left_out & set(seen)
