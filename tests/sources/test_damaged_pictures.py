"""Pictures that are damaged or none: which are refused, in which words, and which only look so."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.bad_inputs.bench import encoded
from tests.sources.test_decode import JPEG, NOISE, ONE_RULE, RNG, TEXTURED, notes

from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode

ZERO_TAIL = TEXTURED[: len(TEXTURED) // 2].ljust(len(TEXTURED), b"\0")
ZERO_HOLE = TEXTURED[: len(TEXTURED) // 2] + bytes(4096) + TEXTURED[len(TEXTURED) // 2 + 4096 :]

BAD_PICTURES = [
    (JPEG[:-2], "truncated", "cut off or damaged"),
    (encoded(NOISE, "PNG")[:2000], "truncated", "cut off or damaged"),
    (encoded(NOISE, "PNG")[:20], "truncated", "starts like a PNG"),
    (encoded(NOISE, "WEBP")[:900], "truncated", "starts like a WEBP"),
    (encoded(NOISE, "GIF")[:900], "truncated", "cut off or damaged"),
    (encoded(NOISE, "BMP")[:900], "truncated", "cut off or damaged"),
    (encoded(NOISE, "TIFF", compression="tiff_lzw")[:900], "truncated", "like a TIFF"),
    (encoded(NOISE[:7], "PNG"), "too small", "64x7 pixels; the short side must have at least 8"),
    (b"<?xml version='1.0'?><svg/>", "unidentified", "an SVG drawing"),
    (b"II*\0", "truncated", "starts like a TIFF"),
    (b"P7 no picture", "unidentified", "not one of JPEG, PNG, WEBP, BMP, GIF, TIFF: 13 bytes of another kind"),
    (encoded(NOISE, "PPM")[:900], "truncated", "cut off or damaged"),
    (b"P6\n99999 99999\n255\n", "too large", "refused by Pillow"),
    (b"P5\n16 16\n65535\n" + bytes(512), "unsupported depth", "mode I"),
    (encoded(NOISE[:, :, 0].astype(np.int32), "TIFF"), "unsupported depth", "mode I"),
    (encoded(Image.new("LAB", (20, 20)), "TIFF"), "unsupported colour", "mode LAB; save it as RGB"),
    (ZERO_TAIL, "suspicious", "the end-of-image marker is missing"),
    (ZERO_HOLE, "suspicious", "512 zero bytes in a row"),
]


@pytest.mark.parametrize(("content", "reason", "words"), BAD_PICTURES, ids=[words for _, _, words in BAD_PICTURES])
def test_bad_picture(content, reason, words):
    with pytest.raises(BadImage, match=words) as caught:
        decode(content, **ONE_RULE)
    assert caught.value.reason == reason


def test_a_palette_with_too_many_transparent_colours():
    """Pillow finds out only when it converts the picture, which is as much a fault of the picture."""
    content = encoded(Image.fromarray(NOISE).quantize(256), "PNG")
    start = content.index(b"IDAT") - 4
    chunk = b"tRNS" + bytes(257)
    added = struct.pack(">I", 257) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(BadImage, match="cut off or damaged: ") as caught:
        decode(content[:start] + added + content[start:], **ONE_RULE)
    assert caught.value.reason == "truncated"
    assert notes(content) == ()


def test_zeros_in_a_jpeg_would_decode_without_an_error():
    for content in (ZERO_TAIL, ZERO_HOLE):
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert picture.size == (320, 240)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"optimize": True, "progressive": True}])
def test_flat_areas_are_not_suspicious(options):
    flat = np.full((1000, 1000, 3), 255, np.uint8)
    flat[300:500, 300:500] = RNG.integers(0, 256, (200, 200, 3))
    content = encoded(flat, "JPEG", **options)
    if options == {"optimize": True}:
        assert bytes(512) in content, "the case that a search for zeros alone would refuse"
    assert notes(content) == ()


def test_end_marker_of_a_thumbnail_does_not_hide_a_missing_end():
    exif = Image.Exif()
    exif[0x010E] = "before"
    textured = RNG.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    thumbnail = encoded(textured[:32, :32], "JPEG")
    with_thumbnail = encoded(textured, "JPEG", quality=95, exif=exif.tobytes() + thumbnail)
    assert notes(with_thumbnail) == ()
    with pytest.raises(BadImage, match="end-of-image marker is missing"):
        notes(with_thumbnail[: len(with_thumbnail) // 2].ljust(len(with_thumbnail), b"\0"))
