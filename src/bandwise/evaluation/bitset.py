"""Which images a classifier is right on, as one short text: a bit an image, for comparing results image by image."""

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import CorruptionError


def pack(right: NDArray[np.bool_]) -> str:
    """Return base64 of one bit an image, (N,), most significant bit first, zeros at the end."""
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpack(text: str, count: int) -> NDArray[np.bool_]:
    """Return what `pack` was given, (count,).

    Raises:
        CorruptionError: the text is no base64, or of another number of images.
    """
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError) as error:
        raise CorruptionError(f"the answers of a result are damaged: {error}") from error
    bits = np.unpackbits(packed)
    if len(packed) != -(-count // 8) or bits[count:].any():
        raise CorruptionError(f"the answers of a result are those of {len(packed) * 8} images, not of {count}")
    return bits[:count].astype(bool)
