"""Mixup, cutmix and random erasing of a batch of bands, and soft targets.

All are the same operation on the pictures before the split: mixup because the split is linear, the others because a box
of whole band pixels is a box of whole blocks. What is drawn follows from the ids of the batch, the seed and the epoch,
so branches that see the same ids treat the same pictures in the same way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from bandwise.augment.draws import Purpose, hashes, uniform
from bandwise.augment.geometry import Rows
from bandwise.augment.standardise import to_device
from bandwise.config import AugmentConfig

# Least and largest share of the picture, and height over width, of a box to erase.
_AREA = (0.02, 1 / 3)
_SHAPE = (0.3, 3.3)


def soft_targets(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return targets float32 (B, num_classes): `smoothing / num_classes` everywhere, and the rest on the label.

    Label smoothing as Szegedy et al., "Rethinking the Inception architecture" (2016), and as torch's cross entropy.
    """
    return one_hot(labels, num_classes).float() * (1 - smoothing) + smoothing / num_classes


def partners(ids: NDArray[np.int64], *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return for each sample of a batch the index of the one it is mixed with, int64 (B,).

    The samples stand on a ring in the order of a hash of their ids, and each takes the next. So a sample has the same
    partner wherever it stands in the batch, and never itself unless it is alone.
    """
    ring = np.argsort(hashes(seed, epoch, Purpose.MIX_PARTNER, ids), kind="stable")
    chosen = np.empty_like(ring)
    chosen[ring] = np.roll(ring, -1)
    return chosen


@dataclass(frozen=True, slots=True)
class Mixing:
    """How the samples of one batch are mixed."""

    partner: NDArray[np.int64]
    """(B,), the index of the sample that each one is mixed with."""
    weight: float
    """Share of the sample itself."""
    box: tuple[int, int, int, int] | None
    """Top, left, height and width of what comes from the partner; None for mixup."""


def draw_mixing(
    keys: NDArray[np.int64], sides: tuple[int, int], *, config: AugmentConfig, seed: int, epoch: int
) -> Mixing:
    """Draw how a batch of these ids is mixed, with images of that height and width.

    Where both are on, a batch has one of them, with equal chances. The weight is drawn from Beta(alpha, alpha) for the
    batch: mixup as Zhang et al. (2018), cutmix as Yun et al. (2019) with the weight corrected to the box.
    """
    # The exclusive or does not depend on the order of the batch.
    batch_key = int(np.bitwise_xor.reduce(hashes(seed, epoch, Purpose.MIX_BATCH, keys)))
    random = np.random.Generator(np.random.PCG64(batch_key))
    partner = partners(keys, seed=seed, epoch=epoch)
    pasting = bool(config.cutmix) and (not config.mixup or random.random() < 0.5)
    alpha = config.cutmix if pasting else config.mixup
    weight = random.beta(alpha, alpha)
    if not pasting:
        return Mixing(partner, weight, None)
    box = cutmix_box(weight, *sides, random.random(), random.random())
    return Mixing(partner, 1 - box[2] * box[3] / (sides[0] * sides[1]), box)


def blend(images: Tensor, targets: Tensor, mixing: Mixing, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Mix every sample of a batch, and its target, as drawn; `partner` is that of `mixing` on the images' device."""
    weight = mixing.weight
    if mixing.box is None:
        mixed = images * weight + images[partner] * (1 - weight)
    else:
        top, left, height, width = mixing.box
        box = (..., slice(top, top + height), slice(left, left + width))
        mixed = images.clone()
        mixed[box] = images[box][partner]
    others = targets[partner.to(targets.device)]
    return mixed, targets * weight + others * (1 - weight)


def mix(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    config: AugmentConfig,
    ids: Tensor,
    seed: int,
    epoch: int,
    smoothing: float,
) -> tuple[Tensor, Tensor]:
    """Mix every sample of a batch with its partner.

    Images are floating (B, channels, h, w); where nothing is mixed they are given back. The soft targets, float32
    (B, K), come on the device of the labels; the ids are best on the CPU.
    """
    targets = soft_targets(labels, num_classes, smoothing)
    if not (config.mixup or config.cutmix) or not len(images):
        return images, targets
    height, width = images.shape[2:]
    mixing = draw_mixing(ids.cpu().numpy(), (height, width), config=config, seed=seed, epoch=epoch)
    return blend(images, targets, mixing, to_device(torch.from_numpy(mixing.partner), images.device))


def cutmix_box(weight: float, height: int, width: int, down: float, across: float) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a box with about `1 - weight` of the area, cut off at the edges.

    Its centre is `down` from the top and `across` from the left, shares of the picture in [0, 1).
    """
    share = (1 - weight) ** 0.5
    edges = []
    for length, centre in ((height, down), (width, across)):
        size, middle = int(length * share), int(length * centre)
        start = middle - size // 2
        edges.append((max(0, start), min(length, start + size)))
    (top, bottom), (left, right) = edges
    return top, left, bottom - top, right - left


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


@dataclass(frozen=True, slots=True)
class Boxes:
    """What is erased of a batch, on a device."""

    rows: Tensor
    """int64 (M,), the samples of which something is."""
    edges: Tensor
    """int64 (M, 4): top, left, height and width."""


def draw_boxes(
    keys: NDArray[np.int64],
    batch: int,
    side: int,
    *,
    share: float,
    seed: int,
    epoch: int,
    device: torch.device,
) -> Iterator[Boxes]:
    """Draw a box for a share of many samples, put all on a device, and yield those of each batch of `batch`."""
    mask = uniform(seed, epoch, Purpose.ERASE, keys) < share
    rows = Rows(mask, batch, device)
    edges = to_device(torch.from_numpy(erasing_boxes(keys[mask], side, seed=seed, epoch=epoch)), device)
    for number in range(max(1, -(-len(keys) // batch))):
        yield Boxes(rows[number], edges[rows.span(number)])


def paint(images: Tensor, boxes: Boxes, grey: Tensor) -> None:
    """Paint `grey`, (1, channels, 1, 1), into boxes of some images (B, channels, side, side), in place."""
    if not len(boxes.rows):
        return
    line = torch.arange(images.shape[-1], device=images.device)
    top, left, height, width = boxes.edges.T[:, :, None]
    rows, columns = (top <= line) & (line < top + height), (left <= line) & (line < left + width)
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    images[boxes.rows] = torch.where(inside, grey, images[boxes.rows])
