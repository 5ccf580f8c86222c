"""Says by its first bytes what a file is, for messages and notes; the decoder alone decides what is accepted."""

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
}

SUPPORTED_EXTENSIONS = tuple(_EXTENSIONS)
# Pictures too: they are listed, so that each one skipped is counted, instead of vanishing from a set.
UNSUPPORTED_EXTENSIONS = tuple(b"eps ps psd svg avif heic heif jp2 j2k jxl ppm pgm pbm pnm tga ico dng cr2 nef".split())
PICTURE_EXTENSIONS = frozenset(SUPPORTED_EXTENSIONS + UNSUPPORTED_EXTENSIONS)


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
    return "AVIF or HEIC" if content[4:8] == b"ftyp" else None


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
    return f"it looks like {known}" if known else f"{len(content)} bytes of another kind"
