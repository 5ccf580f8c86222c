"""What is impossible is refused, and the message says what was given and what is allowed."""

import numpy as np
import pytest
import torch

from bandwise.bands.module import BandSplit
from bandwise.bands.quantize import BandQuantizer, band_sums, reference_split
from bandwise.bands.transform import SubbandTransform, flip_group, flip_matrix

DCT, FOUR, REFFT = SubbandTransform(2, "dct2d"), SubbandTransform(4, "dct2d"), SubbandTransform(2, "refft")
PICTURES = {
    r"image is float64 \(4, 4, 3\); uint8 \(height, width, channels\)": np.zeros((4, 4, 3)),
    r"image is uint8 \(4, 4\)": np.zeros((4, 4), np.uint8),
    r"image is uint8 \(4, 4, 0\)": np.zeros((4, 4, 0), np.uint8),
    "height is 5 pixels.*nearest is 4 or 6": np.zeros((5, 4, 3), np.uint8),
    "width is 1 pixels.*nearest is 2:": np.zeros((4, 1, 3), np.uint8),
}
SIZES = {
    r"height is 223 pixels.* stride 4; the nearest is 220 or 224": (223, 224),
    r"width is 6 pixels.* nearest is 4 or 8": (224, 6),
    r"height is 3 pixels.* nearest is 4:": (3, 4),
    r"width is 0 pixels": (4, 0),
}
REFUSED = [
    (lambda: SubbandTransform(0, "dct2d"), "stride is 0; it must be 1 to 8"),
    (lambda: SubbandTransform(9, "dct2d"), "stride is 9; it must be 1 to 8"),
    (lambda: SubbandTransform(2, "dft"), "transform is 'dft'; choose one of dct1d, dct2d"),
    (lambda: SubbandTransform(3, "hadamard"), "hadamard exists for the strides 1, 2, 4 and 8 only"),
    (lambda: SubbandTransform(2, "random", -1), "seed is -1"),
    (lambda: DCT.has_mean(4), "band is 4; stride 2 has the bands 0 to 3"),
    (lambda: DCT.matrix.__setitem__(0, 2), "read-only"),
    (lambda: REFFT.inverse(np.zeros((4, 1, 1))), "its band k equals its band n-k"),
    (lambda: DCT.forward(np.zeros(4)), "at least two axes"),
    *((lambda size=size: FOUR.forward(np.zeros(size)), message) for message, size in SIZES.items()),
    *((lambda size=size: FOUR.forward(torch.zeros(1, 3, *size)), message) for message, size in SIZES.items()),
    *(
        (lambda shape=shape: DCT.inverse(np.zeros(shape)), r"stride 2 needs \(4, \.\.\., height, width\)")
        for shape in ((4, 5), (3, 5, 5), (16, 5, 5))
    ),
    *((lambda image=image: BandQuantizer(DCT).split(image), message) for message, image in PICTURES.items()),
    *((lambda image=image: reference_split(image, DCT), message) for message, image in PICTURES.items()),
    *(
        (lambda bands=bands: BandQuantizer(DCT, bands), "choose different ones of 0 to 3")
        for bands in ([], [4], [-1], [0, 0])
    ),
    *(
        (lambda bad=bad: BandQuantizer(DCT).dequantize(bad), r"uint8 or float16 \(4, \.\.\.\) is needed")
        for bad in (np.zeros((3, 1), np.uint8), np.zeros((4, 1), np.float32), np.uint8(0))
    ),
    *(
        (lambda bad=bad: band_sums(bad), r"uint8 \(bands, height, width, channels\) is needed")
        for bad in (np.zeros((1, (1 << 16) + 1, 1, 1), np.uint8), np.zeros((1, 2, 2, 1), np.float32))
    ),
    (lambda: BandSplit(FOUR)(torch.zeros(3, 8, 8)), r"\(batch, channels, height, width\) is needed"),
    (lambda: BandSplit(FOUR)(torch.zeros(1, 3, 8, 10)), r"width is 10 pixels.*nearest is 8 or 12"),
    (lambda: BandSplit(FOUR, [16]), "choose different ones of 0 to 15"),
    (lambda: flip_matrix(DCT, "sideways"), "axis is 'sideways'; it must be horizontal or vertical"),
    (lambda: flip_group(DCT, [4], "horizontal"), "choose different ones of 0 to 3"),
    (lambda: flip_matrix(REFFT, "vertical"), "a flipped picture is no function of its bands"),
]


def test_what_is_impossible_is_refused():
    for call, message in REFUSED:
        with pytest.raises(ValueError, match=message):
            call()
