"""From a picture to a canvas: the central square and its resizing, against slices and a filter written out."""

import io

import numpy as np
import pytest
from PIL import Image

from bandwise.config import SplitConfig
from bandwise.sources.decoding.decode import load_canvas, to_canvas
from bandwise.sources.decoding.sniff import BadImage

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(48, 64), (64, 48), (49, 64), (48, 48)])
def test_canvas_without_resampling_is_the_central_square(shape):
    picture = NOISE.repeat(2, axis=0)[: shape[0], : shape[1]]
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    assert np.array_equal(to_canvas(picture, side), picture[top : top + side, left : left + side])
    assert np.array_equal(to_canvas(Image.fromarray(picture), side), to_canvas(picture, side))


@pytest.mark.parametrize(("shape", "side"), [((60, 90), 20), ((90, 61), 24), ((30, 40), 64), ((33, 33), 32)])
def test_canvas_is_a_triangle_filter_of_the_square(shape, side):
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    short = min(shape)
    rows = triangle_weights(shape[0], (shape[0] - short) // 2, short, side)
    columns = triangle_weights(shape[1], (shape[1] - short) // 2, short, side)
    expected = np.einsum("ih,hwc,jw->ijc", rows, picture.astype(float), columns)
    assert np.abs(to_canvas(picture, side) - expected).max() <= 1.01


def triangle_weights(length, start, short, side):
    """Return the weights (side, length) of a bilinear filter that widens when it shrinks."""
    scale = short / side
    support = max(scale, 1.0)
    centres = start + (np.arange(side) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centres[:, None]) / support)
    return weights / weights.sum(axis=1, keepdims=True)


def test_grey_canvas_has_one_channel_and_is_writable():
    canvas = to_canvas(NOISE[:, :, :1], 16)
    assert canvas.shape == (16, 16, 1)
    assert canvas.flags.writeable


def test_load_canvas_uses_the_configuration():
    stream = io.BytesIO()
    Image.new("RGBA", (40, 20), (9, 9, 9, 0)).save(stream, "PNG")
    content = stream.getvalue()

    class One:
        root, name, classes, channels, fingerprint = None, "one", ("a",), 3, {}

        def entries(self):
            return []

        def read(self, path):
            return {b"a.png": content}[path]

    canvas, remarks = load_canvas(One(), b"a.png", SplitConfig(canvas=8, background=17))
    assert canvas.shape == (8, 8, 3)
    assert set(canvas.ravel().tolist()) == {17}
    assert remarks == ("transparency over the background", "one colour all over")
    with pytest.raises(BadImage, match="at most 100 are decoded"):
        load_canvas(One(), b"a.png", SplitConfig(canvas=8, max_pixels=100))
