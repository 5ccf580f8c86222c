"""Row S8: JPEG files that decode without an error although part of them was never written."""

import io

import numpy as np
import pytest
from PIL import Image

from bandwise.sources.decoding.decode import BadImage, decode

RNG = np.random.default_rng(7)


def encoded(pixels, **options):
    """Return the bytes of a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **options)
    return stream.getvalue()


def notes(content):
    """Decode, and return the notes."""
    return decode(content, channels=3, background=255, exif="ignore", max_pixels=50_000_000)[1]


TEXTURED = encoded(RNG.integers(0, 256, (240, 320, 3), dtype=np.uint8), quality=95)
ZERO_TAIL = TEXTURED[: len(TEXTURED) // 2].ljust(len(TEXTURED), b"\0")
ZERO_HOLE = TEXTURED[: len(TEXTURED) // 2] + bytes(4096) + TEXTURED[len(TEXTURED) // 2 + 4096 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [(ZERO_TAIL, "the end-of-image marker is missing"), (ZERO_HOLE, "512 zero bytes in a row")],
    ids=["S8-tail", "S8-hole"],
)
def test_zeros_are_suspicious(content, words):
    with pytest.raises(BadImage, match=words) as caught:
        notes(content)
    assert caught.value.reason == "suspicious"


@pytest.mark.parametrize("content", [ZERO_TAIL, ZERO_HOLE])
def test_zeros_in_a_jpeg_would_decode_without_an_error(content):
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.size == (320, 240)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"optimize": True, "progressive": True}])
def test_flat_areas_are_not_suspicious(options):
    flat = np.full((1000, 1000, 3), 255, np.uint8)
    flat[300:500, 300:500] = RNG.integers(0, 256, (200, 200, 3))
    content = encoded(flat, **options)
    if options == {"optimize": True}:
        assert bytes(512) in content, "the case that a search for zeros alone would refuse"
    assert notes(content) == ()


def test_end_marker_of_a_thumbnail_does_not_hide_a_missing_end():
    exif = Image.Exif()
    exif[0x010E] = "before"
    textured = RNG.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    thumbnail = encoded(textured[:32, :32])
    with_thumbnail = encoded(textured, quality=95, exif=exif.tobytes() + thumbnail)
    assert notes(with_thumbnail) == ()
    with pytest.raises(BadImage, match="end-of-image marker is missing"):
        notes(with_thumbnail[: len(with_thumbnail) // 2].ljust(len(with_thumbnail), b"\0"))
