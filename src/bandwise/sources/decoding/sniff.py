"""What the bytes of a file say without decoding it: its format, for messages and notes, and a JPEG that is not whole.

The decoder alone decides which formats are accepted.
"""

from collections.abc import Iterator

_EXTENSIONS = {
    b"jpg": "JPEG",
    b"jpeg": "JPEG",
    b"jpe": "JPEG",
    b"jfif": "JPEG",
    b"png": "PNG",
    b"webp": "WEBP",
    b"bmp": "BMP",
    b"gif": "GIF",
    b"tif": "TIFF",
    b"tiff": "TIFF",
    b"ppm": "PPM",
    b"pgm": "PPM",
    b"pbm": "PPM",
    b"pnm": "PPM",
    b"avif": "AVIF",
}

SUPPORTED_EXTENSIONS = tuple(_EXTENSIONS)
# Pictures too: they are listed, so that each one skipped is counted, instead of vanishing from a set.
UNSUPPORTED_EXTENSIONS = tuple(b"eps ps psd svg heic heif hif jp2 j2k jxl tga ico dng cr2 nef".split())
PICTURE_EXTENSIONS = frozenset(SUPPORTED_EXTENSIONS + UNSUPPORTED_EXTENSIONS)

ARRAY_EXTENSIONS = frozenset({b"npy"})
"""Pictures where a folder has no others."""
MULTIBAND_EXTENSIONS = ARRAY_EXTENSIONS | {b"tif", b"tiff"}
"""Of files that may have other channels than one or three."""

_NPY = b"\x93NUMPY"
_START_OF_SCAN = 0xDA
_HUFFMAN_TABLES = 0xC4
_SEQUENTIAL = (0xC0, 0xC1)
_HOLE_BYTES = 512
_MOST_BRANDS = 128


def starts_like(content: bytes) -> str | None:
    """Return the format that the first bytes claim, or None."""
    for magic, name in (
        (b"\xff\xd8", "JPEG"),
        (b"\x89PNG", "PNG"),
        (b"GIF8", "GIF"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"8BPS", "PSD"),
        (b"%!PS", "EPS"),
        (b"%PDF", "PDF"),
    ):
        if content.startswith(magic):
            return name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[:1] == b"P" and content[1:2] in b"123456" and content[2:3].isspace():
        return "PPM"
    return _of_boxes(content) if content[4:8] == b"ftyp" else None


def _of_boxes(content: bytes) -> str:
    """Return what the brands say of a file that begins with them, as pictures and films of telephones do."""
    end = min(int.from_bytes(content[:4]), _MOST_BRANDS)
    brands = {content[8:12], *(content[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"} else "a film"


def is_array(content: bytes) -> bool:
    """Say whether a file is an array of NumPy."""
    return content.startswith(_NPY)


def begins_like_a_picture(start: bytes) -> bool:
    """Say whether the first 16 bytes are those of a format that is decoded; "BM" and "P1 " may begin a text."""
    known = starts_like(start)
    certain = {"BMP": start[6:10] == bytes(4), "PPM": start[3:4].isdigit() or start[3:4] == b"#"}
    return known in _EXTENSIONS.values() and certain.get(known or "", True)


def name_disagrees(name: bytes, content: bytes) -> bool:
    """Say whether the extension of a file is that of another known format than its content."""
    named = _EXTENSIONS.get(extension(name))
    return named is not None and named != starts_like(content)


def extension(name: bytes) -> bytes:
    """Return what follows the last dot of a file name, in small letters; empty without a dot."""
    return name.rpartition(b".")[2].lower() if b"." in name else b""


def what_it_is(content: bytes) -> str:
    """Describe a file that is no picture, with what to do about it where that is known."""
    start = content[:512].lstrip().lower()
    if not content:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; fetch the pictures with `git lfs pull`"
    if b"<svg" in start:
        return "an SVG drawing"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, probably the error page of a failed download"
    known = starts_like(content)
    if known == "HEIC":
        return "a HEIC photograph, which `pip install 'bandwise[heic]'` lets it read; or save it as JPEG"
    return f"it looks like {known}" if known else f"{len(content)} bytes of another kind"


def missing_part(encoded: bytes) -> str | None:
    """Say what shows that a decodable JPEG is not whole, or None.

    A file that a crash or a full disk left short is often filled up with zeros, which a decoder takes for pixels.
    Two signs: no end-of-image marker after the start of the scan; and, in a sequential file, a run of 512 zero bytes
    inside the scan while the Huffman code of zeros is not "end of block". (With optimised tables large flat areas are
    long runs of zeros in sound files too, which is why the code is looked at; progressive files are not searched.)
    """
    scan = len(encoded)
    sequential = False
    zeros_are_flat = True
    for marker, start, end in _segments(encoded):
        if marker in _SEQUENTIAL:
            sequential = True
        elif marker == _HUFFMAN_TABLES:
            zeros_are_flat &= all(symbol == 0 for symbol in _first_symbols(encoded[start:end]))
        elif marker == _START_OF_SCAN:
            scan = end
    close = encoded.find(b"\xff\xd9", scan)
    if close < 0:
        return "the end-of-image marker is missing"
    if sequential and not zeros_are_flat and encoded.find(bytes(_HOLE_BYTES), scan, close) >= 0:
        return f"the pixels contain {_HOLE_BYTES} zero bytes in a row"
    return None


def trailing_bytes(encoded: bytes) -> int:
    """Count the bytes after the last end-of-image marker; decoders ignore them."""
    return len(encoded) - (encoded.rfind(b"\xff\xd9") + 2)


def _segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the payload of each segment up to and with the first start of scan."""
    position = 2
    while position + 4 <= len(encoded):
        if encoded[position] != 0xFF or encoded[position + 1] in (0x00, 0xFF):
            position += 1
            continue
        marker = encoded[position + 1]
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            position += 2
            continue
        end = position + 2 + int.from_bytes(encoded[position + 2 : position + 4])
        yield marker, position + 4, end
        if marker == _START_OF_SCAN:
            return
        position = end


def _first_symbols(tables: bytes) -> Iterator[int]:
    """Yield, for each AC table of a DHT segment, the symbol whose code is all zeros."""
    position = 0
    while position + 17 <= len(tables):
        kind = tables[position] >> 4
        symbols = sum(tables[position + 1 : position + 17])
        if kind == 1 and position + 17 < len(tables):
            yield tables[position + 17]
        position += 17 + symbols
