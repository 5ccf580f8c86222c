"""Lists a tar by its headers alone: what lies where, without reading a picture and without unpacking anything.

Rules: regular files count; folders, links, devices and unknown kinds are passed over and counted; sparse files, names
that lead elsewhere, contradictory sizes, damaged headers and an end that comes too early or too late are refused.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bandwise.errors import UsageError
from bandwise.sources.archives import tarheader
from bandwise.sources.archives.tarheader import BLOCK, BadHeader, Header

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_MAX_TAIL_BYTES = 64 << 20
_TAIL_PIECE = 1 << 20

ReadAt = Callable[[int, int], bytes]
"""Returns `count` bytes from `offset`, fewer at the end."""


class Member(NamedTuple):
    """A regular file in a tar: its name, where its data begins in the file that is read, and how long it is."""

    name: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Region:
    """A tar, which may itself be a member of another one.

    Attributes:
        read_at: reads the file that it lies in.
        start: where it begins there.
        stop: where it must have ended.
        where: its name in messages.
    """

    read_at: ReadAt
    start: int
    stop: int
    where: str


def members(region: Region, passed_over: Counter[str] | None = None) -> Iterator[Member]:
    """Yield the regular files of a tar in their order.

    Args:
        region: the tar.
        passed_over: told how many members of which other kind there were.

    Raises:
        UsageError: it is no tar, is damaged or cut off, or holds what is refused; the message has the place.
    """
    position = region.start
    counts = Counter[str]() if passed_over is None else passed_over
    pax: dict[bytes, bytes] = {}
    long_name: bytes | None = None
    while True:
        block = _block(region, position)
        if not block.strip(b"\0"):
            _require_end(region, position)
            return
        data = position + BLOCK
        name: bytes | None = None
        try:
            header = tarheader.parse_header(block)
            name = header.name
            if header.kind in (tarheader.GNU_LONG_NAME, tarheader.GNU_LONG_LINK):
                text = _extension(region, data, header, tarheader.MAX_NAME_BYTES + 1).rstrip(b"\0")
                long_name = text if header.kind == tarheader.GNU_LONG_NAME else long_name
                size = header.size
            elif header.kind in tarheader.PAX or header.kind == tarheader.PAX_GLOBAL:
                records = tarheader.parse_pax(_extension(region, data, header, tarheader.MAX_PAX_BYTES))
                if header.kind != tarheader.PAX_GLOBAL:
                    pax = records
                elif records.keys() & {b"path", b"size"}:
                    raise BadHeader("a header for all members gives a name or a size")
                size = header.size
            else:
                name = pax.get(b"path", long_name or header.name)
                size = tarheader.pax_size(pax, header)
                pax, long_name = {}, None
                if header.kind in tarheader.REGULAR and not (header.kind == b"\0" and name.endswith(b"/")):
                    label = tarheader.require_label(name)
                    _require_inside(region, label, data, size)
                    yield Member(label, data, size)
                elif header.kind == tarheader.GNU_SPARSE:
                    raise BadHeader("it is sparse; pack it again without --sparse")
                else:
                    counts[_kind_in_words(header.kind)] += 1
                    size = 0 if header.kind in tarheader.WITHOUT_DATA else size
        except BadHeader as error:
            shown = "the member" if name is None else f"the member {_printable(name)}"
            raise UsageError(f"{region.where}: {shown} at byte {position}: {error}") from None
        position = data + -(-size // BLOCK) * BLOCK


def _block(region: Region, position: int) -> bytes:
    """Return the header at `position`, or zeros for the end of an empty tar."""
    block = region.read_at(position, BLOCK) if position + BLOCK <= region.stop else b""
    if position == region.start and (compression := _compression(block)):
        raise UsageError(
            f"{region.where} is compressed ({compression}): pictures cannot be read from the middle of it; "
            "decompress it once to a plain .tar, for example with gunzip --keep (its pictures need not be unpacked)"
        )
    if len(block) < BLOCK:
        raise UsageError(
            f"{region.where} is cut off: it ends at byte {region.stop}, without the next member or the mark of its end "
            f"at byte {position}; fetch it again"
        )
    return block


def _extension(region: Region, data: int, header: Header, limit: int) -> bytes:
    if header.size > limit:
        raise BadHeader(f"a header of {header.size} bytes precedes it; at most {limit} are read")
    _require_inside(region, header.name, data, header.size)
    return region.read_at(data, header.size)


def _require_inside(region: Region, name: bytes, data: int, size: int) -> None:
    if data + size > region.stop:
        raise UsageError(
            f"{region.where} is cut off: {_printable(name)} should have {size} bytes from byte {data}, but it ends at "
            f"byte {region.stop}; fetch it again"
        )


def _require_end(region: Region, position: int) -> None:
    """Check that only zeros follow: what stands behind the end would be lost without a word."""
    late = region.stop - position > _MAX_TAIL_BYTES
    for start in range(position, region.stop, _TAIL_PIECE):
        if late or region.read_at(start, min(_TAIL_PIECE, region.stop - start)).strip(b"\0"):
            raise UsageError(
                f"{region.where} goes on after the mark of its end at byte {position}; were archives joined? "
                "Give each as a file of its own"
            )


def _compression(block: bytes) -> str | None:
    known = {_GZIP: "gzip", _BZIP2: "bzip2", _XZ: "xz", _ZSTD: "zstd"}
    return next((name for magic, name in known.items() if block.startswith(magic)), None)


def _kind_in_words(kind: bytes) -> str:
    if kind == tarheader.FOLDER or kind == b"\0":
        return "folders"
    if kind in tarheader.LINKS:
        return "links"
    return "devices" if kind in tarheader.WITHOUT_DATA else "of an unknown kind"


def _printable(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "surrogateescape"))
