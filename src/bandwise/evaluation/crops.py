"""Where test crops lie. Sides are in pixels of a band, so every position is a multiple of the stride on the canvas.

Multiply side, crop, top and left by the stride for the same crops of the canvas; both ways show the same pixels.
"""

from bandwise.errors import UsageError

CropBox = tuple[int, int, bool]
"""Top and left in pixels, and whether the crop is mirrored left to right after it is cut."""


def center_box(side: int, crop: int) -> tuple[int, int]:
    """Return top and left of the central crop; where the margin is odd the smaller half is above and to the left."""
    if not 1 <= crop <= side:
        raise UsageError(f"a crop of {crop} px does not fit a band of {side} px; choose 1 to {side} (crop / stride)")
    margin = (side - crop) // 2
    return margin, margin


def ten_crop_boxes(side: int, crop: int) -> tuple[CropBox, ...]:
    """Return the ten standard crops: top left, top right, bottom left, bottom right, centre, then their mirrors.

    Box `i + 5` is the mirror of the pixels of box `i`. That differs from crops of the mirrored image only in the
    centre, by one pixel, and only where `side - crop` is odd.

    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks (2012), section 4.1.
    """
    center = center_box(side, crop)
    far = side - crop
    corners = ((0, 0), (0, far), (far, 0), (far, far), center)
    return tuple((top, left, mirrored) for mirrored in (False, True) for top, left in corners)


def evaluation_boxes(side: int, crop: int, crops: int) -> tuple[CropBox, ...]:
    """Return the crops that an image is evaluated on: 1 is the centre, 10 are those of `ten_crop_boxes`."""
    if crops not in (1, 10):
        raise UsageError(f"crops is {crops}; it must be 1 or 10")
    return ((*center_box(side, crop), False),) if crops == 1 else ten_crop_boxes(side, crop)
