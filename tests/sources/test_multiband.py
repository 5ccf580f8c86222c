"""Arrays of NumPy and TIFF files of several bands, from the file to the prediction."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from bandwise.cli import main
from bandwise.config import SplitConfig
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode, decode_canvas, to_canvas
from bandwise.sources.decoding.multiband import channels_of, size_of
from bandwise.sources.folder import open_folder
from bandwise.store.reading.store import open_store

CHANNELS = 5
TINY = """
split: {stride: 2, canvas: 32, depth: 12}
branches: 0;3
network: {model: resnet8-slim, stem: dense}
training: {crop: 28, epochs: 1, batch_size: 8, device: cpu}
"""


def values(seed: int, *, side: int = 40, channels: int = CHANNELS, high: int = 4096) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (side, side + 8, channels), np.uint16)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def tiff(array: np.ndarray, **options) -> bytes:
    tifffile = pytest.importorskip("tifffile", reason="bandwise[tiff] is not installed")
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"photometric": "minisblack", "planarconfig": "contig", **options})
    return stream.getvalue()


def read(
    encoded: bytes, channels: int = CHANNELS, depth: int = 16, max_pixels: int = 10_000
) -> tuple[np.ndarray, tuple[str, ...]]:
    found, notes = decode(encoded, channels=channels, background=255, exif="ignore", max_pixels=max_pixels, depth=depth)
    assert isinstance(found, np.ndarray)
    return found, notes


@pytest.mark.parametrize(
    "form",
    [
        npy,
        lambda array: npy(np.asfortranarray(array)),
        lambda array: npy(array.astype(">u2")),
        tiff,
        lambda array: tiff(array.transpose(2, 0, 1), planarconfig="separate"),
        lambda array: tiff(array, compression="lzw", tile=(16, 16)),
    ],
    ids=["npy", "fortran order", "big end first", "tiff", "bands one after another", "packed tiles"],
)
def test_values_of_16_bits_are_shifted_to_8(form):
    array = values(0)
    encoded = form(array)
    assert channels_of(encoded) == CHANNELS
    assert size_of(encoded, CHANNELS) == (48, 40)
    found, notes = read(encoded, depth=12)
    np.testing.assert_array_equal(found, array >> 4)
    assert notes == ("16 bits reduced to 8",)
    assert "16 bits, of which at most 12 are used: near black" in read(encoded)[1]


@pytest.mark.parametrize("channels", [1, 2, 3, 64])
def test_bytes_are_taken_as_they_are(channels):
    array = values(1, channels=channels, high=256).astype(np.uint8)
    found, notes = read(npy(array), channels, max_pixels=50_000)
    np.testing.assert_array_equal(found, array)
    assert notes == ()
    if channels == 1:
        np.testing.assert_array_equal(read(npy(array[:, :, 0]), 1)[0], array)


def test_every_channel_is_resized_as_a_grey_picture():
    array = values(2, high=256).astype(np.uint8)
    canvas, _ = decode_canvas(npy(array), b"a.npy", CHANNELS, SplitConfig(canvas=24, stride=2))
    for channel in range(CHANNELS):
        np.testing.assert_array_equal(canvas[:, :, channel], to_canvas(array[:, :, channel, None], 24)[:, :, 0])


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (npy(values(0, channels=4)), "unsupported colour: it has 4 channels; the pictures of this set have 5"),
        (npy(values(0).astype(np.float32)), "unsupported depth: its values are float32; save it as uint8 or uint16"),
        (npy(values(0, side=80).transpose(2, 0, 1)), "unsupported colour: its shape is (5, 80, 88)"),
        (npy(values(0)[:, :, 0]), "unsupported colour: it has 1 channels"),
        (npy(np.zeros((4, 4, 4, 4), np.uint8)), "unsupported colour: its shape is (4, 4, 4, 4)"),
        (npy(np.zeros((61, 100, 5), np.uint8)), "too large: 100x61 pixels; at most 6000"),
        (npy(np.zeros((7, 100, 5), np.uint8)), "too small: 100x7 pixels"),
        (npy(values(0))[:-1], "truncated: cut off: "),
        (npy(values(0))[:40], "truncated: starts like an array of NumPy"),
        (npy(np.array([[[{}] * 5] * 9] * 9, object)), "unsupported depth: its values are object"),
        (b"\xff\xd8\xff", "unsupported colour: it is no array of NumPy and no TIFF"),
    ],
    ids=["channels", "float", "first", "grey", "axes", "large", "small", "cut", "header", "objects", "jpeg"],
)
def test_what_cannot_be_used(encoded, reason):
    with pytest.raises(BadImage) as caught:
        read(encoded)
    assert str(caught.value).startswith(reason)


def test_without_the_check_of_channels_another_shape_would_pass(monkeypatch):
    """A control for the first row above: the rest of the way needs the number."""
    monkeypatch.setattr("bandwise.sources.decoding.multiband._shape", lambda encoded: (40, 48, CHANNELS))
    with pytest.raises(ValueError, match="reshape"):
        read(npy(values(0, channels=4)))


@pytest.mark.parametrize("name", ["grey", "colour", "transparent"])
def test_an_ordinary_tiff_stays_one(name):
    shape, more = {"grey": ((9, 9), {}), "colour": ((9, 9, 3), {}), "transparent": ((9, 9, 4), {"extrasamples": [2]})}[
        name
    ]
    photometric = "minisblack" if name == "grey" else "rgb"
    assert channels_of(tiff(np.zeros(shape, np.uint8), photometric=photometric, **more)) is None


def test_what_reads_several_bands_is_asked_for(tmp_path, monkeypatch, capsys):
    data = folder(tmp_path / "data", tiff, "tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert main(["split", "--data", str(data), "--out", str(tmp_path / "S"), "--canvas", "32"]) == 2
    assert "TIFF files of several bands need tifffile" in capsys.readouterr().err
    assert channels_of(tiff_of_pillow()) is None


def tiff_of_pillow() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "TIFF")
    return stream.getvalue()


def test_a_damaged_tiff_is_left_to_the_decoder():
    encoded = tiff_of_pillow()
    for content in (encoded[:8], encoded[:-1], b"II*\0" + bytes(40)):
        assert channels_of(content) is None


def folder(root, form=npy, extension="npy"):
    for split, count in (("train", 12), ("val", 5)):
        for label, kind in enumerate(("field", "wood")):
            place = root / split / kind
            place.mkdir(parents=True)
            for index in range(count):
                array = values(index + 100 * label + 1000 * (split == "val")) // 2
                array[:, :, label] += 2000
                (place / f"{index}.{extension}").write_bytes(form(array))
    return root


@pytest.mark.parametrize(("form", "extension"), [(npy, "npy"), (tiff, "tif")])
def test_from_the_folder_to_the_prediction(form, extension, tmp_path, capsys):
    data = folder(tmp_path / "data", form, extension)
    (tmp_path / "tiny.yaml").write_text(TINY)
    run = tmp_path / "run"
    command = ["run", tmp_path / "tiny.yaml", "--data", data, "--out", run, "--workers", 1, "--jobs", 1]
    assert main([str(part) for part in command]) == 0
    store = open_store(run / "store")
    assert store.channels == CHANNELS
    assert len(store.mean([0])[0]) == CHANNELS
    assert main(["report", str(run)]) == 0
    assert main(["verify", str(run)]) == 0
    capsys.readouterr()
    assert main(["predict", str(run), str(data / "val" / "wood" / f"0.{extension}"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert row["status"] == "ok"
    assert main(["predict", str(run), str(data / "val"), "--json"]) == 0
    assert [row["status"] for row in json.loads(capsys.readouterr().out)["predictions"]] == ["ok"] * 10
    assert main(["data", "inspect", str(data), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["modes"]) == ["5 channels"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--codec", "webp"], "--codec webp holds 1 or 3 channels and data has 5; use zstd"),
        (["--augment-at", "image"], "augment.at image takes pictures of 1 or 3 channels, not 5; use augment.at band"),
    ],
)
def test_what_only_pictures_can_have_is_refused_first(flags, words, tmp_path, capsys):
    data = folder(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = ["run", str(tmp_path / "tiny.yaml"), "--data", str(data), "--out", str(tmp_path / "run"), *flags]
    assert main(command) == 2
    assert words in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("store/band-*"))


def test_arrays_beside_pictures_are_no_pictures(tmp_path):
    data = folder(tmp_path / "data")
    assert open_folder(data).channels == CHANNELS
    for kind in ("field", "wood"):
        Image.new("RGB", (16, 16)).save(data / "train" / kind / "a.png")
    source = open_folder(data)
    assert source.channels == 3
    listing = source.entries()
    assert [listing.names[int(index)] for index in np.flatnonzero(~listing.val)] == [
        b"train/field/a.png",
        b"train/wood/a.png",
    ]
