"""Training on augmented images: equal to stored bands where it must be, and the same for every branch and worker."""

import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tests.training.photos import image_config, make_image_store, make_jpegs
from tests.training.tiny import outcome

from bandwise.bands.quantize import BandQuantizer
from bandwise.config import AugmentConfig, RunConfig
from bandwise.errors import BandwiseError, IncompatibleError, UsageError
from bandwise.sources.folders.folder import open_folder
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset
from bandwise.training.determinism import seed_for
from bandwise.training.feed import COPY_SHIFT, BandFeed, ImageFeed, open_feed
from bandwise.training.pictures import open_training_source
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")
PLAIN = {"random_crop": False, "aa": "", "mixup": 0.0, "cutmix": 0.0, "reprob": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """24 JPEGs to train, 9 in the holdout, 6 in val; 4 bands of 12 px."""
    root = tmp_path_factory.mktemp("photos")
    make_image_store(root, image_config(root))
    return root


def seeds(branch: int) -> dict[str, int]:
    return {"order": seed_for(0, branch, "order"), "augment": seed_for(0, None, "augment")}


def feed_of(config: RunConfig, root, bands: tuple[int, ...] = (0, 1, 2, 3), branch: int = 0):
    return open_feed(config, open_store(root / "store", bands), root, bands, seeds(branch), CPU)


def epoch_of(feed, epoch: int = 0, start: int = 0) -> list[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Return ids, labels and stored values of the batches of one epoch."""
    try:
        return [
            (batch.ids.tolist(), batch.labels.clone(), feed.stored(batch).clone())
            for batch in feed.batches(epoch, start=start)
        ]
    finally:
        feed.close()


@pytest.mark.parametrize("storage", ["uint8", "float16"])
@pytest.mark.parametrize("transform", ["dct2d", "dct1d", "refft", "random"])
def test_the_centre_of_an_image_is_what_the_store_holds(tmp_path, transform, storage):
    config = image_config(tmp_path, **PLAIN)
    config = replace(config, split=replace(config.split, transform=transform, storage=storage))
    make_image_store(tmp_path, config)
    at_band = replace(config, augment=AugmentConfig(random_crop=False, hflip=0.0))
    images, bands = feed_of(config, tmp_path, (2, 1)), feed_of(at_band, tmp_path, (2, 1))
    assert isinstance(images, ImageFeed)
    assert isinstance(bands, BandFeed)
    config = replace(config, augment=replace(config.augment, hflip=0.0))
    for (ids, labels, found), (others, same, stored) in zip(
        epoch_of(feed_of(config, tmp_path, (2, 1))), epoch_of(bands), strict=True
    ):
        assert ids == others
        assert torch.equal(labels, same)
        assert found.dtype == stored.dtype
        assert torch.equal(found, stored[:, :, 1:11, 1:11])


@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_a_whole_training_on_centres_equals_one_on_stored_bands_bit_for_bit(tmp_path, storage):
    """Mixup, cutmix and erasing included, which are done on bands in both; also where the canvas is no multiple."""
    config = image_config(tmp_path, random_crop=False, aa="", hflip=0.0)
    config = replace(config, split=replace(config.split, storage=storage))
    store = make_image_store(tmp_path, config)
    at_band = replace(config, augment=replace(config.augment, at="band"))
    train_branch(config, store, tmp_path / "image", 1)
    train_branch(at_band, store, tmp_path / "band", 1)
    assert outcome(tmp_path / "image")["tensors"] == outcome(tmp_path / "band")["tensors"]


def test_a_flip_of_the_image_is_the_flip_of_the_bands(root):
    """dct2d flips by signs, of coefficients that are rounded once: on these pictures at most one step apart."""
    image = image_config(root, **PLAIN)
    band = replace(image, augment=replace(image.augment, at="band"))
    for config in (image, band):
        assert config.augment.hflip == 0.5
    pairs = []
    for config in (image, band):
        feed = feed_of(config, root, (1,))
        pairs.append([feed.augment(feed.stored(batch), batch.ids, 3) for batch in feed.batches(3, start=0)])
    std = torch.from_numpy(open_store(root / "store").std((1,))).float().view(1, 3, 1, 1)
    steps = torch.cat([(one - other) * std for one, other in zip(*pairs, strict=True)])
    assert steps.abs().max() < 1.001
    assert (steps.abs() > 0.5).float().mean() < 0.2


def test_all_branches_see_the_same_augmented_image(root):
    """What a branch gets is its own bands of one picture, whatever the other bands of its group and its order."""
    config = image_config(root)
    first = {}
    for ids, _, stored in epoch_of(feed_of(config, root, (0, 1, 2, 3), 0)):
        first |= dict(zip(ids, stored, strict=True))
    for branch, bands in ((1, (3,)), (2, (2, 0))):
        found = {}
        for ids, _, stored in epoch_of(feed_of(config, root, bands, branch)):
            found |= dict(zip(ids, stored, strict=True))
        assert found.keys() == first.keys()
        assert list(found) != list(first)
        for sample, stored in found.items():
            expected = first[sample].unflatten(0, (4, 3))[list(bands)].flatten(0, 1)
            assert torch.equal(stored, expected)


def test_an_augmented_image_is_split_as_the_store_splits(root):
    """The bytes of the device are those of the integer split of the same pixels."""
    config = image_config(root)
    feed, store = feed_of(config, root), open_store(root / "store")
    quantizer = BandQuantizer(store.transform)
    for batch in feed.batches(0, start=0):
        stored = feed.stored(batch)
        for pixels, bands in zip(batch.images.permute(0, 2, 3, 1).numpy(), stored, strict=True):
            expected = quantizer.split(np.ascontiguousarray(pixels)).transpose(0, 3, 1, 2).reshape(bands.shape)
            assert np.array_equal(bands.numpy(), expected)


def test_workers_change_nothing(root):
    whole = None
    for workers in (0, 1, 2):
        config = image_config(root, training={"loader_workers": workers, "batch_size": 5})
        feed = feed_of(config, root, (1,))
        found = epoch_of(feed, epoch=2)
        whole = whole or found
        assert [ids for ids, _, _ in found] == [ids for ids, _, _ in whole]
        assert all(torch.equal(one[2], other[2]) for one, other in zip(found, whole, strict=True))
        # The processes go on with the next epoch, also after one that was left.
        next(feed.batches(3, start=1))
        again = epoch_of(feed, epoch=2)
        feed.close()
        assert all(torch.equal(one[2], other[2]) for one, other in zip(again, whole, strict=True))
    assert len(whole) == 4


def test_an_image_depends_on_seed_epoch_and_id_but_not_on_its_batch(root):
    def images(size: int, epoch: int, seed: int = 0) -> dict[int, torch.Tensor]:
        config = image_config(root, training={"batch_size": size})
        feed = open_feed(
            config,
            open_store(root / "store"),
            root,
            (0,),
            {**seeds(0), "augment": seed_for(seed, None, "augment")},
            CPU,
        )
        return {key: value for ids, _, stored in epoch_of(feed, epoch) for key, value in zip(ids, stored, strict=True)}

    first, second = images(6, 0), images(8, 0)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    for other in (images(6, 1), images(6, 0, seed=1)):
        assert sum(torch.equal(first[key], other[key]) for key in first) < 3


def test_repeated_augmentation(root):
    """Each chosen image comes three times in a row, each time other; an epoch keeps its length (Hoffer et al.)."""
    plain = epoch_of(feed_of(image_config(root), root, (0,)))
    repeated = epoch_of(feed_of(image_config(root, aug_repeats=3), root, (0,)))
    assert len(plain) == len(repeated) == 4
    keys = [key for ids, _, _ in repeated for key in ids]
    order = [key for ids, _, _ in plain for key in ids]
    assert [key & (1 << COPY_SHIFT) - 1 for key in keys] == [sample for sample in order[:8] for _ in range(3)]
    assert [key >> COPY_SHIFT for key in keys] == [0, 1, 2] * 8
    images = dict(zip(keys, torch.cat([stored for _, _, stored in repeated]), strict=True))
    first = dict(zip(order, torch.cat([stored for _, _, stored in plain]), strict=True))
    assert all(torch.equal(images[sample], first[sample]) for sample in order[:8])
    assert not any(torch.equal(images[sample], images[sample + (1 << COPY_SHIFT)]) for sample in order[:8])
    labels = torch.cat([labels for _, labels, _ in repeated])
    assert torch.equal(labels.view(8, 3), labels.view(8, 3)[:, :1].expand(8, 3))
    later = epoch_of(feed_of(image_config(root, aug_repeats=3), root, (0,)), start=2)
    assert [ids for ids, _, _ in later] == [ids for ids, _, _ in repeated[2:]]


def test_a_smaller_crop_of_training(root):
    for at in ("image", "band"):
        config = image_config(root, training={"train_crop": 16})
        if at == "band":
            config = replace(config, augment=AugmentConfig())
        feed = feed_of(config, root, (0,))
        batch = next(iter(feed.batches(0, start=0)))
        assert feed.augment(feed.stored(batch), batch.ids, 0).shape == (6, 3, 8, 8)


def test_from_start_to_end(root, tmp_path):
    config = image_config(root, training={"epochs": 1, "warmup_epochs": 0}, aug_repeats=2)
    summary = train_branch(config, root / "store", tmp_path, 1)
    assert (summary["steps"], summary["n_train"], summary["from_scratch"]) == (4, 24, True)
    assert summary["holdout"]["n"] == 9
    assert not list(tmp_path.glob(".tmp-*"))


def test_it_learns_from_augmented_images(root, tmp_path):
    config = image_config(
        root,
        training={"epochs": 12, "model_ema": False, "smoothing": 0.0},
        aa="",
        mixup=0.0,
        cutmix=0.0,
        reprob=0.0,
        scale=0.5,
    )
    assert train_branch(config, root / "store", tmp_path, 0)["holdout"]["top1"] > 0.8


def changed(root, tmp_path, change) -> RunConfig:
    """Copy the pictures, change the copy, and return a configuration that reads it."""
    shutil.copytree(root / "pictures", tmp_path / "pictures")
    change(tmp_path / "pictures")
    return image_config(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda top: (top / "train/class-1/003.jpg").unlink(),
            r"1 images are gone, for example 'train/class-1/003.jpg'",
        ),
        (
            lambda top: os.link(top / "train/class-0/000.jpg", top / "train/class-2/new.jpg"),
            r"1 images are new, for example 'train/class-2/new.jpg'",
        ),
        (
            lambda top: (top / "train/class-0/000.jpg").rename(top / "train/class-0/zzz.jpg"),
            r"1 images are gone, for example 'train/class-0/000.jpg' and 1 images are new",
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


def test_another_source_is_refused(root, tmp_path):
    config = replace(image_config(root), data=replace(image_config(root).data, data="mnist", source="named"))

    def named(data):
        return SimpleNamespace(fingerprint={"kind": "mnist", "files": "abc"}, name="mnist")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bandwise.training.pictures.open_source", named)
        with pytest.raises(IncompatibleError, match=r"mnist is not what the store (.|\n)*kind: 'folder' -> 'mnist'"):
            open_training_source(config.data, open_store(root / "store"), tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_has_become_unreadable_is_named(root, tmp_path, workers):
    """Its size is the same, so only reading it can tell."""
    store = open_store(root / "store")
    name = open_training_source(image_config(root).data, store, tmp_path)[1][int(store.ids("train")[9])].decode()

    def damage(top):
        content = (top / name).read_bytes()
        (top / name).write_bytes(bytes(len(content)))

    config = changed(root, tmp_path, damage)
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
    config = image_config(tmp_path)
    bad = make_jpegs(tmp_path / "pictures") / "train" / "class-0" / "005.jpg"
    bad.write_bytes(b"no picture")
    split_dataset(open_folder(tmp_path / "pictures"), config.split, tmp_path / "store")
    store = open_store(tmp_path / "store")
    ids = [sample.id for sample in store.manifest.bad]
    names = open_training_source(config.data, store, tmp_path)[1]
    config = replace(config, training=replace(config.training, batch_size=1))
    seen = [key for batch, _, _ in epoch_of(feed_of(config, tmp_path)) for key in batch]
    assert sorted(seen) == store.ids("train").tolist()
    if store.manifest.bad[0].split == "train":
        assert names[ids[0]] == b"train/class-0/005.jpg"
        assert not set(ids) & set(seen)


def test_a_policy_that_does_not_exist_is_refused(root, tmp_path):
    with pytest.raises(UsageError, match="aa is 'rand-x'"):
        train_branch(image_config(root, aa="rand-x"), root / "store", tmp_path, 1)
