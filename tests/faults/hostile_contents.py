"""What a stranger may write in the place of a JSON document, a file of tensors, a configuration or a picture."""

import json
import struct
import zlib

DEEP = 200_000


def _tensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "noise": bytes(range(256)) * 4,
    "deep lists": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "a key twice": b'{"format": "bandwise-store", "format": "bandwise-store"}',
    "NaN": b'{"version": NaN}',
    "a huge number": b'{"version": 1' + b"0" * 10_000 + b"}",
    "a list": b"[1, 2]",
    "null": b"null",
    "UTF-16": '{"version": 1}'.encode("utf-16"),
    "a BOM": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"a": "\\ud800"}',
    "zeros": bytes(5000),
}


HEADERS: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": bytes(7),
    "a header of 2^63 bytes": _tensors(b"{}", 2**63),
    "a header of 100 MB": _tensors(b"{}", 100 << 20),
    "a header longer than the file": _tensors(b"{}", 3),
    "no object": _tensors(b"[]"),
    "deep lists": _tensors(b"[" * DEEP),
    "deep objects": _tensors(b'{"a":' * DEEP),
    "not UTF-8": _tensors(b"\xff\xfe{}"),
    "no tensors": _tensors(b"{}"),
    "a name twice": _tensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' * 2 + b"}", None, b"x"),
    **{
        f"{dtype} {shape} at {offsets}": _tensors(
            json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode(), None, bytes(16)
        )
        for dtype, shape, offsets in (
            ("F32", [4], [0, 2**62]),
            ("F32", [4], [16, 0]),
            ("F32", [-4], [0, 16]),
            ("F32", [2**62, 2**62], [0, 16]),
            ("F32", [2**34], [0, 16]),
            ("F32", [4], [1, 17]),
            ("F32", [3], [0, 12]),
            ("F99", [4], [0, 16]),
            ("F32", "4", [0, 16]),
            ("F32", [4.0], [0, 16]),
            ("F32", [4], [0]),
            ("F64", [4], [0, 16]),
            ("U8", [16], [0, 16]),
            ("BOOL", [16], [0, 16]),
        )
    },
}


CONFIGS: dict[str, bytes] = {
    "a constructor": b"split: !!python/object/apply:os.system [touch CANARY]\n",
    "a name": b"split: !!python/name:os.system\n",
    "a module": b"!!python/module:os\n",
    "a tuple": b"split: !!python/tuple [1]\n",
    "laughs": b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nsplit: *c\n",
    "itself": b"&a [*a]\n",
    "a key twice": b"split: {}\nsplit: {}\n",
    "a merge key": b"split:\n  <<: {stride: 2}\n",
    "deep": b"[" * 5000,
    "2 MB": b"#" * (2 << 20),
    "binary": bytes(range(256)),
    "unknown key": b"splitt: {}\n",
    "a list": b"- 1\n",
    "a number": b"7\n",
    "two documents": b"split: {}\n---\nsplit: {}\n",
    "stride 0": b"split: {stride: 0}\n",
    "stride -1": b"split: {stride: -1}\n",
    "stride huge": b"split: {stride: 99999999999999999999}\n",
    "stride text": b"split: {stride: '2'}\n",
    "stride true": b"split: {stride: true}\n",
    "stride float": b"split: {stride: 2.0}\n",
    "lr nan": b"training: {lr: .nan}\n",
    "lr inf": b"training: {lr: .inf}\n",
    "lr text": b"training: {lr: 1e-3}\n",
    "epochs huge": b"training: {epochs: 1000000000000}\n",
    "threads": b"training: {threads: -4}\n",
    "model": b"network: {model: __import__('os').system('touch CANARY')}\n",
    "model path": b"network: {model: ../../etc/passwd}\n",
    "pth": b"network: {initial_checkpoint: stranger.pth}\n",
    "branches": b"branches: '0;99'\n",
    "branches many": b"branches: '" + b"0;" * 5000 + b"0'\n",
    "transform": b"split: {transform: 'lambda x: x'}\n",
    "null section": b"split: null\n",
    "date": b"split: {stride: 2020-01-01}\n",
    "sexagesimal": b"split: {stride: 1:30}\n",
    "a set": b"split: !!set {stride}\n",
    "binary tag": b"split: !!binary aGVsbG8=\n",
}


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


PICTURES: dict[str, bytes] = {
    "a bomb": _png(20000, 20000),
    "a wide bomb": _png(2**31 - 1, 1),
    "a tall bomb": _png(1, 2**31 - 1),
    "no pixels": _png(0, 0),
    "no data": _png(24, 24),
    "much data": _png(24, 24, bytes(50_000_000)),
    "one byte": b"\xff",
    "HTML": b"<!DOCTYPE html><html>404</html>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(CANARY) (w) file closefile\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PSD": b"8BPS\x00\x01" + bytes(100),
    "a pickle": b"\x80\x04cposix\nsystem\n(S'touch CANARY'\ntR.",
    "a header of GIF": b"GIF89a\xff\xff\xff\xff\xf7\x00\x00",
    "a TIFF that goes round": b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00",
    "the start of JPEG": b"\xff\xd8\xff\xe0",
    "a length of WebP": b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff",
    "a huge BMP": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
}
