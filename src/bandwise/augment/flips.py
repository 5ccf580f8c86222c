"""Flips of one group of bands: the signs, or the matrix, that make mirrored bands those of the mirrored picture."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment.ondevice import to_device
from bandwise.bands.algebra import Axis, flip_group, flip_matrix
from bandwise.bands.transform import SubbandTransform
from bandwise.errors import UsageError

_NO_SIGN = 1e-9


class GroupFlips:
    """The flips that the bands of one group can do by themselves.

    Where there is no exact flip and `inexact` allows another, it is the mirror image of the stored band, with the sign
    that the exact flip gives the band's own share: -1 where its entry on the diagonal of the flip matrix is negative,
    and +1 otherwise. That is not the band of the flipped picture: what other bands would contribute is missing.
    """

    def __init__(self, transform: SubbandTransform, bands: Sequence[int], *, inexact: bool) -> None:
        """Find the flips of the group `bands`."""
        self._bands = tuple(bands)
        self._horizontal = _flip(transform, self._bands, "horizontal", inexact)
        self._vertical = _flip(transform, self._bands, "vertical", inexact)

    def matrix(self, *, horizontal: bool, vertical: bool) -> NDArray[np.float64]:
        """Return A, float64 (nb, nb), with `group(flip(x)) = A . flip(group(x))` for coefficients.

        Stored values are coefficients divided by the stride, the same for all bands, so A holds for them too, once the
        offset is taken off.

        Raises:
            UsageError: the group has no such flip.
        """
        result = np.eye(len(self._bands))
        for axis, wanted, matrix in (("h", horizontal, self._horizontal), ("v", vertical, self._vertical)):
            if wanted and matrix is None:
                raise UsageError(
                    f"bands {list(self._bands)} cannot do an exact {axis}flip by themselves; use --transform dct2d or "
                    f"hadamard, set --{axis}flip 0, or accept the mere mirror image of the stored bands with "
                    "--inexact-flip"
                )
            if wanted and matrix is not None:
                result = matrix @ result
        return result


def combine_bands(values: Tensor, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Tensor:
    """Apply a matrix to the bands of each pixel: `matrix . (values - offset) + offset`.

    Args:
        values: floating (B, h, w, nb * C), band-major.
        matrix: float64 (nb, nb).
        offset: float64 (nb,).
    """
    centre, mixing = (
        to_device(torch.from_numpy(each).to(values.dtype), values.device) for each in (offset[:, None], matrix)
    )
    grouped = values.unflatten(3, (len(matrix), -1)) - centre
    return (torch.einsum("kj,bhwjc->bhwkc", mixing, grouped) + centre).flatten(3)


def _flip(transform: SubbandTransform, bands: tuple[int, ...], axis: Axis, inexact: bool) -> NDArray[np.float64] | None:
    exact = flip_group(transform, bands, axis)
    if exact is not None or not inexact:
        return exact
    if not transform.invertible:
        return np.eye(len(bands))
    own_share = np.diagonal(flip_matrix(transform, axis))[list(bands)]
    return np.diag(np.where(own_share < -_NO_SIGN, -1.0, 1.0))
