"""What is done with every byte of a picture or record, compiled by numba; imported through `kernels.compiled_kernels`.

In a split every sum is an exact float32 integer over 2^16, see `quantize`, so the liberties that `fastmath` takes with
the order change nothing.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}


@numba.njit(fastmath=True, **_OPTIONS)
def split_folded(
    image: NDArray[np.uint8],
    stride: int,
    weights: NDArray[np.float32],
    first: NDArray[np.int64],
    added: NDArray[np.float32],
    out: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> None:
    """Write the stored bands of one picture (H, W, channels), C-contiguous, of an even stride.

    `weights` and `first` are `kernels.FoldedFilters` over 2^16; `added` (bands,) is the offset plus 1/2. Where in the
    memory `out` each band begins say `starts` (bands,); its H / stride rows lie there one after another.
    """
    height, width, channels = image.shape
    rows = image.reshape(height, width * channels)
    columns = width // stride * channels
    sums, terms = np.empty((2, width * channels), np.float32), np.empty((stride * stride, columns), np.float32)
    quarter = weights.shape[1]
    for block in range(height // stride):
        _fold(rows[block * stride : (block + 1) * stride], stride, channels, sums, terms)
        for band in range(len(weights)):
            start = starts[band] + block * columns
            own, line = terms[first[band] : first[band] + quarter], out[start : start + columns]
            # The usual strides have code of their own: sums that stay in registers are four times as fast.
            if quarter == 1:
                _weigh_1(weights[band], own, added[band], line)
            elif quarter == 4:
                _weigh_4(weights[band], own, added[band], line)
            elif quarter == 9:
                _weigh_9(weights[band], own, added[band], line)
            else:
                _weigh_any(weights[band], own, added[band], line, sums[0, :columns])


@numba.njit(inline="always")
def _fold(
    rows: NDArray[np.uint8], stride: int, channels: int, sums: NDArray[np.float32], terms: NDArray[np.float32]
) -> None:
    """Write the folded pixels of one row of blocks, (stride**2, columns): sums and differences down, then across."""
    half = stride // 2
    for r in range(half):
        _fold_rows(rows[r], rows[stride - 1 - r], sums[0], sums[1])
        for c in range(half):
            for parity in range(2):
                place = 2 * parity * half * half + r * half + c
                even, odd = terms[place], terms[place + half * half]
                # Literal numbers let the compiler turn the gathering into shuffles: a tenth of the whole.
                if channels == 3 and stride == 6:
                    _fold_columns(sums[parity], 3, 6, c, even, odd)
                elif channels == 3 and stride == 4:
                    _fold_columns(sums[parity], 3, 4, c, even, odd)
                elif channels == 3 and stride == 2:
                    _fold_columns(sums[parity], 3, 2, 0, even, odd)
                else:
                    _fold_columns(sums[parity], channels, stride, c, even, odd)


@numba.njit(inline="always")
def _fold_rows(
    upper: NDArray[np.uint8], lower: NDArray[np.uint8], even: NDArray[np.float32], odd: NDArray[np.float32]
) -> None:
    for x in range(len(upper)):
        above, below = np.float32(upper[x]), np.float32(lower[x])
        even[x] = above + below
        odd[x] = above - below


@numba.njit(inline="always")
def _fold_columns(
    line: NDArray[np.float32],
    channels: int,
    stride: int,
    column: int,
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
) -> None:
    mirrored = stride - 1 - column
    for x in range(len(even) // channels):
        left, right = (x * stride + column) * channels, (x * stride + mirrored) * channels
        for colour in range(channels):
            even[x * channels + colour] = line[left + colour] + line[right + colour]
            odd[x * channels + colour] = line[left + colour] - line[right + colour]


@numba.njit(inline="always")
def _weigh_1(w: NDArray[np.float32], t: NDArray[np.float32], offset: np.float32, line: NDArray[np.uint8]) -> None:
    t0 = t[0]
    for x in range(len(line)):
        line[x] = _as_byte(w[0] * t0[x] + offset)


@numba.njit(inline="always")
def _weigh_4(w: NDArray[np.float32], t: NDArray[np.float32], offset: np.float32, line: NDArray[np.uint8]) -> None:
    t0, t1, t2, t3 = t[0], t[1], t[2], t[3]
    for x in range(len(line)):
        line[x] = _as_byte(w[0] * t0[x] + w[1] * t1[x] + w[2] * t2[x] + w[3] * t3[x] + offset)


@numba.njit(inline="always")
def _weigh_9(w: NDArray[np.float32], t: NDArray[np.float32], offset: np.float32, line: NDArray[np.uint8]) -> None:
    t0, t1, t2, t3, t4, t5, t6, t7, t8 = t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]
    for x in range(len(line)):
        value = w[0] * t0[x] + w[1] * t1[x] + w[2] * t2[x] + w[3] * t3[x] + w[4] * t4[x]
        value += w[5] * t5[x] + w[6] * t6[x] + w[7] * t7[x] + w[8] * t8[x] + offset
        line[x] = _as_byte(value)


@numba.njit(inline="always")
def _weigh_any(
    w: NDArray[np.float32],
    t: NDArray[np.float32],
    offset: np.float32,
    line: NDArray[np.uint8],
    total: NDArray[np.float32],
) -> None:
    total[:] = offset
    for place in range(len(w)):
        weight, term = w[place], t[place]
        for x in range(len(line)):
            total[x] += weight * term[x]
    for x in range(len(line)):
        line[x] = _as_byte(total[x])


@numba.njit(inline="always")
def _as_byte(value: np.float32) -> np.uint8:
    # At least 0.5 by its offset, so the conversion, which cuts towards zero, is the floor.
    return np.uint8(np.int32(min(np.float32(255), value)))


@numba.njit(fastmath=True, **_OPTIONS)
def add_up(stored: NDArray[np.uint8], total: NDArray[np.int64], squares: NDArray[np.int64]) -> None:
    """Write sums and sums of squares, (bands, channels), of bands (bands, height, width * channels).

    The height is at most 65,536; the bands are C-contiguous.
    """
    bands, height, columns = stored.shape
    channels = total.shape[1]
    sums, of_squares = np.empty(columns, np.uint32), np.empty(columns, np.uint32)
    for band in range(bands):
        for x in range(columns):
            sums[x] = 0
            of_squares[x] = 0
        for y in range(0, height - 3, 4):
            # Four rows in registers for each visit of the sums in memory: two and a half times as fast as one row.
            first, second, third, fourth = (
                stored[band, y],
                stored[band, y + 1],
                stored[band, y + 2],
                stored[band, y + 3],
            )
            for x in range(columns):
                a, b, c, d = np.uint32(first[x]), np.uint32(second[x]), np.uint32(third[x]), np.uint32(fourth[x])
                sums[x] += a + b + c + d
                of_squares[x] += a * a + b * b + c * c + d * d
        for y in range(height - height % 4, height):
            line = stored[band, y]
            for x in range(columns):
                value = np.uint32(line[x])
                sums[x] += value
                of_squares[x] += value * value
        for channel in range(channels):
            of_channel, squares_of_channel = np.int64(0), np.int64(0)
            for x in range(channel, columns, channels):
                of_channel += sums[x]
                squares_of_channel += of_squares[x]
            total[band, channel] = of_channel
            squares[band, channel] = squares_of_channel


@numba.njit(**_OPTIONS)
def cut_and_standardise(
    records: NDArray[np.uint8],
    channels: int,
    top: NDArray[np.int64],
    left: NDArray[np.int64],
    horizontal: NDArray[np.bool_],
    vertical: NDArray[np.bool_],
    gain: NDArray[np.float32],
    bias: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write `value * gain + bias` of one square of every record (B, H, W * channels) to (B, side, side * channels).

    `top`, `left`, in pixels, `horizontal` and `vertical` are (B,), as in `geometry.Cuts`; gain and bias (B, channels).
    """
    side, length = out.shape[1], out.shape[2]
    gains, biases = np.empty(length, np.float32), np.empty(length, np.float32)
    turned = np.empty(length, np.uint8)
    for sample in range(len(records)):
        for x in range(length):
            gains[x] = gain[sample, x % channels]
            biases[x] = bias[sample, x % channels]
        start = left[sample] * channels
        for y in range(side):
            down = side - 1 - y if vertical[sample] else y
            line = records[sample, top[sample] + down, start : start + length]
            target = out[sample, y]
            if horizontal[sample]:
                # Turned round as bytes first: the arithmetic then runs over one line, which vector units can do.
                if channels == 1:
                    _turn_round(line, 1, turned)
                elif channels == 3:
                    _turn_triples(line, 1, turned)
                elif channels % 3 == 0:
                    _turn_triples(line, channels // 3, turned)
                else:
                    _turn_round(line, channels, turned)
                line = turned
            for x in range(length):
                target[x] = np.float32(line[x]) * gains[x] + biases[x]


@numba.njit(inline="always")
def _turn_round(line: NDArray[np.uint8], channels: int, turned: NDArray[np.uint8]) -> None:
    pixels = len(line) // channels
    for pixel in range(pixels):
        target, source = pixel * channels, (pixels - 1 - pixel) * channels
        for channel in range(channels):
            turned[target + channel] = line[source + channel]


@numba.njit(inline="always")
def _turn_triples(line: NDArray[np.uint8], triples: int, turned: NDArray[np.uint8]) -> None:
    """As `_turn_round` with `3 * triples` channels: three copies written out are up to three times as fast."""
    pixels = len(line) // (3 * triples)
    for pixel in range(pixels):
        for triple in range(triples):
            target, source = (pixel * triples + triple) * 3, ((pixels - 1 - pixel) * triples + triple) * 3
            turned[target] = line[source]
            turned[target + 1] = line[source + 1]
            turned[target + 2] = line[source + 2]


@numba.njit(**_OPTIONS)
def put_channels(pixels: NDArray[np.uint8], out: NDArray[np.uint8], first: int) -> None:
    """Copy pixels (rows, h, w, C) to the channels `first` to `first + C - 1` of `out`, (rows, h, w, more channels)."""
    rows, height, width, channels = pixels.shape
    for row in range(rows):
        for y in range(height):
            source, target = pixels[row, y], out[row, y]
            if channels == 3:
                for x in range(width):
                    target[x, first] = source[x, 0]
                    target[x, first + 1] = source[x, 1]
                    target[x, first + 2] = source[x, 2]
            else:
                for x in range(width):
                    for channel in range(channels):
                        target[x, first + channel] = source[x, channel]
