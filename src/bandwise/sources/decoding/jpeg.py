"""Finds JPEG files that decode without an error although part of them was never written."""

from collections.abc import Iterator

_START_OF_SCAN = 0xDA
_HUFFMAN_TABLES = 0xC4
_SEQUENTIAL = (0xC0, 0xC1)
_HOLE_BYTES = 512


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
