"""What can be done to bands instead of to the picture, exactly.

A crop or a shift by multiples of the stride acts on every band alike. Mixing two pictures, `a x + b y`, mixes their
coefficients in the same way, since the split is linear. A box whose edges lie on the grid covers whole blocks, so
pasting it (cutmix, erasing) is pasting in every band. A flip turns the order of the phases round inside each block: it
mixes the bands by a fixed matrix. All of this holds for coefficients; stored bytes follow to the rounding of one step.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from bandwise.bands.quantize import check_bands
from bandwise.bands.transform import Array, SubbandTransform

Axis = Literal["horizontal", "vertical"]
Box = tuple[int, int, int, int]

_TOLERANCE = 1e-9


def flip_matrix(transform: SubbandTransform, axis: Axis) -> NDArray[np.float64]:
    """Return F with `bands(flip(x)) = F . flip(bands(x))`, float64 (n, n).

    It is diagonal with entries +1 and -1 for `dct2d` and `hadamard`, a permutation for `identity`, and full for `dct1d`
    and `random`.

    Args:
        transform: any invertible kind.
        axis: `horizontal` exchanges left and right, `vertical` top and bottom.

    Raises:
        ValueError: the transform has no inverse (`refft`), or `axis` is another word.
    """
    if not transform.invertible:
        raise ValueError(
            "refft has no flip matrix: a flipped picture is no function of its bands; use dct2d or hadamard"
        )
    return transform.matrix @ _flipped_phases(transform, axis) @ transform.matrix.T


def flip_group(transform: SubbandTransform, bands: Sequence[int], axis: Axis) -> NDArray[np.float64] | None:
    """Return the matrix A with `group(flip(x)) = A . flip(group(x))` for a group of bands, or None where there is none.

    There is one if and only if the flipped filters of the group are combinations of the group's own filters. Entries
    that are 0, 1 or -1 but for rounding are returned as exactly that.

    Returns:
        float64 (nb, nb), or None.

    Raises:
        ValueError: a band does not exist or stands twice, or `axis` is another word.
    """
    filters = transform.matrix[list(check_bands(transform, bands))]
    wanted = filters @ _flipped_phases(transform, axis)
    mixing = wanted @ np.linalg.pinv(filters)
    if np.abs(mixing @ filters - wanted).max() > _TOLERANCE:
        return None
    nearest = np.rint(mixing)
    return np.where(np.abs(mixing - nearest) < _TOLERANCE, nearest + 0.0, mixing)


def aligned_box(box: Box, stride: int) -> Box:
    """Turn a box in image pixels into the same box in band pixels.

    Args:
        box: (top, left, height, width) in image pixels.
        stride: grid step.

    Raises:
        ValueError: an edge is negative or does not lie on the grid.
    """
    if min(box) < 0 or any(edge % stride for edge in box):
        raise ValueError(
            f"box (top, left, height, width) is {box} pixels; for bands each must be a multiple of the stride {stride}"
        )
    top, left, height, width = box
    return top // stride, left // stride, height // stride, width // stride


def crop_bands(bands: Array, box: Box, stride: int) -> Array:
    """Return the bands of a cropped picture, (..., h, w) to a view (..., height / stride, width / stride).

    Raises:
        ValueError: the box is not on the grid or leaves the picture.
    """
    return cast(Any, bands)[_window(bands, box, stride)]


def paste_bands(bands: Array, patch: Array | float, box: Box, stride: int) -> None:
    """Replace a box in place: by the same box of another picture's bands (cutmix), or by a value (erasing).

    Args:
        bands: (..., h, w), numpy or torch.
        patch: the bands of the other picture, same shape as `bands`, or one number.
        box: (top, left, height, width) in image pixels.
        stride: grid step.

    Raises:
        ValueError: the box is not on the grid or leaves the picture.
    """
    window = _window(bands, box, stride)
    cast(Any, bands)[window] = patch if isinstance(patch, (int, float)) else cast(Any, patch)[window]


def _window(bands: Any, box: Box, stride: int) -> Any:
    top, left, height, width = aligned_box(box, stride)
    h, w = bands.shape[-2:]
    if top + height > h or left + width > w:
        raise ValueError(f"box (top, left, height, width) is {box}; the picture has {h * stride} x {w * stride} pixels")
    return ..., slice(top, top + height), slice(left, left + width)


def _flipped_phases(transform: SubbandTransform, axis: Axis) -> NDArray[np.float64]:
    """Return the permutation that a flip does to the phases: column c becomes `stride - 1 - c`, or so the row."""
    if axis not in ("horizontal", "vertical"):
        raise ValueError(f"axis is {axis!r}; it must be horizontal or vertical")
    stride = transform.stride
    phases = np.arange(transform.count).reshape(stride, stride)
    turned = phases[:, ::-1] if axis == "horizontal" else phases[::-1]
    return np.eye(transform.count)[turned.reshape(-1)]
