"""Transforms across the phases of an image, `n = stride * stride` phases in, `n` bands out, and back; flips of bands.

Images and bands are numpy arrays or torch tensors alike; torch itself is never imported. A flip of a picture turns the
order of the phases round inside each block, so it mixes the bands by a fixed matrix. That holds for coefficients;
stored bytes follow to the rounding of one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal["dct1d", "dct2d", "hadamard", "identity", "random", "refft"]
KINDS: tuple[str, ...] = get_args(Kind)
MAX_STRIDE = 8
HADAMARD_STRIDES = (1, 2, 4, 8)

Array = TypeVar("Array")
Axis = Literal["horizontal", "vertical"]

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class SubbandTransform:
    """One square matrix `T`, applied across the phases of every pixel block.

    Band `k` is `sum over m of T[k, m] * phase m`. All kinds but `refft` are orthonormal, so energy is kept and the
    inverse is the transpose.

    - `dct1d`: DCT-II over the phases in row-major order. Its order is not spatial frequency.
    - `dct2d`: separable DCT-II; band `k = v * stride + h` has vertical frequency v and horizontal frequency h.
    - `hadamard`: separable Walsh functions in order of sign changes, band `k = v * stride + h`; strides 1, 2, 4, 8.
    - `identity`: the phases themselves.
    - `random`: a constant first row and a seeded orthonormal complement.
    - `refft`: real part of the DFT over row-major phases, divided by the stride. Band k equals band n-k: no inverse.

    Attributes:
        stride: grid step in pixels, 1 to 8.
        kind: one of `KINDS`.
        seed: seed of `random`, at least 0; the other kinds ignore it.

    Raises:
        ValueError: a field is outside what is allowed.
    """

    stride: int
    kind: str
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= MAX_STRIDE:
            raise ValueError(f"stride is {self.stride}; it must be 1 to {MAX_STRIDE}")
        if self.kind not in KINDS:
            raise ValueError(f"transform is {self.kind!r}; choose one of {', '.join(KINDS)}")
        if self.kind == "hadamard" and self.stride not in HADAMARD_STRIDES:
            raise ValueError(f"stride is {self.stride}; hadamard exists for the strides 1, 2, 4 and 8 only")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be at least 0")

    @property
    def count(self) -> int:
        """The number of bands, n."""
        return self.stride**2

    @property
    def matrix(self) -> NDArray[np.float64]:
        """`T`, float64 (n, n), read-only; row k makes band k from the phases in row-major order."""
        return _matrix(self.stride, self.kind, self.seed)

    @property
    def only_phases(self) -> bool:
        """Whether the bands are the phases themselves, so that nothing has to be computed."""
        return self.kind == "identity" or self.stride == 1

    @property
    def invertible(self) -> bool:
        """Whether the image can be rebuilt from all bands."""
        return self.kind != "refft" or self.stride == 1

    def has_mean(self, band: int) -> bool:
        """Whether the filter of `band` keeps a uniform image: band 0, and every band of `identity`."""
        if not 0 <= band < self.count:
            raise ValueError(f"band is {band}; stride {self.stride} has the bands 0 to {self.count - 1}")
        return self.kind == "identity" or band == 0

    def forward(self, images: Array) -> Array:
        """Split images into bands.

        Args:
            images: (..., H, W), numpy or torch; floating types are kept, integers are computed in float64.

        Returns:
            (n, ..., H / stride, W / stride), the coefficients `T . phases`, not divided by anything; with stride 1 the
            memory may be that of `images`.

        Raises:
            ValueError: H or W is not a multiple of the stride.
        """
        return self._apply(self.matrix, split_phases(images, self.stride))

    def inverse(self, bands: Array) -> Array:
        """Put all n bands, (n, ..., h, w), together again as images (..., h * stride, w * stride).

        Raises:
            ValueError: the first axis is not n, or the transform has no inverse.
        """
        if not self.invertible:
            raise ValueError(
                "refft has no inverse: it drops the imaginary part, and its band k equals its band n-k; "
                "use dct1d, dct2d, hadamard, identity or random where images must be rebuilt"
            )
        _require_all_bands(cast(Any, bands).shape, self.stride)
        return merge_phases(self._apply(self.matrix.T, bands), self.stride)

    def _apply(self, matrix: NDArray[np.float64], phases: Any) -> Any:
        flat = phases.reshape(self.count, -1)
        if isinstance(flat, np.ndarray):
            kind = flat.dtype if np.issubdtype(flat.dtype, np.floating) else np.dtype(np.float64)
            flat = flat.astype(kind, copy=False)
            result = flat if self.only_phases else matrix.astype(kind) @ flat
        else:
            flat = flat if flat.dtype.is_floating_point else flat.double()
            result = flat if self.only_phases else flat.new_tensor(matrix.tolist()) @ flat
        return result.reshape(phases.shape)


def check_size(height: int, width: int, stride: int) -> None:
    """Refuse an image that has no whole number of blocks, and name the nearest sides that have one."""
    for name, side in (("height", height), ("width", width)):
        if side < 1 or side % stride:
            below = side // stride * stride
            nearest = f"{below} or {below + stride}" if below else f"{stride}"
            raise ValueError(
                f"{name} is {side} pixels, which is not a multiple of the stride {stride}; "
                f"the nearest is {nearest}: crop or resize to it"
            )


def split_phases(images: Array, stride: int) -> Array:
    """Split images (..., H, W) into their polyphase components (stride**2, ..., H / stride, W / stride).

    Phase `m = row * stride + col` holds the pixels `images[..., row::stride, col::stride]`. The type stays; with stride
    1 the memory may be that of `images`.
    """
    x = cast(Any, images)
    if len(x.shape) < 2:
        raise ValueError(f"images have the shape {tuple(x.shape)}; at least two axes, height and width, are needed")
    *lead, height, width = x.shape
    check_size(height, width, stride)
    blocks = x.reshape(*lead, height // stride, stride, width // stride, stride)
    axes = len(lead)
    order = (axes + 1, axes + 3, *range(axes), axes, axes + 2)
    return _transpose(blocks, order).reshape(stride**2, *lead, height // stride, width // stride)


def merge_phases(phases: Array, stride: int) -> Array:
    """Undo `split_phases`: (stride**2, ..., h, w) to (..., h * stride, w * stride), same type."""
    x = cast(Any, phases)
    _require_all_bands(x.shape, stride)
    _, *lead, height, width = x.shape
    axes = len(lead)
    order = (*range(2, axes + 2), axes + 2, 0, axes + 3, 1)
    blocks = _transpose(x.reshape(stride, stride, *lead, height, width), order)
    return blocks.reshape(*lead, height * stride, width * stride)


def check_bands(transform: SubbandTransform, bands: Sequence[int] | None) -> tuple[int, ...]:
    """Return the bands as a tuple, all of them for None; each must exist and occur once."""
    chosen = tuple(range(transform.count)) if bands is None else tuple(bands)
    if not chosen or len(set(chosen)) != len(chosen) or not all(0 <= band < transform.count for band in chosen):
        raise ValueError(f"bands are {list(chosen)}; choose different ones of 0 to {transform.count - 1}, at least one")
    return chosen


def flip_matrix(transform: SubbandTransform, axis: Axis) -> NDArray[np.float64]:
    """Return F with `bands(flip(x)) = F . flip(bands(x))`, float64 (n, n), for any invertible transform.

    It is diagonal with entries +1 and -1 for `dct2d` and `hadamard`, a permutation for `identity`, and full for `dct1d`
    and `random`.
    """
    if not transform.invertible:
        raise ValueError(
            "refft has no flip matrix: a flipped picture is no function of its bands; use dct2d or hadamard"
        )
    return transform.matrix @ _flipped_phases(transform, axis) @ transform.matrix.T


def flip_group(transform: SubbandTransform, bands: Sequence[int], axis: Axis) -> NDArray[np.float64] | None:
    """Return the matrix A with `group(flip(x)) = A . flip(group(x))` for a group of bands, or None where there is none.

    There is one if and only if the flipped filters of the group are combinations of the group's own filters. Entries
    that are 0, 1 or -1 but for rounding are returned as exactly that.
    """
    filters = transform.matrix[list(check_bands(transform, bands))]
    wanted = filters @ _flipped_phases(transform, axis)
    mixing = wanted @ np.linalg.pinv(filters)
    if np.abs(mixing @ filters - wanted).max() > _TOLERANCE:
        return None
    nearest = np.rint(mixing)
    return np.where(np.abs(mixing - nearest) < _TOLERANCE, nearest + 0.0, mixing)


def _require_all_bands(shape: tuple[int, ...], stride: int) -> None:
    if len(shape) < 3 or shape[0] != stride**2:
        raise ValueError(
            f"bands have the shape {tuple(shape)}; stride {stride} needs ({stride**2}, ..., height, width), all bands"
        )


def _transpose(x: Any, order: tuple[int, ...]) -> Any:
    return x.transpose(order) if isinstance(x, np.ndarray) else x.permute(order)


def _flipped_phases(transform: SubbandTransform, axis: Axis) -> NDArray[np.float64]:
    """Return the permutation that a flip does to the phases: column c becomes `stride - 1 - c`, or so the row."""
    if axis not in ("horizontal", "vertical"):
        raise ValueError(f"axis is {axis!r}; it must be horizontal or vertical")
    stride = transform.stride
    phases = np.arange(transform.count).reshape(stride, stride)
    turned = phases[:, ::-1] if axis == "horizontal" else phases[::-1]
    return np.eye(transform.count)[turned.reshape(-1)]


@lru_cache(maxsize=64)
def _matrix(stride: int, kind: str, seed: int) -> NDArray[np.float64]:
    count = stride**2
    if kind == "dct1d":
        matrix = _dct(count)
    elif kind == "dct2d":
        matrix = _separable(_dct(stride))
    elif kind == "hadamard":
        matrix = _separable(_walsh(stride))
    elif kind == "identity":
        matrix = np.eye(count)
    elif kind == "random":
        matrix = _random(count, seed)
    else:
        turns = np.outer(np.arange(count), np.arange(count)) % count / count
        matrix = np.cos(2 * np.pi * turns) / stride
    matrix.flags.writeable = False
    return matrix


def _separable(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix of `rows` along the height and along the width: band `v * stride + h`."""
    side = len(rows)
    return np.einsum("vr,hc->vhrc", rows, rows).reshape(side * side, side * side)


def _dct(count: int) -> NDArray[np.float64]:
    """Orthonormal DCT-II (Ahmed, Natarajan and Rao, 1974): row k is `c_k cos(pi k (2m + 1) / (2 count))`."""
    k, m = np.arange(count)[:, None], np.arange(count)[None, :]
    rows = np.cos(np.pi * k * (2 * m + 1) / (2 * count)) * np.sqrt(2 / count)
    rows[0] = np.sqrt(1 / count)
    return rows


def _walsh(count: int) -> NDArray[np.float64]:
    """Orthonormal Hadamard matrix with its rows in order of sign changes, as frequencies are."""
    signs = np.ones((1, 1))
    while len(signs) < count:
        signs = np.block([[signs, signs], [signs, -signs]])
    changes = (np.diff(signs, axis=1) != 0).sum(axis=1)
    return signs[np.argsort(changes)] / np.sqrt(count)


def _random(count: int, seed: int) -> NDArray[np.float64]:
    """A constant row, then uniform numbers made orthonormal by Gram and Schmidt, twice for accuracy.

    Plain loops over numpy's raw PCG64 stream: LAPACK and numpy's distributions may change their bits, this cannot.
    """
    raw = np.random.PCG64(seed).random_raw(count * count).reshape(count, count)
    rows = (raw >> np.uint64(11)).astype(np.float64) / 2**53 - 0.5
    rows[0] = 1.0
    for k in range(count):
        for _ in range(2):
            for row in rows[:k]:
                rows[k] -= row * _dot(row, rows[k])
        rows[k] /= np.sqrt(_dot(rows[k], rows[k]))
    return rows


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    # `cumsum` adds from left to right on every machine; `dot` and `sum` do not promise an order.
    return float(np.cumsum(a * b)[-1])
