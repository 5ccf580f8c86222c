"""Pictures from a stranger: bombs, wrong lengths, other formats under a picture's name, and mutations of good ones."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tests.faults.fuzz import mutate


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _good(kind: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_pictures(folder: Path, mutations: int) -> int:
    """Write hostile pictures; return how many."""
    folder.mkdir(parents=True)
    made = {
        "bomb-20000": _png(20000, 20000),
        "bomb-wide": _png(2**31 - 1, 1),
        "bomb-tall": _png(1, 2**31 - 1),
        "no-pixels": _png(0, 0),
        "no-data": _png(24, 24),
        "much-data": _png(24, 24, bytes(50_000_000)),
        "one-pixel": _png(1, 1, bytes(4)),
        "empty": b"",
        "one-byte": b"\xff",
        "html": b"<!DOCTYPE html><html>404</html>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "script": b"#!/bin/sh\ntouch CANARY\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(CANARY) (w) file closefile\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "psd": b"8BPS\x00\x01" + bytes(100),
        "pickle": b"\x80\x04cposix\nsystem\n(S'touch CANARY'\ntR.",
        "gif-header": b"GIF89a\xff\xff\xff\xff\xf7\x00\x00",
        "tiff-loop": b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00",
        "jpeg-only-start": b"\xff\xd8\xff\xe0",
        "jpeg-zeros": _good("JPEG")[:400] + bytes(2000),
        "webp-length": b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff",
        "bmp-huge": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    }
    rng = random.Random(4)
    for number in range(mutations):
        kind = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")[number % 6]
        made[f"mutation-{number:03d}-{kind}"] = mutate(_good(kind), rng)
    for name, content in made.items():
        (folder / f"{name}.jpg").write_bytes(content)
    return len(made)
