"""Augmentation of stored bands that equals the same augmentation of the picture before the split.

What is drawn for a sample is a hash of (seed, epoch, id, purpose): it depends on no other sample, on no worker, and not
on the branch, so all branches see the same crop of the same picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment.draws import Purpose, uniform
from bandwise.augment.geometry import Cuts, GroupFlips, PlacedCuts, combine_bands, crop_and_mirror, place
from bandwise.augment.mixing import Boxes, draw_boxes, paint
from bandwise.augment.standardise import BandStandardiser, standardise, to_device
from bandwise.bands.kernels import compiled_kernels
from bandwise.config import AugmentConfig
from bandwise.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Constants:
    """What is the same for every batch, on a device, for one type of stored values; rows by way of flipping."""

    gain: Tensor
    bias: Tensor
    """(4, 1, crop_side * nb * C)."""
    offset: Tensor
    """(nb, 1)."""
    matrices: dict[int, Tensor]
    grey: Tensor
    """(1, nb * C, 1, 1)."""


class BandCutter:
    """Crops, mirrors and standardises batches of the stored bands of one branch, on any device."""

    def __init__(
        self,
        bands: BandStandardiser,
        *,
        side: int,
        crop_side: int,
        inexact_flip: bool = False,
        portable: bool = False,
        reuse: bool = False,
    ) -> None:
        """Prepare for one branch; the sides of a stored record and of what the network sees are in band pixels.

        With `inexact_flip` it mirrors also where the result is not the band of the mirrored picture. With `reuse` a
        result may be overwritten by the next call: fresh memory for every batch costs more than the arithmetic. Only
        the compiled kernel makes use of it; `portable` leaves that out.
        """
        if not 1 <= crop_side <= side:
            raise UsageError(
                f"crop is {crop_side} band pixels on a side; a stored record has {side}: choose at most that"
            )
        self.bands, self.side, self.crop_side = bands, side, crop_side
        self.flips = GroupFlips(bands.transform, bands.bands, inexact=inexact_flip)
        self.signs, self.matrices = self.flips.effects()
        self._constants: dict[tuple[torch.dtype, torch.device], _Constants] = {}
        self._compiled = compiled_kernels(portable)
        self._reuse = reuse
        self._kept: Tensor | None = None

    def box(self, images: Tensor, top: int, left: int, mirrored: bool = False) -> Tensor:
        """Cut all samples at one place inside the record, in band pixels; shapes and errors as in `cut`."""
        last = self.side - self.crop_side
        if not (0 <= top <= last and 0 <= left <= last):
            raise UsageError(f"crop starts at ({top}, {left}) in band pixels; each must be 0 to {last}")
        return self.cut(images, Cuts.same(len(images), top, left, mirrored))

    def center(self, images: Tensor) -> Tensor:
        """Cut the centre of all samples; shapes as in `cut`."""
        start = (self.side - self.crop_side) // 2
        return self.box(images, start, start)

    def cut(self, images: Tensor, cuts: Cuts) -> Tensor:
        """Cut, mirror and standardise a batch (B, nb * C, side, side), band-major.

        It is uint8 as stored, or floating without offset. The result is float32 (B, nb * C, crop_side, crop_side),
        channels_last in memory; float64 where `images` is.
        """
        expected = (len(cuts.top), self.bands.channels, self.side, self.side)
        assert images.shape == expected, (images.shape, expected)
        self.flips.require(cuts)
        mixed = bool(self.matrices) and not set(self.matrices).isdisjoint(cuts.kinds.tolist())
        if self._compiled is not None and images.dtype == torch.uint8 and not (images.is_cuda or mixed):
            return self._cut_compiled(images, cuts)
        (placed,) = place(cuts, max(1, len(images)), self.matrices, images.device)
        return self.cut_placed(images, placed)

    def cut_placed(self, images: Tensor, cuts: PlacedCuts) -> Tensor:
        """As `cut`, by tensors on the device of the images: nothing is copied from the host but for the first batch."""
        constants = self.constants(images)
        values = crop_and_mirror(images, cuts, self.crop_side)
        for way, rows in cuts.mixed.items():
            if len(rows):
                values = values.to(constants.gain.dtype)
                values[rows] = combine_bands(values[rows], constants.matrices[way], constants.offset)
        gain, bias = (each.index_select(0, cuts.kinds) for each in (constants.gain, constants.bias))
        return standardise(values, gain, bias)

    def constants(self, images: Tensor) -> _Constants:
        """Return what every batch like this one is treated with, on its device."""
        key = images.dtype, images.device
        if key not in self._constants:
            kind = torch.float64 if images.dtype == torch.float64 else torch.float32

            def move(values: NDArray[np.float64]) -> Tensor:
                return to_device(torch.from_numpy(values).to(kind), images.device)

            gain, bias = self.bands.rows(images.dtype, self.crop_side, self.signs, kind=kind, device=images.device)
            self._constants[key] = _Constants(
                gain=gain,
                bias=bias,
                offset=move(self.bands.offsets(images.dtype))[:, None],
                matrices={way: move(matrix) for way, matrix in self.matrices.items()},
                grey=move(self.bands.grey(images.dtype)).view(1, -1, 1, 1),
            )
        return self._constants[key]

    def _cut_compiled(self, images: Tensor, cuts: Cuts) -> Tensor:
        """As crop, mirror and standardise one after another, in one pass and with the same bits."""
        assert self._compiled is not None
        batch, channels, height, width = images.shape
        gain, bias = self.bands.gain_and_bias(images.dtype, self.signs[cuts.kinds])
        shape = batch, self.crop_side, self.crop_side, channels
        result = self._kept if self._kept is not None and self._kept.shape == shape else torch.empty(shape)
        self._kept = result if self._reuse else None
        self._compiled.cut_and_standardise(
            images.permute(0, 2, 3, 1).contiguous().view(batch, height, width * channels).numpy(),
            channels,
            cuts.top,
            cuts.left,
            cuts.horizontal,
            cuts.vertical,
            gain.astype(np.float32),
            bias.astype(np.float32),
            result.view(batch, self.crop_side, -1).numpy(),
        )
        return result.permute(0, 3, 1, 2)


class BandAugment:
    """Draws crops, flips and boxes to erase for the samples of a batch, and applies them.

    A crop starts at a whole band pixel, that is at a multiple of the stride in the picture. A flip mirrors the bands
    and applies the signs, or the matrix, that make it the flip of the picture. Erasing paints a box of whole band
    pixels with grey level 128, after crop and flip. A new augmentation of bands has its draws here.
    """

    def __init__(self, config: AugmentConfig, cutter: BandCutter, seed: int) -> None:
        """Prepare for one branch; `seed` is the same for all branches of a run."""
        self._config, self._cutter, self._seed = config, cutter, seed
        cutter.flips.matrix(horizontal=config.hflip > 0, vertical=config.vflip > 0)

    def __call__(self, images: Tensor, ids: Tensor, epoch: int) -> Tensor:
        """Augment and standardise a batch; shapes as in `BandCutter.cut`, `ids` int64 (B,), best on the CPU."""
        keys = ids.cpu().numpy()
        result = self._cutter.cut(images, self._draw(keys, epoch))
        if self._config.reprob:
            (boxes,) = self._draw_boxes(keys, max(1, len(keys)), epoch, images.device)
            paint(result, boxes, self._cutter.constants(images).grey)
        return result

    def plan(
        self, keys: NDArray[np.int64], batch: int, epoch: int, device: torch.device
    ) -> Iterator[tuple[PlacedCuts, Boxes | None]]:
        """Draw for many samples, by their ids, put all on a device, and yield what `apply` needs batch by batch."""
        cuts = place(self._draw(keys, epoch), batch, self._cutter.matrices, device)
        if not self._config.reprob:
            return ((each, None) for each in cuts)
        return zip(cuts, self._draw_boxes(keys, batch, epoch, device), strict=True)

    def apply(self, images: Tensor, cuts: PlacedCuts, boxes: Boxes | None) -> Tensor:
        """Augment and standardise a batch as `__call__`, by what `plan` drew for it, on the device of the images."""
        result = self._cutter.cut_placed(images, cuts)
        if boxes is not None:
            paint(result, boxes, self._cutter.constants(images).grey)
        return result

    def _draw_boxes(self, keys: NDArray[np.int64], batch: int, epoch: int, device: torch.device) -> Iterator[Boxes]:
        share, side = self._config.reprob, self._cutter.crop_side
        return draw_boxes(keys, batch, side, share=share, seed=self._seed, epoch=epoch, device=device)

    def _draw(self, keys: NDArray[np.int64], epoch: int) -> Cuts:
        room = self._cutter.side - self._cutter.crop_side

        def start(purpose: Purpose) -> NDArray[np.int64]:
            if not (self._config.random_crop and room):
                return np.full(len(keys), room // 2)
            return (uniform(self._seed, epoch, purpose, keys) * (room + 1)).astype(np.int64)

        def flip(purpose: Purpose, share: float) -> NDArray[np.bool_]:
            return uniform(self._seed, epoch, purpose, keys) < share if share else np.zeros(len(keys), bool)

        return Cuts(
            start(Purpose.CROP_TOP),
            start(Purpose.CROP_LEFT),
            flip(Purpose.FLIP_HORIZONTAL, self._config.hflip),
            flip(Purpose.FLIP_VERTICAL, self._config.vflip),
        )
