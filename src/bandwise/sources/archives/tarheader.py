"""One 512-byte header of a tar, in the POSIX (ustar), GNU and old forms; a field is checked before it is believed."""

from dataclasses import dataclass

BLOCK = 512
MAX_NAME_BYTES = 4096
MAX_PAX_BYTES = 1 << 20

REGULAR = frozenset((b"0", b"\0", b"7"))
LINKS = frozenset((b"1", b"2"))
FOLDER = b"5"
WITHOUT_DATA = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE = b"L", b"K", b"S"
PAX, PAX_GLOBAL = frozenset((b"x", b"X")), b"g"

_CHECKSUM = slice(148, 156)


class BadHeader(ValueError):
    """A header, or what it says of the next one, cannot be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What one header says.

    Attributes:
        name: as it stands there, with the prefix of POSIX headers.
        size: bytes of data that follow.
        kind: one byte, the type flag.
    """

    name: bytes
    size: int
    kind: bytes


def parse_header(block: bytes) -> Header:
    """Read a header.

    Raises:
        BadHeader: the checksum or a number is wrong, or the size is negative.
    """
    stated = _text(block[_CHECKSUM]).strip(b" ")
    if stated.lstrip(b"0") != b"%o" % _checksum(block) and stated.lstrip(b"0") != b"%o" % _signed_checksum(block):
        raise BadHeader("the checksum of its header is wrong: damaged, or no tar at all")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = prefix + b"/" + name
    return Header(name, _number(block[124:136]), block[156:157])


def is_header(block: bytes, size: int) -> bool:
    """Say whether a block is the header of data of this size."""
    try:
        return parse_header(block).size == size
    except BadHeader:
        return False


def parse_pax(content: bytes) -> dict[bytes, bytes]:
    """Read the records `LENGTH KEY=VALUE\\n` of an extended header.

    Raises:
        BadHeader: a record is malformed, or the member is sparse.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        digits = content[position : position + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[position : position + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length <= len(digits) + 1 or len(record) != length or record[-1:] != b"\n" or not equals:
            raise BadHeader("a record of an extended header is malformed")
        if key.startswith(b"GNU.sparse."):
            raise BadHeader("it is sparse; pack it again without --sparse")
        records[key] = value
        position += length
    return records


def pax_size(records: dict[bytes, bytes], header: Header) -> int:
    """Return the size of a member: that of its extended header, which must not contradict the short one.

    Raises:
        BadHeader: it does, or is no number.
    """
    if b"size" not in records:
        return header.size
    text = records[b"size"]
    size = int(text) if text.isdigit() and len(text) < 20 else -1
    # The short field holds at most 8 GiB; a larger size stands in the extended header alone.
    if size < 0 or (size != header.size and size < 8 << 30):
        raise BadHeader(f"its two sizes, {header.size} and {text[:20]!r}, contradict each other")
    return size


def require_label(name: bytes) -> bytes:
    """Return a name without a leading `./`; it is only ever used as a label, never as a place on a disk.

    Raises:
        BadHeader: it is empty, too long, absolute, or has a part `..`.
    """
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    if not name or len(name) > MAX_NAME_BYTES:
        raise BadHeader(f"its name has {len(name)} bytes; 1 to {MAX_NAME_BYTES} are allowed")
    if name.startswith(b"/") or b".." in name.split(b"/"):
        raise BadHeader("names with a leading / or a part .. are refused; pack the pictures again without them")
    return name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        # GNU writes what does not fit into the octal digits in base 256.
        return int.from_bytes(field[1:])
    digits = _text(field).strip(b" ")
    if not digits:
        return 0
    try:
        if not digits.isdigit():
            raise ValueError
        return int(digits, 8)
    except ValueError:
        raise BadHeader(f"a number of the header is {field!r}") from None


def _checksum(block: bytes) -> int:
    return sum(block) - sum(block[_CHECKSUM]) + 8 * 0x20


def _signed_checksum(block: bytes) -> int:
    """Some old programs summed signed bytes."""
    high = sum(1 for value in block[:148] + block[156:] if value > 127)
    return max(0, _checksum(block) - 256 * high)
