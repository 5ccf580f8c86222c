"""Random erasing with boxes of whole band pixels, which are boxes of whole blocks in the picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.augment.draws import Purpose, uniform
from bandwise.augment.ondevice import to_device

_AREA = (0.02, 1 / 3)
_SHAPE = (0.3, 3.3)


def erasing_boxes(ids: NDArray[np.int64], side: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw one box for each sample, int64 (N, 4): top, left, height, width in band pixels, inside the picture.

    Area 2 to 33 % and height over width 0.3 to 3.3, as Zhong et al., "Random erasing data augmentation" (2020).
    """
    area, shape, down, across = (
        uniform(seed, epoch, purpose, ids)
        for purpose in (Purpose.ERASE_AREA, Purpose.ERASE_SHAPE, Purpose.ERASE_TOP, Purpose.ERASE_LEFT)
    )
    area = side**2 * (_AREA[0] + (_AREA[1] - _AREA[0]) * area)
    low, high = np.log(_SHAPE)
    ratio = np.exp(low + (high - low) * shape)
    height, width = (np.rint(np.sqrt(each)).clip(1, side) for each in (area * ratio, area / ratio))
    top, left = down * (side - height + 1), across * (side - width + 1)
    return np.stack([top, left, height, width], axis=1).astype(np.int64)


def erase(
    images: Tensor, ids: NDArray[np.int64], grey: NDArray[np.float64], *, share: float, seed: int, epoch: int
) -> None:
    """Paint a box of some samples in place.

    Args:
        images: floating (B, channels, side, side).
        ids: int64 (B,).
        grey: float64 (channels,), the value to paint.
        share: probability that a sample has a box.
        seed: 0 to 2^64 - 1.
        epoch: at least 0.
    """
    chosen = np.flatnonzero(uniform(seed, epoch, Purpose.ERASE, ids) < share)
    if not len(chosen):
        return
    side = images.shape[-1]
    top, left, height, width = erasing_boxes(ids[chosen], side, seed=seed, epoch=epoch).T[:, :, None]
    line = np.arange(side)
    rows, columns = (top <= line) & (line < top + height), (left <= line) & (line < left + width)
    inside = to_device(torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :]), images.device)
    paint = to_device(torch.from_numpy(grey.reshape(1, -1, 1, 1)).to(images.dtype), images.device)
    where = to_device(torch.from_numpy(chosen), images.device)
    images[where] = torch.where(inside, paint, images[where])
