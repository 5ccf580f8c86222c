"""Every transform that exists, and the pictures that are hardest for exact arithmetic."""

import numpy as np
import pytest

from bandwise.bands.transform import HADAMARD_STRIDES, KINDS, MAX_STRIDE, SubbandTransform

ALL = [
    SubbandTransform(stride, kind, seed=3)
    for stride in range(1, MAX_STRIDE + 1)
    for kind in KINDS
    if kind != "hadamard" or stride in HADAMARD_STRIDES
]


def _name(transform):
    return f"{transform.kind}-{transform.stride}"


@pytest.fixture(params=ALL, ids=_name)
def transform(request):
    return request.param


@pytest.fixture(params=[t for t in ALL if t.invertible], ids=_name)
def invertible(request):
    return request.param


@pytest.fixture(params=[t for t in ALL if t.kind in ("dct2d", "hadamard")], ids=_name)
def separable(request):
    return request.param


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def hard_images(request, transform):
    """Random bytes, random black and white, and for every band the pictures that drive it to its two ends."""
    rng = np.random.default_rng(transform.stride)
    stride, channels = transform.stride, request.param
    shape = (3 * stride, 5 * stride, channels)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    black_white = rng.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)
    signs = (transform.matrix > 0).reshape(-1, stride, stride)
    highest = np.concatenate(list(signs), axis=1)
    extreme = np.concatenate([highest, ~highest], axis=0).astype(np.uint8) * np.uint8(255)
    return [noise, black_white, np.repeat(extreme[:, :, None], channels, axis=2)]
