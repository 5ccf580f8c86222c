"""What one picture must be to be used, and the error that says what is wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager

MIN_SIDE = 8


class BadImage(Exception):
    """One picture cannot be used; it is skipped in every band and counted.

    Attributes:
        reason: a short code: unidentified, truncated, suspicious, too small, too large, unsupported depth or
            unsupported colour.
        detail: what is wrong and, where known, what the file is instead.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@contextmanager
def damage_refused(how: str = "") -> Iterator[None]:
    """Turn any error of a decoder into a `BadImage`: hostile bytes may raise anything at all."""
    try:
        yield
    except (BadImage, MemoryError):
        raise
    except Exception as error:
        raise BadImage("truncated", f"{how}cut off or damaged: {error}") from error


def require_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture with too many pixels, or with a side that is too short."""
    if width * height > max_pixels:
        raise BadImage("too large", f"{width}x{height} pixels; at most {max_pixels} are decoded")
    if min(width, height) < MIN_SIDE:
        raise BadImage("too small", f"{width}x{height} pixels; the short side must have at least {MIN_SIDE}")
