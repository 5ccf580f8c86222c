"""Pictures of any number of channels: arrays of NumPy, and TIFF files of several bands."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from bandwise.config import MOST_CHANNELS
from bandwise.errors import UsageError
from bandwise.sources.decoding.badimage import BadImage, damage_refused, require_size
from bandwise.sources.decoding.sniff import is_array, starts_like

Facts = TypeVar("Facts")


def channels_of(encoded: bytes) -> int | None:
    """Return the channels that the header of a file tells, or None where it is an ordinary picture or none.

    A `UsageError` says what to install where Pillow cannot read a TIFF, for it may have several bands.
    """
    try:
        if is_array(encoded):
            return _npy_shape(encoded)[2]
        if starts_like(encoded) != "TIFF" or _is_ordinary(encoded):
            return None
        samples = _of_tiff(encoded, lambda page: page.samplesperpixel)
        return None if samples in (1, 3) else samples
    except BadImage:
        return None


def _is_ordinary(tiff: bytes) -> bool:
    """Say whether a TIFF is left to Pillow: grey, RGB, CMYK, with an alpha channel, or damaged."""
    try:
        with Image.open(io.BytesIO(tiff), formats=("TIFF",)):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:
        # What is wrong with it the decoder says, which refuses the picture alone.
        return True


def size_of(encoded: bytes, channels: int) -> tuple[int, int] | None:
    """Return width and height of what `decode_channels` decodes, or None where it is an ordinary picture."""
    if is_array(encoded) or channels not in (1, 3):
        height, width, _ = _shape(encoded)
        return width, height
    return None


def decode_channels(encoded: bytes, channels: int, depth: int, max_pixels: int) -> tuple[np.ndarray, bool, int]:
    """Decode an array or a TIFF of several bands to 8 bits a channel.

    Args:
        encoded: the bytes of the file: uint8 or uint16, (H, W, C), or (H, W) for one channel.
        channels: how many it must have.
        depth: bits that values of 16 bits use; they are shifted to 8 bits by that.
        max_pixels: a picture with more values than so many pixels of three channels is refused from its header.

    Returns:
        uint8 (H, W, channels), whether it had 16 bits, and its largest value before.

    Raises:
        BadImage: it cannot be used.
    """
    height, width, found = _shape(encoded)
    require_size(width, height, 3 * max_pixels // max(3, found))
    if found != channels:
        raise BadImage("unsupported colour", f"it has {found} channels; the pictures of this set have {channels}")
    with damage_refused():
        values = np.load(io.BytesIO(encoded), allow_pickle=False) if is_array(encoded) else _of_tiff(encoded, _pixels)
    _require_depth(values.dtype)
    values, largest = values.reshape(height, width, channels), int(values.max())
    deep = values.dtype.itemsize == 2
    eight_bits = np.minimum(values >> (depth - 8), 255).astype(np.uint8) if deep else values
    return np.ascontiguousarray(eight_bits), deep, largest


def _require_depth(dtype: np.dtype[Any]) -> None:
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise BadImage("unsupported depth", f"its values are {dtype}; save it as uint8 or uint16")


def _shape(encoded: bytes) -> tuple[int, int, int]:
    if is_array(encoded):
        return _npy_shape(encoded)
    if starts_like(encoded) != "TIFF":
        raise BadImage("unsupported colour", "it is no array of NumPy and no TIFF, as the first picture of this set is")
    return _checked(_of_tiff(encoded, lambda page: (page.imagelength, page.imagewidth, page.samplesperpixel)))


def _npy_shape(encoded: bytes) -> tuple[int, int, int]:
    stream = io.BytesIO(encoded)
    with damage_refused("starts like an array of NumPy but is "):
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    height, width, channels = _checked((*shape, 1) if len(shape) == 2 else shape)
    _require_depth(dtype)
    if len(encoded) < stream.tell() + height * width * channels * dtype.itemsize:
        # NumPy would take memory for all of it first.
        raise BadImage("truncated", f"cut off: {len(encoded)} bytes are too few for the shape {shape}")
    return height, width, channels


def _checked(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3 or not 1 <= shape[2] <= MOST_CHANNELS:
        raise BadImage(
            "unsupported colour",
            f"its shape is {shape}; (height, width) or (height, width, channels) with 1 to {MOST_CHANNELS} channels "
            "are read, the channels last",
        )
    return shape[0], shape[1], shape[2]


def _of_tiff(encoded: bytes, facts: Callable[[Any], Facts]) -> Facts:
    """Return what `facts` says of the first page of a TIFF."""
    try:
        import tifffile
    except ImportError as error:
        raise UsageError(
            f"TIFF files of several bands need tifffile ({error}); pip install 'bandwise[tiff]'"
        ) from error
    with damage_refused("starts like a TIFF but is "), tifffile.TiffFile(io.BytesIO(encoded)) as file:
        return facts(file.pages[0])


def _pixels(page: Any) -> np.ndarray:
    values = page.asarray()
    # Bands that are stored one after another come first.
    return values.transpose(1, 2, 0) if page.planarconfig.name == "SEPARATE" and values.ndim == 3 else values
