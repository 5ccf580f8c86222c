"""Inverting a store gives the images back up to rounding, and the preview shows what is stored."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from tests.helpers.arrays import RandomSource, make_store
from tests.pictures import make_folder, make_picture

from bandwise.bands.quantize import reference_split
from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.folder import open_folder
from bandwise.sources.samples import freeze_samples
from bandwise.store.preview import write_preview
from bandwise.store.reading.store import open_store
from bandwise.store.reconstruct import LOSSLESS_DB, reconstruct_store
from bandwise.store.writing.split import split_dataset

SOURCE = RandomSource(train=7, val=4, side=24)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("transform", "stride"), [("dct2d", 2), ("dct1d", 3), ("hadamard", 4), ("random", 2)])
def test_psnr_is_that_of_the_rounding_alone(tmp_path, transform, stride, channels):
    """The oracle rounds float64 coefficients itself; rounding to whole steps of `stride` costs about 0.29 steps RMS."""
    source = dataclasses.replace(SOURCE, channels=channels)
    store = make_store(tmp_path / "s", source, transform=transform, stride=stride)
    found = reconstruct_store(store.path, source)
    samples = freeze_samples(source, store.config)
    psnr = []
    for path in samples.paths:
        image = source.pixels(path).transpose(2, 0, 1).astype(np.float64)
        coefficients = SubbandTransform(stride, transform).forward(image)
        rounded = np.floor(coefficients / stride + 0.5) * stride
        error = SubbandTransform(stride, transform).inverse(rounded) - image
        psnr.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert found["n"] == 11
    assert found["clipped_fraction"] == 0
    assert found["psnr_db"]["mean"] == pytest.approx(np.mean(psnr), abs=0.05)
    assert found["psnr_db"]["min"] == pytest.approx(np.min(psnr), abs=0.05)


def test_identity_is_lossless_and_float16_nearly(tmp_path):
    identity = make_store(tmp_path / "i", SOURCE, transform="identity", codec="webp")
    assert reconstruct_store(identity.path, SOURCE)["psnr_db"] == {"min": LOSSLESS_DB, "mean": LOSSLESS_DB}
    half = make_store(tmp_path / "h", SOURCE, storage="float16")
    assert reconstruct_store(half.path, SOURCE)["psnr_db"]["min"] > 68


def test_the_worst_picture_is_not_clipped(tmp_path):
    """Blocks with the sign of each filter drive every band to its limit of +-127.5."""
    side, stride = 8, 2
    signs = np.sign(SubbandTransform(stride, "dct2d").matrix.round(12))
    folder = tmp_path / "in" / "train" / "a"
    folder.mkdir(parents=True)
    for band, row in enumerate(signs):
        for name, block in (("plus", row), ("minus", -row)):
            grey = np.tile(np.where(block > 0, 255, 0).reshape(stride, stride), (side // stride, side // stride))
            Image.fromarray(np.repeat(grey[:, :, None], 3, 2).astype(np.uint8)).save(folder / f"{band}{name}.png")
    source = open_folder(tmp_path / "in")
    split_dataset(source, SplitConfig(canvas=side, stride=stride, holdout=0), tmp_path / "s")
    found = reconstruct_store(tmp_path / "s", source)
    assert found["clipped_fraction"] == 0
    assert found["psnr_db"]["min"] > 40


def test_what_cannot_be_rebuilt_is_refused(tmp_path):
    part = make_store(tmp_path / "part", SOURCE, bands="0-2")
    with pytest.raises(UsageError, match=r"all bands are needed .* bands 3 are not stored"):
        reconstruct_store(part.path, SOURCE)
    lossy = make_store(tmp_path / "lossy", SOURCE, transform="refft")
    with pytest.raises(UsageError, match="refft transform has no inverse"):
        reconstruct_store(lossy.path, SOURCE)
    whole = make_store(tmp_path / "whole", SOURCE)
    with pytest.raises(IncompatibleError, match=r"random is not what .* was made from"):
        reconstruct_store(whole.path, dataclasses.replace(SOURCE, train=8))
    with pytest.raises(IncompatibleError, match="could be read once and cannot be now"):
        reconstruct_store(whole.path, dataclasses.replace(SOURCE, broken=frozenset({b"val/00001"})))


@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_the_preview_shows_canvas_and_stored_bands(tmp_path, storage):
    source = open_folder(make_folder(tmp_path / "in", train=3, val=2, side=24))
    split_dataset(source, SplitConfig(canvas=24, storage=storage), tmp_path / "s")
    listed = write_preview(tmp_path / "s", source, tmp_path / "out" / "preview")
    assert json.loads((tmp_path / "out" / "preview" / "preview.json").read_text())["pictures"] == listed
    assert [entry["file"] for entry in listed[:3]] == ["sample-0.png", "sample-0-band-00.png", "sample-0-band-01.png"]
    assert len(listed) == 4 * 5
    assert [entry["class"] for entry in listed[::5]] == ["class-0", "class-0", "class-1", "class-2"]
    picture = make_picture(0, 1000, 24)
    bands = reference_split(picture, SubbandTransform(2, "dct2d"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "preview" / "sample-0.png")), picture)
    shown = np.asarray(Image.open(tmp_path / "out" / "preview" / "sample-0-band-00.png"))
    assert np.abs(shown - bands[0]).max() <= (1 if storage == "float16" else 0)
    gain = int(listed[2]["caption"].rpartition(" ")[2])
    shown = np.asarray(Image.open(tmp_path / "out" / "preview" / "sample-0-band-01.png")).astype(int)
    expected = np.clip(128 + gain * (bands[1] - 128), 0, 255)
    assert gain > 1
    assert np.abs(shown - expected).max() <= (gain if storage == "float16" else 0)


def test_a_preview_of_a_training_set_alone_and_of_a_constant_band(tmp_path):
    folder = tmp_path / "in" / "train" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8), (10, 20, 30)).save(folder / "x.png")
    source = open_folder(tmp_path / "in")
    split_dataset(source, SplitConfig(canvas=8, holdout=0), tmp_path / "s")
    assert open_store(tmp_path / "s").std([1]).tolist() == [[0.0, 0.0, 0.0]]
    assert len(write_preview(tmp_path / "s", source, tmp_path / "p")) == 5
