"""Pictures in tars, listed by their headers alone and read from where they lie: nothing is ever unpacked.

Rules: regular files count; folders, links, devices and unknown kinds are passed over and counted; sparse files, names
that lead elsewhere, contradictory sizes, damaged headers and an end that comes too early or too late are refused.
`tarfile` reads one header; its own loop would end at a damaged one as if the archive ended there.
"""

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from bandwise.errors import IncompatibleError, UsageError
from bandwise.sources.archives.index import ArchiveSource
from bandwise.sources.reading import Region, read_file

_BLOCK = 512
_MAX_NAME_BYTES = 4096
_MAX_PAX_BYTES = 1 << 20
_MAX_TAIL_BYTES = 64 << 20
_TAIL_PIECE = 1 << 20
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_WITHOUT_DATA = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))


class Member(NamedTuple):
    """A regular file in a tar: its name, where its data begins in the file that is read, and how long it is."""

    name: bytes
    offset: int
    size: int


class TarSource(ArchiveSource):
    """A source whose pictures are members of tars."""

    __slots__ = ()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture, if the header before it is what it was."""
        file, offset, size, _ = self.find(path)
        content = read_file(os.fsencode(file), offset=offset - _BLOCK, count=_BLOCK + size)
        try:
            unchanged = _parse_header(content[:_BLOCK]).size == size
        except _BadMember:
            unchanged = False
        if not unchanged:
            raise IncompatibleError(f"{file} has changed since it was indexed; start again")
        return content[_BLOCK:]


def members(region: Region, passed_over: Counter[str] | None = None) -> Iterator[Member]:
    """Yield the regular files of a tar in their order, and count the other members by their kind in `passed_over`."""
    _refuse_compressed(region)
    counts = Counter[str]() if passed_over is None else passed_over
    position = region.start
    while True:
        position, header = _next_member(region, position)
        if header is None:
            break
        if header.isreg():
            member = Member(header.name.encode("latin-1"), position, header.size)
            _require_inside(region, *member)
            yield member
        else:
            counts[_kind_in_words(header)] += 1
        position += 0 if header.type in _WITHOUT_DATA else _padded(header.size)
    _require_only_zeros(region, position)


class _BadMember(Exception):
    """A header, or what it says of the next one, cannot be believed; the text says why."""


def _next_member(region: Region, position: int) -> tuple[int, tarfile.TarInfo | None]:
    """Read the headers at `position`: those that give a long name or a size, and that of the member itself.

    Return where its data begin, and its header with the right name and size; or where the end is, and None.
    """
    long_name: bytes | None = None
    pax: dict[bytes, bytes] = {}
    while True:
        block = _block(region, position)
        if not block.strip(b"\0"):
            return position, None
        shown = "the member"
        try:
            header = _parse_header(block)
            name = header.name.encode("latin-1")
            shown = f"the member {_printable(name)}"
            if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                text = _extension(region, position, name, header.size, _MAX_NAME_BYTES + 1).rstrip(b"\0")
                long_name = text if header.type == tarfile.GNUTYPE_LONGNAME else long_name
            elif header.type in (*_PAX, tarfile.XGLTYPE):
                records = _pax_records(_extension(region, position, name, header.size, _MAX_PAX_BYTES))
                if header.type in _PAX:
                    pax = records
                elif records.keys() & {b"path", b"size"}:
                    raise _BadMember("a header for all members gives a name or a size")
            else:
                name = pax.get(b"path", long_name or name)
                shown = f"the member {_printable(name)}"
                header.size = _pax_size(pax, header.size)
                if header.isreg():
                    header.name = _require_label(name).decode("latin-1")
                if header.type == tarfile.GNUTYPE_SPARSE:
                    raise _BadMember("it is sparse; pack it again without --sparse")
                return position + _BLOCK, header
        except _BadMember as error:
            raise UsageError(f"{region.where}: {shown} at byte {position}: {error}") from None
        position += _BLOCK + _padded(header.size)


def _parse_header(block: bytes) -> tarfile.TarInfo:
    """Read one header; names are Latin-1 here, which keeps every byte."""
    try:
        header = tarfile.TarInfo.frombuf(block, "latin-1", "strict")
    except tarfile.HeaderError as error:
        if "checksum" in str(error) or block[148:156].strip(b"\0 ").strip(b"01234567"):
            raise _BadMember("the checksum of its header is wrong: damaged, or no tar at all") from None
        raise _BadMember(f"a number of the header is not octal; the size is {block[124:136]!r}") from None
    if block[257:263] != b"ustar\0":
        # `tarfile` takes for a prefix what GNU tar uses otherwise.
        header.name = block[:100].partition(b"\0")[0].decode("latin-1")
    if header.size < 0:
        raise _BadMember(f"its size is {header.size}")
    return header


def _block(region: Region, position: int) -> bytes:
    block = region.read_at(position, _BLOCK) if position + _BLOCK <= region.stop else b""
    if len(block) < _BLOCK:
        raise UsageError(
            f"{region.where} is cut off: it ends at byte {region.stop}, without the next member or the mark of its end "
            f"at byte {position}; fetch it again"
        )
    return block


def _extension(region: Region, position: int, name: bytes, size: int, limit: int) -> bytes:
    if size > limit:
        raise _BadMember(f"a header of {size} bytes precedes it; at most {limit} are read")
    _require_inside(region, name, position + _BLOCK, size)
    return region.read_at(position + _BLOCK, size)


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """Read the records `LENGTH KEY=VALUE\\n` of an extended header; `tarfile` would end at a malformed one."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        digits = content[position : position + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[position : position + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length <= len(digits) + 1 or len(record) != length or record[-1:] != b"\n" or not equals:
            raise _BadMember("a record of an extended header is malformed")
        if key.startswith(b"GNU.sparse."):
            raise _BadMember("it is sparse; pack it again without --sparse")
        records[key] = value
        position += length
    return records


def _pax_size(pax: dict[bytes, bytes], short: int) -> int:
    """Return the size of a member: that of its extended header, which must not contradict the short one."""
    if b"size" not in pax:
        return short
    text = pax[b"size"]
    size = int(text) if text.isdigit() and len(text) < 20 else -1
    # The short field holds at most 8 GiB; a larger size is in the extended header alone.
    if size < 0 or (size != short and size < 8 << 30):
        raise _BadMember(f"its two sizes, {short} and {text[:20]!r}, contradict each other")
    return size


def _require_label(name: bytes) -> bytes:
    """Return a name without a leading `./`; it is only ever used as a label, never as a place on a disk."""
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    if not name or len(name) > _MAX_NAME_BYTES:
        raise _BadMember(f"its name has {len(name)} bytes; 1 to {_MAX_NAME_BYTES} are allowed")
    if name.startswith(b"/") or b".." in name.split(b"/"):
        raise _BadMember("names with a leading / or a part .. are refused; pack the pictures again without them")
    return name


def _require_inside(region: Region, name: bytes, data: int, size: int) -> None:
    if data + size > region.stop:
        raise UsageError(
            f"{region.where} is cut off: {_printable(name)} should have {size} bytes from byte {data}, but it ends at "
            f"byte {region.stop}; fetch it again"
        )


def _refuse_compressed(region: Region) -> None:
    start = region.read_at(region.start, 8)
    for magic, compression in _COMPRESSIONS.items():
        if start.startswith(magic):
            raise UsageError(
                f"{region.where} is compressed ({compression}): pictures cannot be read from the middle of it; "
                "decompress it once to a plain .tar, for example with gunzip --keep (its pictures need not be unpacked)"
            )


def _require_only_zeros(region: Region, position: int) -> None:
    """Check that only zeros follow the mark of the end: anything else would be lost in silence."""
    late = region.stop - position > _MAX_TAIL_BYTES
    for start in range(position, region.stop, _TAIL_PIECE):
        if late or region.read_at(start, min(_TAIL_PIECE, region.stop - start)).strip(b"\0"):
            raise UsageError(
                f"{region.where} goes on after the mark of its end at byte {position}; were archives joined? "
                "Give each as a file of its own"
            )


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _kind_in_words(header: tarfile.TarInfo) -> str:
    if header.isdir():
        return "folders"
    if header.islnk() or header.issym():
        return "links"
    return "devices" if header.isdev() else "of an unknown kind"


def _printable(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "surrogateescape"))
