"""Bands as bytes, by exact integer arithmetic: the same bytes on every machine, library and number of threads.

The filters are integers, `M = rint(2^16 T / s)`. The stored value of a band is `(M . x + 2^15) >> 16`, plus 128 for the
bands without a mean, clamped to 0..255. With 8-bit pixels every partial sum stays within 2^24, so float32 holds each of
them exactly and the order of summation cannot matter.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandwise.bands.kernels import compiled_kernels, flat_memory, fold
from bandwise.bands.transform import SubbandTransform, check_bands, check_size, split_phases

FRACTION_BITS = 16
ZERO_LEVEL = 128

# OpenBLAS starts threads for products of more multiplications than this: several times the cost for such thin matrices,
# ruinous where every core has a worker already.
_SINGLE_THREADED = 1 << 18
_TILE = 32


def integer_filters(transform: SubbandTransform) -> NDArray[np.int32]:
    """Return M, int32 (n, n): the filters in units of 2^-16; `identity` is not divided by the stride."""
    scale = 1 if transform.kind == "identity" else transform.stride
    return np.rint(transform.matrix * (2.0**FRACTION_BITS / scale)).astype(np.int32)


def offsets(transform: SubbandTransform) -> NDArray[np.int64]:
    """Return what is added to each band before it is stored, int64 (n,): 0 for bands with a mean, else 128."""
    return np.array([0 if transform.has_mean(band) else ZERO_LEVEL for band in range(transform.count)], dtype=np.int64)


def scales(transform: SubbandTransform) -> NDArray[np.float64]:
    """Return grey levels of coefficient per stored step, float64 (n,): `coefficient = (stored - offset) * scale`.

    It is the stride, and 1 for `identity`. For `refft` the coefficient is the real part of the DFT over the stride.
    """
    return np.full(transform.count, 1.0 if transform.kind == "identity" else float(transform.stride))


def check_image(image: NDArray[np.uint8], stride: int) -> None:
    """Refuse what is not a splittable picture: uint8 (H, W, C), with sides that are multiples of `stride`."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] < 1:
        raise ValueError(f"image is {image.dtype} {image.shape}; uint8 (height, width, channels) is needed")
    check_size(image.shape[0], image.shape[1], stride)


class BandQuantizer:
    """Splits one picture at a time into stored bands; keeps its buffers, so use one for each worker.

    The kernel gathers the phases as whole pixels and multiplies them by the filters in float32. The rounding constant
    and the offset ride along as one more column against a row of ones. Where numba is installed, `dct2d` and `hadamard`
    with an even stride run in a compiled kernel, which gives the same bytes.
    """

    def __init__(
        self, transform: SubbandTransform, bands: Sequence[int] | None = None, *, portable: bool = False
    ) -> None:
        """Prepare for some bands, all by default, in the order given; `portable` leaves out the compiled kernel."""
        self.transform = transform
        self.bands = check_bands(transform, bands)
        chosen = list(self.bands)
        filters = integer_filters(transform)[chosen].astype(np.float32) / 2**FRACTION_BITS
        self._offset = offsets(transform)[chosen].astype(np.float32)
        self._scale = scales(transform)[chosen].astype(np.float32)
        self._filters = np.concatenate([filters, self._offset[:, None] + np.float32(0.5)], axis=1)
        self._folded = fold(filters.astype(np.float32), transform.stride)
        self._compiled = compiled_kernels(portable) if self._folded is not None else None
        self._shape = (0, 0, 0)
        self._pixels = np.empty(0, np.uint8)
        self._phases = np.empty((transform.count + 1, 0), np.float32)
        self._values = np.empty((len(chosen), 0), np.float32)

    def split(self, image: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the stored bytes of the bands of a picture, uint8 (H, W, C), or write them to `out`.

        They are (len(bands), H / stride, W / stride, C); with stride 1 they may be the memory of the picture.
        """
        if self.transform.stride == 1:
            check_image(image, 1)
            if out is None:
                return image[None]
            np.copyto(out, image[None])
            return out
        if self._compiled is not None:
            return self._split_compiled(image, out)
        values = self._sums(image)
        # Only a coefficient of exactly +127.5 gives 256; to look for one is faster than to write every value again.
        if values.max() >= 256:
            np.minimum(values, np.float32(255), out=values)
        if out is None:
            out = np.empty(values.shape, np.uint8)
        # The values are at least 0.5, so the conversion, which cuts towards zero, is the floor.
        np.copyto(out, values, casting="unsafe")
        return out

    def split_float16(self, image: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Return `M . x / 2^16` without offset, rounded to float16, of an image as in `split`; the shape as there."""
        values = self._sums(image)
        values -= (self._offset + np.float32(0.5))[:, None, None, None]
        return values.astype(np.float16)

    def count_clipped(self, image: NDArray[np.uint8]) -> int:
        """Count the values that a byte cannot hold within half a step; the theory says 0 for every picture."""
        values = self._sums(image)
        return int(np.count_nonzero(values > 256) + np.count_nonzero(values < 0))

    def dequantize(self, stored: NDArray[np.uint8] | NDArray[np.float16]) -> NDArray[np.float32]:
        """Turn stored values (len(bands), ...), of `split` or `split_float16`, into float32 coefficients `T . x`."""
        if stored.dtype not in (np.uint8, np.float16) or stored.ndim < 1 or len(stored) != len(self.bands):
            raise ValueError(
                f"stored bands are {stored.dtype} {stored.shape}; uint8 or float16 ({len(self.bands)}, ...) is needed"
            )
        column = (-1, *(1,) * (stored.ndim - 1))
        values = stored.astype(np.float32)
        if stored.dtype == np.uint8:
            values -= self._offset.reshape(column)
        values *= self._scale.reshape(column)
        return values

    def _split_compiled(self, image: NDArray[np.uint8], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        stride = self.transform.stride
        check_image(image, stride)
        height, width, channels = image.shape
        shape = len(self.bands), height // stride, width // stride, channels
        stored = np.empty(shape, np.uint8) if out is None else out
        assert stored.shape == shape, (stored.shape, shape)
        memory = flat_memory(stored)
        if memory is None:
            np.copyto(stored, self._split_compiled(image, None))
            return stored
        assert self._folded is not None
        assert self._compiled is not None
        ready = image.flags.c_contiguous and image.flags.writeable
        self._compiled.split_folded(
            # Read-only memory is another type to the compiler, which would take seconds for another version.
            image if ready else image.copy(),
            stride,
            self._folded.weights,
            self._folded.first,
            self._filters[:, -1].copy(),
            *memory,
        )
        return stored

    def _sums(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `M . x / 2^16 + offset + 1/2`, exact, in a buffer that the next call overwrites."""
        stride, count = self.transform.stride, self.transform.count
        check_image(image, stride)
        if image.shape != self._shape:
            self._allocate(image.shape)
        height, width, channels = image.shape
        h, w = height // stride, width // stride
        # One item a pixel, so that a pixel of three bytes is moved at once: a third of the copies.
        pixel = np.dtype((np.void, channels))
        blocks = np.ascontiguousarray(image).view(pixel).reshape(h, stride, w, stride)
        np.copyto(self._pixels.view(pixel).reshape(stride, stride, h, w), blocks.transpose(1, 3, 0, 2))
        np.copyto(self._phases[:count], self._pixels.reshape(count, -1))
        step = max(_TILE, _SINGLE_THREADED // self._filters.size // _TILE * _TILE)
        for start in range(0, self._phases.shape[1], step):
            part = slice(start, start + step)
            np.matmul(self._filters, self._phases[:, part], out=self._values[:, part])
        return self._values.reshape(-1, h, w, channels)

    def _allocate(self, shape: tuple[int, ...]) -> None:
        count = self.transform.count
        columns = shape[0] * shape[1] * shape[2] // count
        self._pixels = np.empty(count * columns, np.uint8)
        self._phases = np.ones((count + 1, columns), np.float32)
        self._values = np.empty((len(self.bands), columns), np.float32)
        self._shape = shape


def reference_split(image: NDArray[np.uint8], transform: SubbandTransform) -> NDArray[np.int64]:
    """Compute what `BandQuantizer.split` gives, int64 (n, ...), in plain integers: the definition of every kernel."""
    check_image(image, transform.stride)
    filters, added = integer_filters(transform).astype(np.int64), offsets(transform)
    phases = split_phases(image.transpose(2, 0, 1).astype(np.int64), transform.stride)
    result = np.zeros_like(phases)
    for band in range(transform.count):
        for phase in range(transform.count):
            result[band] += filters[band, phase] * phases[phase]
        result[band] = ((result[band] + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS) + added[band]
    return np.ascontiguousarray(np.clip(result, 0, 255).transpose(0, 2, 3, 1))


def band_sums(stored: NDArray[np.uint8], *, portable: bool = False) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Add up one picture's stored bands, uint8 (nb, h, w, C); integer sums of many pictures add up in any order.

    Returns the sum and the sum of squares, int64 (nb, C) each, and the number of values in each sum, `h * w`. Above a
    height of 65,536 the 32 bits of a column would overflow, so that is refused.
    """
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[1] > 1 << 16:
        raise ValueError(
            f"stored bands are {stored.dtype} {stored.shape}; uint8 (bands, height, width, channels) is needed"
        )
    bands, height, width, channels = stored.shape
    compiled = compiled_kernels(portable)
    rows = stored.reshape(bands, height, width * channels)
    if compiled is not None and rows.flags.c_contiguous and rows.flags.writeable:
        total, squares = np.empty((2, bands, channels), np.int64)
        compiled.add_up(rows, total, squares)
        return total, squares, height * width
    total, squares = (
        # Down the columns first: the inner loop is then long and contiguous, 15 times faster than over three channels.
        values.sum(axis=1, dtype=np.uint32).reshape(bands, width, channels).sum(axis=1, dtype=np.int64)
        for values in (rows, np.multiply(rows, rows, dtype=np.uint16))
    )
    return total, squares, height * width
