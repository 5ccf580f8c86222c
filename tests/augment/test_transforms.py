"""Augmentation of pictures against timm's own pipeline, and what it leaves alone."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pictures import make_picture
from timm.data.transforms_factory import transforms_imagenet_train

from bandwise.augment.transforms import PictureAugment, seeded
from bandwise.config import AugmentConfig
from bandwise.errors import UsageError

PICTURE = Image.fromarray(make_picture(1, 5, 60)[:44])


def augmented(state: int = 7, picture: Image.Image = PICTURE, crop: int = 24, **options) -> np.ndarray:
    augment = PictureAugment(AugmentConfig(at="image", **options), crop)
    return np.asarray(augment(picture, state, horizontal=False, vertical=False))


@pytest.mark.parametrize("state", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("aa", ["", "rand-m7-mstd0.5-inc1", "original-mstd0.5", "augmix-m5-w4-d2", "3a"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "random"])
def test_pictures_are_those_of_timms_pipeline(state, aa, interpolation):
    """The same draws in the same order: crop, policy, jitter; flips are drawn elsewhere."""
    reference = transforms_imagenet_train(
        24,
        scale=(0.3, 1.0),
        hflip=0.0,
        color_jitter=0.4,
        auto_augment=aa or None,
        force_color_jitter=True,
        interpolation=interpolation,
        normalize=False,
    )
    with seeded(state):
        expected = reference(PICTURE).numpy().transpose(1, 2, 0)
    found = augmented(state, aa=aa, interpolation=interpolation, scale=0.3, color_jitter=0.4)
    assert np.array_equal(found, expected)


def test_trivial_augment_is_torchvisions():
    from torchvision.transforms import InterpolationMode, TrivialAugmentWide

    square = PICTURE.crop((0, 0, 24, 24))
    different = 0
    for state in range(40):
        with seeded(state):
            expected = np.asarray(TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)(square))
        found = augmented(state, square, aa="trivialaugment", random_crop=False)
        assert np.array_equal(found, expected)
        different += not np.array_equal(found, np.asarray(square))
    assert different > 20


@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True), (True, True)])
def test_flips_are_of_the_crop(horizontal, vertical):
    augment = PictureAugment(AugmentConfig(at="image"), 24)
    plain = np.asarray(augment(PICTURE, 3, horizontal=False, vertical=False))
    found = np.asarray(augment(PICTURE, 3, horizontal=horizontal, vertical=vertical))
    assert np.array_equal(found, plain[:: -1 if vertical else 1, :: -1 if horizontal else 1])


def test_a_picture_depends_on_its_state_alone_and_global_random_numbers_are_left_alone():
    options = {"aa": "augmix-m5", "color_jitter": 0.3}
    first = augmented(11, **options)
    random.seed(4)
    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    second = augmented(11, **options)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])
    assert np.array_equal(first, second)
    assert not np.array_equal(first, augmented(12, **options))


def test_grey_pictures_take_every_policy_and_stay_grey():
    grey = PICTURE.convert("L")
    for aa in ("rand-m9-mstd0.5-inc1", "trivialaugment", "original"):
        assert augmented(5, grey, aa=aa, color_jitter=0.4).shape == (24, 24)
    same = augmented(5, grey.crop((0, 0, 24, 24)), random_crop=False, color_jitter=1e-9)
    assert np.array_equal(same, np.asarray(grey)[:24, :24])


@pytest.mark.parametrize(
    "aa", ["rand-mfoo", "rand-q3", "rand-tfoo", "rnd-m7", "v9", "rand m7", "augmix-", "original-m7"]
)
def test_policies_that_do_not_exist_are_refused(aa):
    """timm itself would read over the half of these."""
    with pytest.raises(
        UsageError, match=r"it must be trivialaugment, or a policy of timm such as rand-m7-mstd0\.5-inc1"
    ):
        augmented(aa=aa)
