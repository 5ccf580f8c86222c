"""Crops, where they lie and of whole images: against plain loops, against stored bands, and from a full store."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.training.tiny import CONFIG, make_store, tiny_network, with_training

from bandwise.bands.quantize import reference_split
from bandwise.bands.transform import SubbandTransform
from bandwise.checkpoints import branch as branch_module
from bandwise.config import AugmentConfig, RunConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.evaluation.views import BandViews, CanvasViews, CropBox, CropsFrom, center_box, open_views, ten_crop_boxes
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.sources.samples import freeze_samples
from bandwise.store.reading.canvases import SourceCanvases, StoreCanvases
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import Store, open_store
from bandwise.training.predict import write_answers
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")
CROP = 10
ALL_TRANSFORMS = ("dct1d", "dct2d", "hadamard", "identity", "random", "refft")


def config_of(transform: str, storage: str = "uint8", **changes) -> RunConfig:
    split = replace(CONFIG.split, transform=transform, storage=storage)
    return replace(CONFIG, split=split, augment=AugmentConfig(hflip=0.0), **changes)


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(branch_module, "create_branch", tiny_network)


@pytest.fixture(scope="module")
def store_of(tmp_path_factory):
    """Return the store of a configuration, made once; tests that alter one make their own."""
    return cache(lambda config: make_store(tmp_path_factory.mktemp("store"), config))


def source_of(store: Path) -> FolderSource:
    return open_folder(store.parent / "pictures")


def all_views(stream, views) -> torch.Tensor:
    """Return the views of a whole split, (crops, N, channels, side, side)."""
    batches = [torch.stack(list(views(batch.images))) for batch in stream.batches()]
    return torch.cat(batches, dim=1)


def in_steps(views: torch.Tensor, store: Store, bands: tuple[int, ...]) -> torch.Tensor:
    """Undo the standardisation."""
    mean, std = (torch.tensor(values).float().view(-1, 1, 1) for values in (store.mean(bands), store.std(bands)))
    return views * std + mean


@pytest.mark.parametrize("storage", ["uint8", "float16"])
@pytest.mark.parametrize("transform", ALL_TRANSFORMS)
def test_one_crop_of_the_source_is_that_of_the_stored_bands_bit_for_bit(store_of, transform, storage):
    path = store_of(config_of(transform, storage))
    store, bands = open_store(path), (3, 1)
    stored = all_views(BatchStream(store, bands, "val", 4), BandViews(store, bands, CROP, 1, CPU))
    found = all_views(SourceCanvases(store, source_of(path), "val", 4), CanvasViews(store, bands, CROP, 1, CPU))
    assert found.dtype == stored.dtype == torch.float32
    assert torch.equal(found, stored)


@pytest.mark.parametrize("transform", ALL_TRANSFORMS)
def test_ten_crops_equal_a_plain_loop_over_the_pictures(store_of, transform):
    """PNG pictures of the size of the canvas: the oracle needs Pillow and the integer definition, nothing else."""
    path = store_of(config_of(transform))
    store, band = open_store(path), 2
    found = all_views(SourceCanvases(store, source_of(path), "val", 4), CanvasViews(store, (band,), CROP, 10, CPU))
    pictures = [
        np.asarray(Image.open(name).convert("RGB")) for name in sorted((path.parent / "pictures").glob("val/*/*.png"))
    ]
    far = 24 - 20
    expected = []
    for mirrored in (False, True):
        for top, left in ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)):
            cuts = [picture[top : top + 20, left : left + 20] for picture in pictures]
            cuts = [cut[:, ::-1] if mirrored else cut for cut in cuts]
            transformed = [reference_split(cut, SubbandTransform(2, transform))[band] for cut in cuts]
            expected.append(np.stack(transformed).transpose(0, 3, 1, 2))
    torch.testing.assert_close(
        in_steps(found, store, (band,)), torch.from_numpy(np.stack(expected)).float(), rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("storage", ["float16", "uint8"])
def test_ten_crops_of_canvas_and_of_stored_bands_agree(store_of, storage):
    """In float16, which holds quarters of a step, they are equal; a byte rounds a half up before or after the mirror.

    So unmirrored views are the same bits, and mirrored bytes differ by one step where a value lay halfway.
    """
    path = store_of(config_of("dct2d", storage))
    store = open_store(path)
    stored = all_views(BatchStream(store, (1,), "val", 4), BandViews(store, (1,), CROP, 10, CPU))
    found = all_views(SourceCanvases(store, source_of(path), "val", 4), CanvasViews(store, (1,), CROP, 10, CPU))
    assert torch.equal(found[:5], stored[:5])
    steps = (in_steps(found, store, (1,)) - in_steps(stored, store, (1,)))[5:].abs()
    assert steps.max() < (1.001 if storage == "uint8" else 1e-3)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("transform", ["dct1d", "random"])
def test_a_full_store_gives_the_views_of_the_source_to_rounding(store_of, transform, stride):
    """Stored bytes are off by half a step each, pixels by half a level: at most (stride + 1) / 2 steps come back.

    Both errors are vectors of n values a block, of length at most stride / 2 steps and stride / 2 grey levels, and the
    split divides grey levels by the stride. The two roundings at the end make it a whole number of steps.
    """
    config = with_training(config_of(transform), crop=18)
    path = store_of(replace(config, split=replace(config.split, stride=stride)))
    store, bands, crop = open_store(path), (1,), 18 // stride
    views = CanvasViews(store, bands, crop, 10, CPU)
    rebuilt = all_views(StoreCanvases(store, "val", 4), views)
    found = all_views(SourceCanvases(store, source_of(path), "val", 4), views)
    steps = in_steps(rebuilt, store, bands) - in_steps(found, store, bands)
    assert steps.abs().max() <= np.ceil((stride + 1) / 2) + 1e-3
    assert steps.square().mean().sqrt() < 0.6
    assert steps.abs().max() > 0.5


def test_auto_takes_bands_then_a_full_store_then_the_source(tmp_path):
    path = make_store(tmp_path, config_of("dct1d"))

    def origin(bands: tuple[int, ...], crops: int) -> str:
        opened = open_views(
            open_store(path, bands),
            bands,
            "val",
            crop=CROP,
            crops=crops,
            batch_size=4,
            device=CPU,
            wanted=CropsFrom("auto", lambda: source_of(path)),
        )
        return opened.origin

    assert origin((1,), 1) == "bands"
    assert origin((0, 1, 2, 3), 10) == "bands"
    assert origin((1,), 10) == "store"
    # A node that was sent one band with the manifest of the whole store.
    (path / "band-00").rename(tmp_path / "elsewhere")
    assert origin((1,), 10) == "source"


@pytest.mark.parametrize("split", ["train", "holdout", "val"])
def test_a_picture_that_changed_is_refused(store_of, monkeypatch, split):
    """The sample list knows names and sizes; the digest of the pixels is what notices."""
    path = store_of(config_of("dct1d"))
    store, source, read = open_store(path), source_of(path), FolderSource.read
    assert sum(len(batch.ids) for batch in SourceCanvases(store, source, split, 4).batches()) == store.rows(split)
    samples = freeze_samples(source, store.config)
    last, another = (samples.paths[int(store.ids(split)[number])] for number in (-1, 0))
    monkeypatch.setattr(FolderSource, "read", lambda self, name: read(self, another if name == last else name))
    with pytest.raises(IncompatibleError, match=f"the {split} images of pictures do not give the pixels"):
        list(SourceCanvases(store, source, split, 4).batches())


def test_another_source_is_refused(tmp_path):
    path = make_store(tmp_path, config_of("dct1d"))
    source = source_of(path)
    (path.parent / "pictures" / "val" / "class-0" / "000.png").unlink()
    with pytest.raises(IncompatibleError, match="images were added, removed or changed in size"):
        SourceCanvases(open_store(path), source, "val", 4)
    (path.parent / "pictures" / "val").rename(path.parent / "pictures" / "test")
    with pytest.raises(IncompatibleError, match=r"is read as .*'test'.* but .* was made from .*'val'"):
        SourceCanvases(open_store(path), source_of(path), "val", 4)


def test_a_lone_dct1d_band_is_refused_with_all_reasons(tmp_path):
    """A node that holds one band and no pictures has nothing to mirror."""
    split = replace(CONFIG.split, transform="dct1d", bands="1")
    config = replace(CONFIG, split=split, augment=AugmentConfig(hflip=0.0), branches="1")
    store, folder, out = make_store(tmp_path, config), tmp_path / "branch", tmp_path / "a"
    train_branch(config, store, folder, 0)
    alone = r"bands \[1\] under dct1d is no function of these bands alone"
    every = alone + r".*lacks bands 0,2-3 of 4.*source cannot be read: none was given\. Use one crop, or evaluate where"
    with pytest.raises(UsageError, match=every):
        write_answers(config, store, folder, 0, logits=out, split="val", crops=10)
    for origin, why in (("bands", alone + ".*--crops-from"), ("store", "lacks bands"), ("source", "none was given")):
        wanted = CropsFrom(origin)
        with pytest.raises(UsageError, match=why):
            write_answers(config, store, folder, 0, logits=out, split="val", crops=10, crops_from=wanted)
    assert not out.exists()


def test_a_mirrored_centre_is_the_centre_and_its_mirror_among_ten(store_of):
    store = open_store(store_of(CONFIG))
    (batch,) = BatchStream(store, (1,), "val", 9).batches()
    two = list(BandViews(store, (1,), 10, 1, CPU, mirrored=True)(batch.images))
    ten = list(BandViews(store, (1,), 10, 10, CPU)(batch.images))
    assert len(two) == 2
    assert torch.equal(two[0], ten[4])
    assert torch.equal(two[1], ten[9])
    assert not torch.equal(two[0], two[1])


def test_a_mirrored_centre_of_a_lone_dct1d_band_is_refused(tmp_path):
    config = replace(CONFIG, split=replace(CONFIG.split, transform="dct1d", bands="1"))
    store = open_store(make_store(tmp_path, config))
    with pytest.raises(UsageError, match="is no function of these bands alone"):
        BandViews(store, (1,), 10, 1, CPU, mirrored=True)


def test_what_cannot_be_rebuilt_is_refused_by_name(store_of):
    path = store_of(config_of("refft"))
    with pytest.raises(UsageError, match=r"the refft transform of .* has no inverse"):
        StoreCanvases(open_store(path), "val", 4)


def cut(image: torch.Tensor, crop: int, box: CropBox) -> torch.Tensor:
    top, left, mirrored = box
    pixels = image[..., top : top + crop, left : left + crop]
    return pixels.flip(-1) if mirrored else pixels


def test_the_boxes_by_hand():
    assert ten_crop_boxes(8, 5) == (
        (0, 0, False),
        (0, 3, False),
        (3, 0, False),
        (3, 3, False),
        (1, 1, False),
        (0, 0, True),
        (0, 3, True),
        (3, 0, True),
        (3, 3, True),
        (1, 1, True),
    )


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_crop_of_a_phase_is_the_phase_of_the_crop(stride):
    side, crop = 9, 6
    canvas = torch.randn(side * stride, side * stride)
    for top, left, _ in ten_crop_boxes(side, crop):
        cropped = cut(canvas, crop * stride, (top * stride, left * stride, False))
        for row in range(stride):
            for column in range(stride):
                phase = canvas[row::stride, column::stride]
                assert torch.equal(cut(phase, crop, (top, left, False)), cropped[row::stride, column::stride])


@pytest.mark.parametrize(("side", "crop"), [(5, 6), (5, 0), (5, -1), (0, 1)])
def test_a_crop_that_does_not_fit_is_refused(side, crop):
    for boxes in (center_box, ten_crop_boxes):
        with pytest.raises(
            UsageError, match=f"a crop of {crop} px does not fit a band of {side} px; choose 1 to {side}"
        ):
            boxes(side, crop)


@pytest.mark.parametrize(("side", "crop"), [(8, 4), (16, 14), (9, 9), (257, 225)])
def test_the_same_ten_crops_as_torchvision(side, crop):
    functional = pytest.importorskip("torchvision.transforms.functional")
    image = torch.arange(side * side).reshape(1, side, side)
    ours = {tuple(cut(image, crop, box).flatten().tolist()) for box in ten_crop_boxes(side, crop)}
    theirs = {tuple(picture.flatten().tolist()) for picture in functional.ten_crop(image, crop)}
    assert ours == theirs
    assert len(ours) == (10 if side > crop else 2)
