"""What is done with every byte of a record on its way into a batch, compiled by numba; imported only where numba is."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, error_model="numpy", nogil=True)
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


@numba.njit(cache=True, error_model="numpy", nogil=True)
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
