"""Turns the bytes of a picture into a canvas by one rule per kind of picture; `docs/data.md` has the table.

Training, evaluation and serving all decode here, so that they see the same pixels.
"""

import functools
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import PIL

# The parsers of the allowed formats: with all of them loaded Pillow has no reason to load any other.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,
    WebPImagePlugin,  # noqa: F401
    features,
)

from bandwise.config import SplitConfig
from bandwise.sources.decoding.badimage import BadImage, damage_refused, require_size
from bandwise.sources.decoding.sniff import (
    is_array,
    missing_part,
    name_disagrees,
    starts_like,
    trailing_bytes,
    what_it_is,
)
from bandwise.sources.source import Source

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(("AVIF",) if AvifImagePlugin.SUPPORTED else ()))
_HEIF = ("HEIF",)
# Records of stores hold these words, and those of bands that are added later must agree; so they do not change.
_NO_FORMAT = "not one of JPEG, PNG, WEBP, BMP, GIF, TIFF"
PLACEHOLDER_BYTES = 2051
"""Size of the "photo unavailable" picture that one photo host served, under the name of a lost photograph."""

UNIFORM = "one colour all over"
FEW_BITS = "16 bits, of which at most 12 are used: near black"

_ORIENTATION = 0x0112
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PLAIN = frozenset({"1", "L", "P", "RGB", "RGBX", "YCbCr", "CMYK"})
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})

_process_settings = threading.Lock()


def decode(
    encoded: bytes | np.ndarray,
    *,
    channels: int,
    background: int,
    exif: Literal["ignore", "transpose"],
    max_pixels: int,
    depth: int = 16,
    least_side: int = 0,
    name: bytes = b"",
) -> tuple[Image.Image | np.ndarray, tuple[str, ...]]:
    """Decode one picture to 8 bits a channel.

    Args:
        encoded: the bytes of a file, or pixels as uint8 `(H, W, channels)`, which are returned as they are.
        channels: 1 gives mode L (colour becomes 0.299 R + 0.587 G + 0.114 B), 3 gives mode RGB; an array of NumPy or a
            TIFF of several bands has as many, and comes as uint8 `(H, W, channels)`.
        background: grey level behind transparent pixels.
        exif: whether the EXIF orientation turns the picture. (A TIFF is always turned: its tag is part of the format.)
        max_pixels: a larger picture is refused from its header, before any pixel is decoded.
        depth: bits that a grey picture of 16 bits or an array uses; its values are shifted to 8 bits by that.
        least_side: where it is not 0, a JPEG is decoded at the smallest of the fractions 1/2, 1/4, 1/8 that leaves its
            short side at least so long.
        name: the name of the file, used only to note that its extension names another format.

    Returns:
        The picture, and notes for the summary: what was unusual but accepted, each a fixed phrase.

    Raises:
        BadImage: the picture cannot be used.
    """
    if isinstance(encoded, np.ndarray):
        assert encoded.dtype == np.uint8, encoded.dtype
        assert encoded.ndim == 3, encoded.shape
        assert encoded.shape[2] == channels, encoded.shape
        require_size(encoded.shape[1], encoded.shape[0], max_pixels)
        return encoded, ()
    if is_array(encoded) or channels not in (1, 3):
        # Here, because hardly anybody has them.
        from bandwise.sources.decoding.multiband import decode_channels

        pixels, deep, largest = decode_channels(encoded, channels, depth, max_pixels)
        said = {"16 bits reduced to 8": deep, FEW_BITS: deep and depth == 16 and largest < 1 << 12}
        return pixels, tuple(note for note, holds in said.items() if holds)
    is_jpeg = encoded.startswith(b"\xff\xd8")
    with _pillow_rules(max_pixels) as warned, open_picture(encoded) as picture:
        require_size(picture.width, picture.height, max_pixels)
        whole = picture.size
        with damage_refused():
            if least_side:
                picture.draft(None, (least_side, least_side))
            picture.load()
            several = bool(getattr(picture, "is_animated", False))
        if is_jpeg and (problem := missing_part(encoded)):
            raise BadImage("suspicious", f"decodes, but {problem}: part of the file was probably never written")
        orientation = _orientation(picture)
        with damage_refused():
            deep = picture.mode.startswith("I;16")
            eight_bits = _upper_bits(picture, depth) if deep else picture
            clear = eight_bits.mode in _ALPHA or "transparency" in eight_bits.info
            flat = _to_channels(eight_bits, channels, background, clear=clear)
            if orientation in _TURN and exif == "transpose":
                flat = flat.transpose(_TURN[orientation])
    notes = {
        "the extension names another format": name_disagrees(name, encoded),
        "as long as a 'photo unavailable' placeholder": len(encoded) == PLACEHOLDER_BYTES,
        "decoded at a fraction of its size": picture.size != whole,
        "first of several frames": several,
        "bytes after the end of the picture": is_jpeg and not several and trailing_bytes(encoded) > 0,
        "damaged metadata": orientation is None or bool(warned),
        "16 bits reduced to 8": deep,
        FEW_BITS: deep and depth == 16 and int(np.asarray(picture).max()) < 1 << 12,
        "CMYK": eight_bits.mode == "CMYK",
        "transparency over the background": clear,
        "orientation applied" if exif == "transpose" else "orientation ignored": orientation in _TURN,
    }
    return flat, tuple(note for note, holds in notes.items() if holds)


def to_canvas(picture: Image.Image | np.ndarray, side: int) -> np.ndarray:
    """Cut the central square and resize it.

    The square has the short side m, its corner is `((w - m) // 2, (h - m) // 2)`; Pillow's bilinear filter, which
    widens when it shrinks, resizes it. Nothing is resampled where m equals `side`.

    Returns:
        uint8 `(side, side, C)`.
    """
    if isinstance(picture, np.ndarray):
        if picture.shape[2] not in (1, 3):
            return np.concatenate([to_canvas(plane[..., None], side) for plane in np.moveaxis(picture, 2, 0)], 2)
        picture = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    short = min(picture.size)
    left, top = (picture.width - short) // 2, (picture.height - short) // 2
    box = (left, top, left + short, top + short)
    square = picture.crop(box) if short == side else picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
    pixels = np.array(square)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def load_canvas(source: Source, path: bytes, config: SplitConfig) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read, decode and resize one image of a source, as `decode_canvas`; a failing storage is never a `BadImage`."""
    return decode_canvas(source.read(path), path, source.channels, config)


def decode_canvas(
    encoded: bytes | np.ndarray, path: bytes, channels: int, config: SplitConfig
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode and resize the image `path` that has been read: uint8 `(canvas, canvas, C)`, and notes as `decode` has."""
    picture, notes = decode(
        encoded,
        channels=channels,
        background=config.background,
        exif=config.exif,
        depth=config.depth,
        least_side=config.draft * config.canvas,
        max_pixels=config.max_pixels,
        name=path,
    )
    canvas = to_canvas(picture, config.canvas)
    # Two pixels tell almost always.
    uniform = (canvas[0, 0] == canvas[-1, config.canvas // 2]).all() and (canvas == canvas[0, 0]).all()
    return canvas, (*notes, UNIFORM) if uniform else notes


def decoder_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide the pixels."""
    libraries = ("libjpeg-turbo", "zlib", "webp", "libtiff")
    versions = {name: features.version(name.replace("-", "_")) or "not used" for name in libraries}
    return {"pillow": PIL.__version__, **versions}


def open_picture(encoded: bytes) -> Image.Image:
    """Read the header of a picture of an allowed format; anything else is a `BadImage`."""
    known = starts_like(encoded)
    formats = _HEIF if known == "HEIC" and _reads_heic() else _FORMATS
    try:
        return Image.open(io.BytesIO(encoded), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage("too large", f"refused by Pillow: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        # A parser meets hostile bytes and may raise anything at all: the picture is bad, the program is not.
        if formats == _HEIF or known in formats:
            raise BadImage("truncated", f"starts like a {known} but is cut off or damaged") from error
        raise BadImage("unidentified", f"{_NO_FORMAT}: {what_it_is(encoded)}") from error


@functools.cache
def _reads_heic() -> bool:
    """Register the reader of HEIC, which is installed by choice, and say whether it is there."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


def _orientation(picture: Image.Image) -> int | None:
    """Return the EXIF orientation, 1 where there is none, or None where the metadata are damaged."""
    if not picture.info.get("exif"):
        return 1
    try:
        exif = Image.Exif()
        exif.load(picture.info["exif"])
        return exif.get(_ORIENTATION, 1)
    except Exception:
        # Common in photographs that are otherwise sound.
        return None


def _to_channels(picture: Image.Image, channels: int, background: int, *, clear: bool) -> Image.Image:
    if picture.mode in ("I", "F"):
        raise BadImage("unsupported depth", f"mode {picture.mode} has no fixed range; save it with 8 or 16 bits")
    if picture.mode not in _PLAIN | _ALPHA:
        raise BadImage("unsupported colour", f"mode {picture.mode}; save it as RGB")
    if clear:
        behind = Image.new("RGBA", picture.size, (background, background, background, 255))
        picture = Image.alpha_composite(behind, picture.convert("RGBA"))
    mode = "L" if channels == 1 else "RGB"
    # To convert what has the mode already would copy it, which costs as much as decoding it.
    return picture if picture.mode == mode else picture.convert(mode)


def _upper_bits(picture: Image.Image, depth: int) -> Image.Image:
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits, photometric = picture.tag_v2.get(258), picture.tag_v2.get(262)
        if (bits, photometric) != ((16,), 1):
            raise BadImage("unsupported depth", f"grey TIFF with {bits} bits; save it with 8 or 16, black as zero")
    return Image.fromarray(np.minimum(np.asarray(picture) >> (depth - 8), 255).astype(np.uint8))


@contextmanager
def _pillow_rules(max_pixels: int) -> Iterator[list[warnings.WarningMessage]]:
    """Collect the warnings of a decoder, and raise Pillow's own limit of pixels to `max_pixels`.

    Both are settings of the whole process, hence the lock: threads decode one at a time.
    """
    with _process_settings, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = limit and max(limit, max_pixels)
        try:
            yield caught
        finally:
            Image.MAX_IMAGE_PIXELS = limit
