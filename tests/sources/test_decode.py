"""One rule per kind of picture, to the pixel; what `split` says of them is in `tests/bad_inputs/rows_pictures.py`."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps, features
from tests.bad_inputs.bench import encoded, raw_png

from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode, decoder_versions, to_canvas

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(240), np.arange(320)).astype(np.uint8)[:, :, None].repeat(3, axis=2)
ONE_RULE = {"channels": 3, "background": 255, "exif": "ignore", "max_pixels": 50_000_000}


def pixels(content, **rule):
    return np.asarray(decode(content, **{**ONE_RULE, **rule})[0])


def notes(content, **rule):
    return decode(content, **{**ONE_RULE, **rule})[1]


JPEG = encoded(SMOOTH, "JPEG")
TEXTURED = encoded(RNG.integers(0, 256, (240, 320, 3), dtype=np.uint8), "JPEG", quality=95)


def test_s9_trailing_junk_is_accepted_and_noted():
    assert np.array_equal(pixels(JPEG + b"junk" * 100), pixels(JPEG))
    assert notes(JPEG + b"junk" * 100) == ("bytes after the end of the picture",)


def test_s10_another_format_than_the_name_says():
    content = encoded(SMOOTH, "PNG")
    assert notes(content, name=b"n02105855_2933.JPEG") == ("the extension names another format",)
    assert notes(content, name=b"a.PNG") == notes(content, name=b"a.x") == notes(content) == ()


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("ink", [(200, 30, 60, 40), (0, 0, 0, 0), (10, 250, 128, 90), (0, 0, 0, 255)])
def test_s11_cmyk_jpeg(ink, marker):
    content = encoded(Image.new("CMYK", (32, 32), ink), "JPEG", quality=100)
    start = content.index(b"\xff\xee")
    if not marker:
        content = content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4]) :]
    cyan, magenta, yellow, black = ink
    golden = [(255 - colour) * (255 - black) / 255 for colour in (cyan, magenta, yellow)]
    assert np.abs(pixels(content)[16, 16] - np.array(golden)).max() <= 2
    assert notes(content) == ("CMYK",)


def test_s11_cmyk_tiff_is_not_inverted():
    assert pixels(encoded(Image.new("CMYK", (32, 32), (200, 30, 60, 40)), "TIFF"))[0, 0].tolist() == [46, 190, 164]


def test_s12_grey_bilevel_and_palette():
    grey = SMOOTH[:, :, 0]
    assert np.array_equal(pixels(encoded(grey, "PNG")), SMOOTH)
    bilevel = Image.fromarray(grey).convert("1")
    assert np.array_equal(pixels(encoded(bilevel, "PNG"))[:, :, 0], np.asarray(bilevel) * np.uint8(255))
    palette = Image.fromarray(NOISE).quantize(16)
    assert np.array_equal(pixels(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("background", [0, 128, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P-index", "P-bytes", "RGB-key"])
def test_s12_alpha_over_the_background(mode, background):
    clear = np.zeros((16, 16), bool)
    clear[:, :8] = True
    colour = np.array([[200, 200, 200]], np.uint8) if mode == "LA" else np.array([[200, 100, 50]], np.uint8)
    plain = np.broadcast_to(colour, (16, 16, 3)).copy()
    if mode in ("RGBA", "LA"):
        content = encoded(
            Image.fromarray(np.dstack([plain, np.where(clear, 0, 255).astype(np.uint8)])).convert(mode), "PNG"
        )
    elif mode == "RGB-key":
        plain[clear] = (1, 2, 3)
        content = encoded(plain, "PNG", transparency=(1, 2, 3))
    else:
        picture = Image.fromarray(np.where(clear, 1, 0).astype(np.uint8)).convert("P")
        picture.putpalette([200, 100, 50, 9, 9, 9])
        content = encoded(picture, "PNG", transparency=1 if mode == "P-index" else b"\xff\x00")
    expected = np.where(clear[:, :, None], background, colour)
    assert np.array_equal(pixels(content, background=background), expected)
    assert notes(content) == ("transparency over the background",)


@pytest.mark.parametrize(
    ("picture", "name"), [(NOISE, b"a.ppm"), (NOISE[:, :, 0], b"a.pgm"), (NOISE[:, :, 0] > 99, b"a.PBM")]
)
def test_s12_portable_maps(picture, name):
    """As road signs and other older sets come."""
    content = encoded(picture, "PPM")
    expected = picture * np.uint8(255) if picture.dtype == bool else picture
    assert np.array_equal(pixels(content), expected if expected.ndim == 3 else np.dstack([expected] * 3))
    assert notes(content, name=name) == ()
    assert notes(content, name=b"a.png") == ("the extension names another format",)


def heic(picture):
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(picture)).save(stream, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize("packed", [lambda picture: encoded(picture, "AVIF", quality=95), heic], ids=["avif", "heic"])
def test_s12_photographs_of_telephones(packed):
    content = packed(SMOOTH)
    assert np.abs(pixels(content).astype(int) - SMOOTH).mean() < 3
    assert notes(content, name=b"a.avif") == (
        () if b"avif" in content[:40] else ("the extension names another format",)
    )
    with pytest.raises(BadImage, match=r"truncated: (starts like a|cut off)"):
        decode(content[: len(content) // 2], **ONE_RULE)


def test_s12_what_is_not_installed_is_named(monkeypatch):
    content = heic(SMOOTH)
    monkeypatch.setattr("bandwise.sources.decoding.decode._reads_heic", lambda: False)
    with pytest.raises(BadImage, match=r"unidentified: .*a HEIC photograph, which `pip install 'bandwise\[heic\]'`"):
        decode(content, **ONE_RULE)


def test_s12_a_film_is_no_picture():
    with pytest.raises(BadImage, match=r"unidentified: .*it looks like a film"):
        decode(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(99), **ONE_RULE)


def test_s12_half_transparent_is_blended():
    picture = Image.new("RGBA", (16, 16), (200, 100, 0, 128))
    blended = pixels(encoded(picture, "PNG"), background=0)[0, 0]
    assert np.abs(blended - np.array([200, 100, 0]) * 128 / 255).max() <= 1


def test_s13_16_bit_grey_keeps_its_range():
    deep = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    for content in (encoded(deep, "PNG"), encoded(deep, "TIFF")):
        assert np.array_equal(pixels(content, channels=1), deep >> 8)
        assert notes(content) == ("16 bits reduced to 8",)


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_s13_the_depth_says_which_bits_are_used(depth):
    deep = (np.arange(64 * 64) % (1 << depth)).astype(np.uint16).reshape(64, 64)
    deep[0, 0] = (1 << depth) - 1
    content = encoded(deep, "PNG")
    assert np.array_equal(pixels(content, channels=1, depth=depth), deep >> (depth - 8))
    assert pixels(content, channels=1, depth=8).max() == 255, "larger values are white"
    few = ("16 bits, of which at most 12 are used: near black",) if depth < 16 else ()
    assert notes(content) == ("16 bits reduced to 8", *few)
    assert notes(content, depth=depth) == ("16 bits reduced to 8",)


def test_s13_16_bit_colour_takes_the_high_byte_too():
    deep = RNG.integers(0, 65536, (16, 16, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert np.array_equal(pixels(raw_png((16, 16, 16, 2, 0, 0, 0), rows)), deep >> 8)


def test_s13_12_bit_tiff_is_refused():
    deep = encoded(np.zeros((16, 16), np.uint16), "TIFF")
    twelve = deep.replace(struct.pack("<HHIH", 258, 3, 1, 16), struct.pack("<HHIH", 258, 3, 1, 12))
    assert twelve != deep
    with pytest.raises(BadImage, match="unsupported depth: grey TIFF with"):
        decode(twelve, **ONE_RULE)


def test_s14_damaged_metadata_is_one_note():
    exif = encoded(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 9)
    profile = encoded(SMOOTH, "JPEG", icc_profile=b"no profile at all")
    assert np.array_equal(pixels(exif), pixels(JPEG))
    assert notes(exif) == ("damaged metadata",)
    assert np.array_equal(pixels(profile), pixels(JPEG))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_s15_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(NOISE, "PNG", exif=exif)
    assert np.array_equal(pixels(content), NOISE)
    with Image.open(io.BytesIO(content)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))
    assert np.array_equal(pixels(content, exif="transpose"), upright)
    assert notes(content) == (() if orientation == 1 else ("orientation ignored",))
    assert notes(content, exif="transpose") == (() if orientation == 1 else ("orientation applied",))


@pytest.mark.parametrize("rule", ["ignore", "transpose"])
def test_s15_a_tiff_is_always_turned(rule):
    content = encoded(NOISE, "TIFF", tiffinfo={0x0112: 6})
    assert np.array_equal(pixels(content, exif=rule), np.rot90(NOISE, -1))


@pytest.mark.parametrize(
    ("format_name", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {}), ("MPO", {})]
)
def test_s16_first_of_several_frames(format_name, options):
    second = Image.new("RGB", (320, 240), (0, 255, 0))
    content = encoded(SMOOTH, format_name, save_all=True, append_images=[second], **options)
    assert notes(content) == ("first of several frames",)
    assert np.abs(pixels(content).astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize("size", [(8, 8), (8, 9), (9, 11), (100, 8)])
def test_s17_small_and_odd_sizes_are_used(size):
    canvas = to_canvas(decode(encoded(NOISE[: size[1], : size[0]].repeat(2, axis=1), "PNG"), **ONE_RULE)[0], 16)
    assert canvas.shape == (16, 16, 3)


def test_s18_limit_is_inclusive_and_checked_before_decoding():
    content = encoded(NOISE, "PNG")
    assert pixels(content, max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(BadImage, match="64x48 pixels; at most 3071 are decoded"):
        decode(content, **{**ONE_RULE, "max_pixels": 48 * 64 - 1})


def test_s18_a_limit_above_that_of_pillow(monkeypatch):
    """Pillow refuses above its own limit, which is raised while one of our pictures is decoded and no longer."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    content = encoded(NOISE, "PNG")
    assert pixels(content, max_pixels=48 * 64).shape == (48, 64, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000
    with pytest.raises(BadImage, match="too large: refused by Pillow"):
        decode(content, **{**ONE_RULE, "max_pixels": 999})
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_one_channel_uses_the_luma_weights():
    grey = pixels(encoded(NOISE, "PNG"), channels=1)
    assert grey.shape == NOISE.shape[:2]
    assert np.abs(grey - NOISE @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_arrays_pass_through():
    picture, remarks = decode(NOISE, **ONE_RULE)
    assert picture is NOISE
    assert remarks == ()


def test_versions_name_what_decides_the_pixels():
    versions = decoder_versions()
    assert versions["libjpeg-turbo"] == features.version("libjpeg_turbo")
    assert set(versions) == {"pillow", "libjpeg-turbo", "zlib", "webp", "libtiff"}
