"""Augmentation of stored bands that equals the same augmentation of the picture before the split.

What is drawn for a sample is a hash of (seed, epoch, id, purpose): it depends on no other sample, on no worker, and not
on the branch, so all branches see the same crop of the same picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment import mixing
from bandwise.augment.draws import Purpose, uniform
from bandwise.augment.erase import erase
from bandwise.augment.flips import GroupFlips, combine_bands
from bandwise.augment.geometry import crop_and_mirror
from bandwise.augment.kernels import record_kernels
from bandwise.augment.ondevice import to_device
from bandwise.augment.standardise import BandStandardiser
from bandwise.bands.kernels import Kernel
from bandwise.bands.transform import SubbandTransform
from bandwise.config import AugmentConfig
from bandwise.errors import UsageError


class BandAugment:
    """Crops, flips, standardises and erases the bands of one group.

    A crop starts at a whole band pixel, that is at a multiple of the stride in the picture. A flip mirrors the bands
    and applies the signs, or the matrix inside the group, that make it the flip of the picture. Erasing paints a box of
    whole band pixels with grey level 128, after crop and flip.
    """

    def __init__(
        self,
        config: AugmentConfig,
        *,
        transform: SubbandTransform,
        bands: Sequence[int],
        channels: int,
        side: int,
        crop_side: int,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
        seed: int,
        kernel: Kernel = "auto",
        reuse: bool = False,
    ) -> None:
        """Prepare for one branch.

        Args:
            config: which operations, how often.
            transform: the transform of the store.
            bands: the group of the branch, in the order of the channels.
            channels: colour channels C.
            side: side of a stored record in band pixels.
            crop_side: side of what the network sees, in band pixels.
            mean: float64 (nb, C) of the stored values.
            std: float64 (nb, C) of the stored values.
            seed: 0 to 2^64 - 1; the same for all branches of a run.
            kernel: which code cuts bytes on a CPU; the values are equal.
            reuse: whether a result may be overwritten by the next call. Fresh memory for every batch costs more than
                the arithmetic. Only the compiled kernel makes use of it.

        Raises:
            ValueError: the kernel cannot be had.
            UsageError: a flip is asked for that the group cannot do exactly, or the crop is larger than the record.
        """
        if not 1 <= crop_side <= side:
            raise UsageError(
                f"crop is {crop_side} band pixels on a side; a stored record has {side}: choose at most that"
            )
        assert mean.shape == (len(bands), channels), (mean.shape, len(bands), channels)
        self.config, self.seed = config, seed
        self._bands, self._channels = len(bands), channels
        self._side, self._crop_side = side, crop_side
        self._standardise = BandStandardiser(transform, bands, mean, std)
        self._compiled = record_kernels(kernel)
        self._reuse = reuse
        self._kept: Tensor | None = None
        self._flips = GroupFlips(transform, bands, inexact=config.inexact_flip)
        self._flips.matrix(horizontal=config.hflip > 0, vertical=config.vflip > 0)

    def __call__(self, images: Tensor, ids: Tensor, epoch: int) -> Tensor:
        """Augment and standardise a batch for training.

        Args:
            images: (B, nb * C, side, side), band-major: uint8 as stored, or floating values without offset.
            ids: int64 (B,), best on the CPU.
            epoch: at least 0.

        Returns:
            float32 (B, nb * C, crop_side, crop_side), channels_last in memory; float64 where `images` is.
        """
        keys = ids.cpu().numpy()
        room = self._side - self._crop_side
        if self.config.random_crop and room:
            top, left = (
                (uniform(self.seed, epoch, purpose, keys) * (room + 1)).astype(np.int64)
                for purpose in (Purpose.CROP_TOP, Purpose.CROP_LEFT)
            )
        else:
            top = left = np.full(len(keys), room // 2)
        horizontal, vertical = (
            uniform(self.seed, epoch, purpose, keys) < share if share else np.zeros(len(keys), bool)
            for purpose, share in (
                (Purpose.FLIP_HORIZONTAL, self.config.hflip),
                (Purpose.FLIP_VERTICAL, self.config.vflip),
            )
        )
        result = self._cut(images, top, left, horizontal, vertical)
        if self.config.reprob:
            grey = self._standardise.grey(images.dtype).ravel()
            erase(result, keys, grey, share=self.config.reprob, seed=self.seed, epoch=epoch)
        return result

    def standardise_center(self, images: Tensor) -> Tensor:
        """Crop the centre and standardise, for evaluation; shapes as in a call."""
        start = (self._side - self._crop_side) // 2
        return self.standardise_box(images, start, start)

    def standardise_box(self, images: Tensor, top: int, left: int, mirrored: bool = False) -> Tensor:
        """Crop all samples at one place, in band pixels, mirror them or not, and standardise: one of ten crops.

        Raises:
            UsageError: the box leaves the record, or the group has no exact mirror image.
        """
        last = self._side - self._crop_side
        if not (0 <= top <= last and 0 <= left <= last):
            raise UsageError(f"crop starts at ({top}, {left}) in band pixels; each must be 0 to {last}")
        batch = len(images)
        still = np.zeros(batch, bool)
        return self._cut(images, np.full(batch, top), np.full(batch, left), still | mirrored, still)

    def mix(
        self, images: Tensor, labels: Tensor, num_classes: int, ids: Tensor, epoch: int, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Apply mixup or cutmix to augmented images.

        Args:
            images: floating (B, nb * C, crop_side, crop_side).
            labels: int64 (B,), on the device of the targets to return.
            num_classes: K.
            ids: int64 (B,), best on the CPU.
            epoch: at least 0.
            smoothing: label smoothing.

        Returns:
            The images and soft targets float32 (B, K).
        """
        return mixing.mix(
            images,
            labels,
            num_classes,
            ids=ids,
            seed=self.seed,
            epoch=epoch,
            mixup=self.config.mixup,
            cutmix=self.config.cutmix,
            smoothing=smoothing,
        )

    def _cut(
        self,
        images: Tensor,
        top: NDArray[np.int64],
        left: NDArray[np.int64],
        horizontal: NDArray[np.bool_],
        vertical: NDArray[np.bool_],
    ) -> Tensor:
        expected = (len(top), self._bands * self._channels, self._side, self._side)
        assert images.shape == expected, (images.shape, expected)
        signs = np.ones((len(top), self._bands))
        combined: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        for across, down in ((True, False), (False, True), (True, True)):
            chosen = np.flatnonzero((horizontal == across) & (vertical == down))
            if not len(chosen):
                continue
            matrix = self._flips.matrix(horizontal=across, vertical=down)
            diagonal = np.diagonal(matrix)
            if np.array_equal(matrix, np.diag(diagonal)):
                signs[chosen] = diagonal
            else:
                combined.append((chosen, matrix))
        if self._compiled is not None and images.dtype == torch.uint8 and not (images.is_cuda or combined):
            return self._cut_compiled(images, top, left, horizontal, vertical, signs)
        values = crop_and_mirror(
            images,
            torch.from_numpy(top),
            torch.from_numpy(left),
            self._crop_side,
            horizontal=torch.from_numpy(horizontal),
            vertical=torch.from_numpy(vertical),
        )
        for chosen, matrix in combined:
            values = values if values.dtype == torch.float64 else values.float()
            where = to_device(torch.from_numpy(chosen), values.device)
            values[where] = combine_bands(values[where], matrix, self._standardise.offsets(images.dtype))
        return self._standardise(values, signs, images.dtype)

    def _cut_compiled(
        self,
        images: Tensor,
        top: NDArray[np.int64],
        left: NDArray[np.int64],
        horizontal: NDArray[np.bool_],
        vertical: NDArray[np.bool_],
        signs: NDArray[np.float64],
    ) -> Tensor:
        """As crop, mirror and standardise one after another, in one pass and with the same bits."""
        assert self._compiled is not None
        batch, channels, height, width = images.shape
        gain, bias = self._standardise.gain_and_bias(signs, images.dtype)
        records = images.permute(0, 2, 3, 1).contiguous().view(batch, height, width * channels)
        result = self._result(batch, channels)
        self._compiled.cut_and_standardise(
            records.numpy(),
            channels,
            top,
            left,
            horizontal,
            vertical,
            gain.astype(np.float32),
            bias.astype(np.float32),
            result.view(batch, self._crop_side, -1).numpy(),
        )
        return result.permute(0, 3, 1, 2)

    def _result(self, batch: int, channels: int) -> Tensor:
        shape = batch, self._crop_side, self._crop_side, channels
        if not self._reuse:
            return torch.empty(shape)
        if self._kept is None or self._kept.shape != shape:
            self._kept = torch.empty(shape)
        return self._kept
