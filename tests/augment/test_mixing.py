"""Mixup, cutmix and erasing of bands are those of the pictures; targets follow; branches agree."""

import numpy as np
import pytest
import torch
from tests.augment import exact
from torch.nn import functional

from bandwise.augment.mixing import cutmix_box, erasing_boxes, mix, partners, soft_targets
from bandwise.bands.quantize import scales
from bandwise.bands.transform import SubbandTransform
from bandwise.config import AugmentConfig

SIDE = 6
SPLITS = [("dct2d", 2), ("dct1d", 3), ("hadamard", 4), ("identity", 2), ("random", 2)]


def split(pictures: torch.Tensor, transform: SubbandTransform) -> torch.Tensor:
    """Coefficients of all bands over the scale, (B, n * C, h, w)."""
    bands = transform.forward(pictures) / torch.from_numpy(scales(transform)).reshape(-1, 1, 1, 1, 1)
    return bands.transpose(0, 1).flatten(1, 2)


def pictures_for(stride: int, count: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 3, SIDE * stride, SIDE * stride), generator=generator, dtype=torch.float64) * 255


def mixed(
    images: torch.Tensor, ids: torch.Tensor, epoch: int = 0, **options: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each sample is a class of its own, so that the targets show who was mixed with whom, and how much."""
    labels = torch.arange(len(images))
    config = AugmentConfig(**options)
    return mix(images, labels, len(images), config=config, ids=ids, seed=2, epoch=epoch, smoothing=0.0)


def partner_and_weight(targets: torch.Tensor) -> tuple[list[int], float]:
    own = targets.diagonal()
    assert (own == own[0]).all()
    others = targets - torch.diag(own)
    torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))
    return others.argmax(1).tolist(), float(own[0])


@pytest.mark.parametrize(("kind", "stride"), SPLITS)
def test_mixup_of_bands_is_mixup_of_pictures(kind: str, stride: int) -> None:
    transform, pictures, ids = SubbandTransform(stride, kind), pictures_for(stride), torch.arange(50, 59)
    result, targets = mixed(split(pictures, transform), ids, mixup=1.0)
    partner, weight = partner_and_weight(targets)
    assert 0.01 < weight < 0.99
    expected = split(weight * pictures + (1 - weight) * pictures[partner], transform)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kind", "stride"), SPLITS)
def test_cutmix_of_bands_is_cutmix_of_pictures(kind: str, stride: int) -> None:
    transform, pictures, ids = SubbandTransform(stride, kind), pictures_for(stride), torch.arange(50, 59)
    bands = split(pictures, transform)
    for epoch in range(8):
        result, targets = mixed(bands, ids, epoch, cutmix=1.0)
        changed = (result != bands).any(dim=1)
        rows, columns = changed[0].any(1).nonzero().ravel().tolist(), changed[0].any(0).nonzero().ravel().tolist()
        area = len(rows) * len(columns)
        assert changed.sum(dim=(1, 2)).tolist() == [area] * len(bands), "one rectangle, the same for the batch"
        if not area:
            assert torch.equal(targets, torch.eye(9))
            continue
        partner, weight = partner_and_weight(targets)
        assert weight == pytest.approx(1 - area / SIDE**2)
        expected = pictures.clone()
        box = (
            ...,
            slice(rows[0] * stride, (rows[-1] + 1) * stride),
            slice(columns[0] * stride, (columns[-1] + 1) * stride),
        )
        expected[box] = pictures[partner][box]
        torch.testing.assert_close(result, split(expected, transform), rtol=0, atol=1e-9)


def test_branches_and_orders_of_the_batch_agree() -> None:
    transform, pictures, ids = SubbandTransform(2, "dct2d"), pictures_for(2), torch.tensor([9, 4, 77, 5, 6, 1, 0, 3, 8])
    bands = split(pictures, transform)
    order = torch.tensor([3, 1, 4, 0, 5, 8, 2, 6, 7])
    for options in ({"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}):
        whole, targets = mixed(bands, ids, epoch=3, **options)
        for band in range(4):
            one, same = mixed(bands[:, 3 * band : 3 * band + 3], ids, epoch=3, **options)
            assert torch.equal(one, whole[:, 3 * band : 3 * band + 3])
            assert torch.equal(same, targets)
        shuffled, _ = mixed(bands[order], ids[order], epoch=3, **options)
        assert torch.equal(shuffled, whole[order])


def test_everyone_has_another_partner() -> None:
    for count in (2, 3, 32, 257):
        chosen = partners(np.arange(count) * 7, seed=0, epoch=1)
        assert sorted(chosen.tolist()) == list(range(count))
        assert (chosen != np.arange(count)).all()
    assert partners(np.array([5]), seed=0, epoch=0).tolist() == [0]
    several = [partners(np.arange(32), seed=0, epoch=epoch).tolist() for epoch in range(3)]
    assert several[0] != several[1] != several[2]


def test_weights_follow_the_beta_distribution() -> None:
    images, ids = torch.zeros(3, 1, 2, 2), torch.arange(3)
    for alpha in (0.2, 1.0, 4.0):
        weights = np.array([partner_and_weight(mixed(images, ids, epoch, mixup=alpha)[1])[1] for epoch in range(400)])
        variance = 1 / (4 * (2 * alpha + 1))
        assert abs(weights.mean() - 0.5) < 5 * (variance / 400) ** 0.5
        assert weights.var() == pytest.approx(variance, rel=0.25)


def test_with_both_each_batch_has_one_of_them() -> None:
    images, ids = torch.rand((4, 1, 8, 8), generator=torch.Generator().manual_seed(0)), torch.arange(4)
    pasted = 0
    for epoch in range(60):
        result, _ = mixed(images, ids, epoch, mixup=5.0, cutmix=1.0)
        pasted += int(torch.isin(result, images).all())
    assert 15 < pasted < 45


def test_no_mixing_gives_the_images_themselves() -> None:
    images = torch.rand(4, 1, 2, 2)
    result, targets = mixed(images, torch.arange(4))
    assert result is images
    assert torch.equal(targets, torch.eye(4))


def test_an_empty_batch_stays_empty() -> None:
    none = torch.arange(0)
    config = AugmentConfig(mixup=1.0)
    result, targets = mix(torch.zeros(0, 1, 2, 2), none, 5, config=config, ids=none, seed=0, epoch=0, smoothing=0.1)
    assert result.shape == (0, 1, 2, 2)
    assert targets.shape == (0, 5)


def test_soft_targets_are_the_smoothing_of_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, labels = torch.randn((10, 7), generator=generator), torch.arange(10) % 7
    for smoothing in (0.0, 0.1, 0.5):
        ours = functional.cross_entropy(logits, soft_targets(labels, 7, smoothing))
        torch.testing.assert_close(ours, functional.cross_entropy(logits, labels, label_smoothing=smoothing))


def test_a_cutmix_box_is_cut_off_at_the_edges() -> None:
    assert cutmix_box(0.75, 10, 8, 0.5, 0.5) == (3, 2, 5, 4)
    assert cutmix_box(0.75, 10, 8, 0.0, 0.99) == (0, 5, 3, 3)
    assert cutmix_box(1.0, 10, 8, 0.5, 0.5)[2:] == (0, 0)
    assert cutmix_box(0.0, 10, 8, 0.5, 0.5) == (0, 0, 10, 8)


@pytest.mark.parametrize(("kind", "stride", "bands"), exact.EXACT_GROUPS)
def test_erasing_bands_is_painting_the_picture_grey(kind: str, stride: int, bands: tuple[int, ...]) -> None:
    transform, pictures, ids = SubbandTransform(stride, kind), exact.random_pictures(24, stride), torch.arange(100, 124)
    options = {"random_crop": False, "hflip": 0.0}
    centre = (exact.SIDE - exact.CROP) // 2
    cropped = exact.picture_at(pictures, (centre, centre, False, False), stride)
    painted = cropped.copy()
    for picture, box in zip(painted, erasing_boxes(ids.numpy(), exact.CROP, seed=3, epoch=6), strict=True):
        top, left, height, width = (int(edge) * stride for edge in box)
        picture[:, top : top + height, left : left + width] = 128
    for make, tolerance in ((exact.stored_values, 1e-9), (exact.stored_bytes, 1e-4)):
        result = exact.augmenter(transform, bands, reprob=0.5, **options)(
            make(pictures, transform, bands), ids, epoch=6
        )
        whole, erased = (exact.standardised(make(each, transform, bands), bands) for each in (cropped, painted))
        share = 0
        for found, before, after in zip(result.double(), whole, erased, strict=True):
            is_erased = (found - after).abs().max() < tolerance
            assert is_erased or (found - before).abs().max() < tolerance
            share += int(is_erased)
        assert 4 < share < 20


def test_erasing_boxes_are_inside_and_of_the_published_size() -> None:
    side = 56
    top, left, height, width = erasing_boxes(np.arange(5000), side, seed=0, epoch=0).T
    assert top.min() == left.min() == 0
    assert (top + height).max() == (left + width).max() == side
    area = height * width / side**2
    assert 0.017 < area.min() < 0.03 < 0.3 < area.max() < 0.35
    assert abs(area.mean() - (0.02 + 1 / 3) / 2) < 0.01
    assert abs(np.log(height / width).mean()) < 0.05
