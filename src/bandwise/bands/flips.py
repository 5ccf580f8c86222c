"""Flips of a picture, done to its bands.

A flip turns the order of the phases round inside each block: it mixes the bands by a fixed matrix. That holds for
coefficients; stored bytes follow to the rounding of one step.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bandwise.bands.quantize import check_bands
from bandwise.bands.transform import SubbandTransform

Axis = Literal["horizontal", "vertical"]

_TOLERANCE = 1e-9


def flip_matrix(transform: SubbandTransform, axis: Axis) -> NDArray[np.float64]:
    """Return F with `bands(flip(x)) = F . flip(bands(x))`, float64 (n, n), for any invertible transform.

    It is diagonal with entries +1 and -1 for `dct2d` and `hadamard`, a permutation for `identity`, and full for `dct1d`
    and `random`.
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
    """
    filters = transform.matrix[list(check_bands(transform, bands))]
    wanted = filters @ _flipped_phases(transform, axis)
    mixing = wanted @ np.linalg.pinv(filters)
    if np.abs(mixing @ filters - wanted).max() > _TOLERANCE:
        return None
    nearest = np.rint(mixing)
    return np.where(np.abs(mixing - nearest) < _TOLERANCE, nearest + 0.0, mixing)


def _flipped_phases(transform: SubbandTransform, axis: Axis) -> NDArray[np.float64]:
    """Return the permutation that a flip does to the phases: column c becomes `stride - 1 - c`, or so the row."""
    if axis not in ("horizontal", "vertical"):
        raise ValueError(f"axis is {axis!r}; it must be horizontal or vertical")
    stride = transform.stride
    phases = np.arange(transform.count).reshape(stride, stride)
    turned = phases[:, ::-1] if axis == "horizontal" else phases[::-1]
    return np.eye(transform.count)[turned.reshape(-1)]
