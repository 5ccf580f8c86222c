"""Crops and flips of a batch of bands: each sample at its own place, and each flip the flip of the picture."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment.standardise import to_device
from bandwise.bands.transform import Axis, SubbandTransform, flip_group, flip_matrix
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

    @property
    def kinds(self) -> NDArray[np.int64]:
        """Which of the four ways of flipping each sample has, see `GroupFlips`."""
        return self.horizontal + 2 * self.vertical

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

    def effects(self) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]:
        """Return what each way of flipping does to the bands beside mirroring them.

        The ways are 0 for none, 1 across, 2 down and 3 both. That is the sign of each band, float64 (4, nb), for flips
        that are signs alone; and for the others, by way, the matrix to apply.
        """
        signs, matrices = np.ones((4, len(self._bands))), {}
        for way in self._possible:
            matrix = self.matrix(horizontal=bool(way & 1), vertical=bool(way & 2))
            diagonal = np.diagonal(matrix)
            if np.array_equal(matrix, np.diag(diagonal)):
                signs[way] = diagonal
            else:
                matrices[way] = matrix
        return signs, matrices

    def require(self, cuts: Cuts) -> None:
        """Refuse flips that the bands cannot do; as `matrix`."""
        if not set(np.unique(cuts.kinds)) <= set(self._possible):
            self.matrix(horizontal=bool(cuts.horizontal.any()), vertical=bool(cuts.vertical.any()))

    @property
    def _possible(self) -> list[int]:
        across, down = ([0] if each is None else [0, 1] for each in (self._horizontal, self._vertical))
        return [x + 2 * y for y in down for x in across]


class Rows:
    """Some rows of each of several batches, as indices on a device."""

    def __init__(self, mask: NDArray[np.bool_], batch: int, device: torch.device) -> None:
        """Take the rows that are marked, (N,), cut into batches of `batch`; the last may be smaller."""
        chosen = np.flatnonzero(mask)
        self._ends = np.searchsorted(chosen, np.arange(0, max(len(mask), 1) + batch, batch))
        self._rows = to_device(torch.from_numpy(chosen % batch), device)

    def __getitem__(self, number: int) -> Tensor:
        """Return the rows of one batch, int64 (M,)."""
        return self._rows[self.span(number)]

    def span(self, number: int) -> slice:
        """Return where the rows of one batch are among those of all."""
        return slice(int(self._ends[number]), int(self._ends[number + 1]))


@dataclass(frozen=True, slots=True)
class PlacedCuts:
    """The cuts of one batch on a device: to apply them takes nothing more from the host."""

    top: Tensor
    left: Tensor
    vertical: Tensor
    """int64 and bool (B,), as in `Cuts`."""
    kinds: Tensor
    """int64 (B,), the way of flipping."""
    mirrored: Tensor
    """int64 (M,), the rows where left and right are exchanged."""
    mixed: dict[int, Tensor]
    """By way of flipping that mixes bands, the rows that have it."""


def place(cuts: Cuts, batch: int, ways: Iterable[int], device: torch.device) -> Iterator[PlacedCuts]:
    """Move the cuts of some batches of `batch` samples to a device at once, and yield them batch by batch.

    `ways` are those of flipping that mix bands.
    """
    kinds = cuts.kinds
    fields = [to_device(torch.from_numpy(each), device) for each in (cuts.top, cuts.left, cuts.vertical, kinds)]
    mirrored = Rows(cuts.horizontal, batch, device)
    mixed = {way: Rows(kinds == way, batch, device) for way in ways}
    for number, first in enumerate(range(0, max(len(kinds), 1), batch)):
        top, left, vertical, kind = (each[first : first + batch] for each in fields)
        rows = {way: each[number] for way, each in mixed.items()}
        yield PlacedCuts(top, left, vertical, kind, mirrored[number], rows)


def crop_and_mirror(images: Tensor, cuts: PlacedCuts, side: int) -> Tensor:
    """Cut a square of `side` out of every sample and mirror those that are marked: one gather of whole rows.

    Images are (B, channels, H, W) of any type, on the device of the cuts; fastest where the channels lie innermost in
    memory. The result is (B, side, side, channels).
    """
    device = images.device
    records = images.permute(0, 2, 3, 1).contiguous()
    batch, height, width, channels = records.shape
    assert side <= min(height, width), (side, height, width)
    if batch == 0:
        return records.new_empty((0, side, side, channels))
    down = torch.arange(side, device=device)
    rows = cuts.top[:, None] + torch.where(cuts.vertical[:, None], side - 1 - down, down)
    samples = torch.arange(batch, device=device)[:, None]
    starts = ((samples * height + rows) * width + cuts.left[:, None]) * channels
    # Every run of `length` values in memory is a row of this view; rows overlap, none is copied until it is chosen.
    length = side * channels
    runs = records.view(-1).as_strided((records.numel() - length + 1, length), (1, 1))
    squares = runs.index_select(0, starts.view(-1)).view(batch, side, side, channels)
    if len(cuts.mirrored):
        squares[cuts.mirrored] = squares[cuts.mirrored].flip(2)
    return squares


def combine_bands(values: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Apply a matrix to the bands of each pixel, `matrix . (values - offset) + offset`; values (B, h, w, nb * C).

    The matrix is (nb, nb) and the offset (nb, 1), of the type and on the device of the values.
    """
    grouped = values.unflatten(3, (len(matrix), -1)) - offset
    return (torch.einsum("kj,bhwjc->bhwkc", matrix, grouped) + offset).flatten(3)


def _flip(transform: SubbandTransform, bands: tuple[int, ...], axis: Axis, inexact: bool) -> NDArray[np.float64] | None:
    exact = flip_group(transform, bands, axis)
    if exact is not None or not inexact:
        return exact
    if not transform.invertible:
        return np.eye(len(bands))
    own_share = np.diagonal(flip_matrix(transform, axis))[list(bands)]
    return np.diag(np.where(own_share < -_NO_SIGN, -1.0, 1.0))
