"""Crops and flips of a batch of bands: each sample at its own place, and each flip the flip of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment.standardise import to_device
from bandwise.bands.flips import Axis, flip_group, flip_matrix
from bandwise.bands.transform import SubbandTransform
from bandwise.errors import UsageError

_NO_SIGN = 1e-9


@dataclass(frozen=True, slots=True)
class Cuts:
    """Which square each sample of a batch gives, in band pixels; arrays of (B,)."""

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    horizontal: NDArray[np.bool_]
    """Where left and right are exchanged."""
    vertical: NDArray[np.bool_]
    """Where top and bottom are exchanged."""

    @classmethod
    def same(cls, count: int, top: int, left: int, mirrored: bool) -> "Cuts":
        """Return the same square for `count` samples."""
        still = np.zeros(count, bool)
        return cls(np.full(count, top), np.full(count, left), still | mirrored, still)


class GroupFlips:
    """The flips that the bands of one branch can do by themselves.

    Where there is no exact flip and `inexact` allows another, it is the mirror image of the stored band, with the sign
    that the exact flip gives the band's own share: -1 where its entry on the diagonal of the flip matrix is negative,
    and +1 otherwise. That is not the band of the flipped picture: what other bands would contribute is missing.
    """

    def __init__(self, transform: SubbandTransform, bands: Sequence[int], *, inexact: bool) -> None:
        self._bands = tuple(bands)
        self._horizontal = _flip(transform, self._bands, "horizontal", inexact)
        self._vertical = _flip(transform, self._bands, "vertical", inexact)

    def matrix(self, *, horizontal: bool, vertical: bool) -> NDArray[np.float64]:
        """Return A, float64 (nb, nb), with `bands(flip(x)) = A . flip(bands(x))` for coefficients.

        Stored values are coefficients divided by the stride, the same for all bands, so A holds for them too, once the
        offset is taken off.
        """
        result = np.eye(len(self._bands))
        for axis, wanted, matrix in (("h", horizontal, self._horizontal), ("v", vertical, self._vertical)):
            if not wanted:
                continue
            if matrix is None:
                raise UsageError(
                    f"bands {list(self._bands)} cannot do an exact {axis}flip by themselves; use --transform dct2d or "
                    f"hadamard, set --{axis}flip 0, or accept the mere mirror image of the stored bands with "
                    "--inexact-flip"
                )
            result = matrix @ result
        return result

    def signs_and_matrices(
        self, cuts: Cuts
    ) -> tuple[NDArray[np.float64], list[tuple[NDArray[np.int64], NDArray[np.float64]]]]:
        """Return what the flips of a batch do to its bands beside mirroring them.

        That is the sign of each band, float64 (B, nb), for flips that are signs alone; and for the others the samples
        that have them, int64, each time with the matrix to apply.
        """
        signs = np.ones((len(cuts.top), len(self._bands)))
        matrices = []
        for across, down in ((True, False), (False, True), (True, True)):
            chosen = np.flatnonzero((cuts.horizontal == across) & (cuts.vertical == down))
            if not len(chosen):
                continue
            matrix = self.matrix(horizontal=across, vertical=down)
            diagonal = np.diagonal(matrix)
            if np.array_equal(matrix, np.diag(diagonal)):
                signs[chosen] = diagonal
            else:
                matrices.append((chosen, matrix))
        return signs, matrices


def crop_and_mirror(images: Tensor, cuts: Cuts, side: int) -> Tensor:
    """Cut a square of `side` out of every sample and mirror those that are marked: one gather of whole rows.

    Images are (B, channels, H, W) of any type, on any device; fastest where the channels lie innermost in memory. The
    result is (B, side, side, channels).
    """
    device = images.device
    records = images.permute(0, 2, 3, 1).contiguous()
    batch, height, width, channels = records.shape
    assert side <= min(height, width), (side, height, width)
    if batch == 0:
        return records.new_empty((0, side, side, channels))
    top, left, vertical = (torch.from_numpy(each)[:, None] for each in (cuts.top, cuts.left, cuts.vertical))
    down = torch.arange(side)
    rows = top + torch.where(vertical, side - 1 - down, down)
    starts = ((torch.arange(batch)[:, None] * height + rows) * width + left) * channels
    # Every run of `length` values in memory is a row of this view; rows overlap, none is copied until it is chosen.
    length = side * channels
    runs = records.view(-1).as_strided((records.numel() - length + 1, length), (1, 1))
    squares = runs.index_select(0, to_device(starts.view(-1), device)).view(batch, side, side, channels)
    mirrored = to_device(torch.from_numpy(np.flatnonzero(cuts.horizontal)), device)
    if len(mirrored):
        squares[mirrored] = squares[mirrored].flip(2)
    return squares


def combine_bands(values: Tensor, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Tensor:
    """Apply a matrix to the bands of each pixel, `matrix . (values - offset) + offset`; values (B, h, w, nb * C)."""
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
