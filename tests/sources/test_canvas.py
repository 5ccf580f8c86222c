"""From a picture to a canvas: the central square and its resizing, against slices and a filter written out."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests.bad_inputs.bench import encoded
from tests.sources.test_decode import NOISE, ONE_RULE, RNG, pixels

from bandwise.config import AugmentConfig, SplitConfig
from bandwise.serving import predict
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode, decode_canvas, load_canvas, to_canvas
from bandwise.training.pictures import Pictures

LARGE = encoded(Image.fromarray(NOISE[:12, :16]).resize((801, 603), Image.Resampling.BICUBIC), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("least", "size"), [(0, (801, 603)), (302, (801, 603)), (301, (401, 302)), (150, (201, 151)), (8, (101, 76))]
)
def test_s18_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(least, size):
    picture, said = decode(LARGE, **ONE_RULE, least_side=least)
    assert picture.size == size
    assert ("decoded at a fraction of its size" in said) == (size != (801, 603))


def test_s18_the_fraction_is_near_the_whole():
    whole, near, far = (
        to_canvas(decode(LARGE, **ONE_RULE, least_side=64 * draft)[0], 64).astype(int) for draft in (0, 2, 1)
    )
    assert 0 < np.abs(near - whole).mean() < min(4, np.abs(far - whole).mean())
    png = encoded(NOISE, "PNG")
    assert (pixels(png, least_side=8) == NOISE).all(), "other formats are decoded whole"
    with pytest.raises(BadImage, match="too large"):
        decode(LARGE, **{**ONE_RULE, "max_pixels": 801 * 603 - 1}, least_side=8)


def test_s18_split_training_and_serving_see_the_same_pixels(tmp_path):
    config = SplitConfig(canvas=64, draft=1)
    path = tmp_path / "large.jpg"
    path.write_bytes(LARGE)
    source = SimpleNamespace(read=lambda name: LARGE, channels=3)
    stored, _ = decode_canvas(LARGE, b"large.jpg", 3, config)
    assert (stored != decode_canvas(LARGE, b"large.jpg", 3, SplitConfig(canvas=64))[0]).any()
    trained = Pictures(source, config, AugmentConfig(at="image", random_crop=False, hflip=0), 64)._decode(b"large.jpg")
    served = predict.load_input(SimpleNamespace(split_config=config, channels=3), predict.Input(bytes(path)))[1]
    assert (np.asarray(trained) == stored).all()
    assert (served == stored).all()


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
    content = encoded(Image.new("RGBA", (40, 20), (9, 9, 9, 0)), "PNG")
    source = SimpleNamespace(read={b"a.png": content}.__getitem__, channels=3)
    canvas, remarks = load_canvas(source, b"a.png", SplitConfig(canvas=8, background=17))
    assert canvas.shape == (8, 8, 3)
    assert set(canvas.ravel().tolist()) == {17}
    assert remarks == ("transparency over the background", "one colour all over")
    with pytest.raises(BadImage, match="at most 100 are decoded"):
        load_canvas(source, b"a.png", SplitConfig(canvas=8, max_pixels=100))
