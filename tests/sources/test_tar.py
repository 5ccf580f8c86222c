"""Listing tars by their headers: the same as `tarfile` says of honest ones, and a clear rule for hostile ones (S26)."""

import io
import os
import struct
import tarfile
from collections import Counter

import pytest
from tests.sources.imagenet import tar_of

from bandwise.errors import UsageError
from bandwise.sources.archives.classtars import MAX_PICTURE_BYTES, require_picture_size
from bandwise.sources.archives.tar import members
from bandwise.sources.reading import memory_region, open_archive

END = bytes(1024)


def listed(content, passed_over=None):
    return list(members(memory_region(content, "x.tar"), passed_over))


def header(name=b"a.jpg", size=b"3", kind=b"0", magic=b"ustar\x0000", prefix=b"", checksum=None):
    """Return one header, with the right checksum unless another is given."""
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")[:100]
    block[124:136] = size.rjust(11, b"0") + b"\0" if size[:1] != b"\x80" else size
    block[156:157] = kind
    block[257:265] = magic
    block[345:500] = prefix.ljust(155, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) if checksum is None else checksum)
    return bytes(block)


def member(content=b"abc", **fields):
    """Return a header and its data, padded."""
    return header(size=b"%o" % len(content), **fields) + content + bytes(-len(content) % 512)


def pax(content):
    """Return an extended header for the next member."""
    return member(kind=b"x", name=b"pax", content=content)


FINE = member(name=b"fine.jpg")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_same_as_tarfile(form):
    names = ["a.jpg", "folder/" + "b" * 90 + ".jpg", "./c.jpg", "empty.jpg"]
    if form != tarfile.USTAR_FORMAT:
        names += ["d" * 300 + ".jpg", "\u00e9" * 60 + ".jpg"]
    contents = {name: bytes([number]) * (700 * number) for number, name in enumerate(reversed(names))}
    archive = tar_of(contents, form)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        expected = [(info.name.removeprefix("./").encode(), info.offset_data, info.size) for info in tar]
    assert [tuple(each) for each in listed(archive)] == expected
    assert {archive[offset : offset + size] for _, offset, size in listed(archive)} == set(contents.values())


def test_headers_of_other_programs():
    high = header(name=b"\xff\xfe.jpg", size=b"0")
    signed = sum(struct.unpack("512b", high[:148] + b" " * 8 + high[156:]))
    blanks = bytearray(header(size=b"0"))
    blanks[124:136] = b"          0 "
    blanks[148:156] = b"%6o\0 " % (sum(blanks) - sum(blanks[148:156]) + 8 * 32)
    for block, name in (
        (header(name=b"old.jpg", size=b"0", magic=bytes(8), kind=b"\0"), b"old.jpg"),
        (header(prefix=b"some/where", size=b"0"), b"some/where/a.jpg"),
        (header(prefix=b"not a prefix", size=b"0", magic=b"ustar  \0"), b"a.jpg"),
        (header(name=b"\xff\xfe.jpg", size=b"0", checksum=signed), b"\xff\xfe.jpg"),
        (bytes(blanks), b"a.jpg"),
    ):
        assert listed(block + END) == [(name, 512, 0)]
    large = header(size=b"\x80" + (9 << 33).to_bytes(11))
    with pytest.raises(UsageError, match=f"'a.jpg' should have {9 << 33} bytes"):
        listed(large + END)


def test_other_kinds_are_passed_over_and_counted():
    archive = b"".join(
        (
            member(kind=b"5", name=b"folder/", content=b""),
            member(kind=b"\0", name=b"old folder/", content=b"", magic=bytes(8)),
            header(kind=b"2", name=b"symbolic"),
            header(kind=b"1", name=b"hard"),
            header(kind=b"3", name=b"/dev/sda"),
            header(kind=b"6", name=b"fifo"),
            member(kind=b"V", name=b"volume"),
            member(kind=b"7", name=b"contiguous.jpg"),
            FINE,
            END,
        )
    )
    counts = Counter()
    assert [each.name for each in listed(archive, counts)] == [b"contiguous.jpg", b"fine.jpg"]
    assert counts == {"folders": 2, "links": 2, "devices": 2, "of an unknown kind": 1}


def test_long_names_and_extended_headers_apply_to_one_member():
    long = member(kind=b"L", name=b"././@LongLink", content=b"n" * 200 + b".jpg\0")
    link = member(kind=b"K", name=b"././@LongLink", content=b"target\0")
    renamed = pax(b"18 path=other.jpg\n")
    comment = member(kind=b"g", name=b"pax", content=b"18 comment=a note\n")
    names = [each.name for each in listed(comment + long + link + FINE + FINE + renamed + FINE + FINE + END)]
    assert names == [b"n" * 200 + b".jpg", b"fine.jpg", b"other.jpg", b"fine.jpg"]


def test_a_size_that_only_the_extended_header_can_hold():
    """Only the headers are read, so the data need not be there."""
    size = 9 << 30
    sized = pax(b"%d size=%d\n" % (len(b"nn size=\n") + len(str(size)), size))
    with pytest.raises(UsageError, match=f"'a.jpg' should have {size} bytes from byte 1536"):
        listed(sized + header(size=b"0") + END)


REFUSED = [
    (member(name=b"../x.jpg"), r"the member '../x.jpg' at byte 0: names with a leading /"),
    (member(name=b"a/../../x.jpg"), r"part \.\. are refused"),
    (member(name=b"/etc/x.jpg"), r"names with a leading / or a part"),
    (member(name=b""), "its name has 0 bytes; 1 to 4096 are allowed"),
    (pax(b"20 path=../../x.jpg\n") + FINE, "the member '../../x.jpg' at byte 1024: names with"),
    (member(kind=b"S", name=b"sparse.jpg"), "it is sparse; pack it again"),
    (pax(b"22 GNU.sparse.major=1\n") + FINE, "it is sparse"),
    (header(kind=b"L", size=b"%o" % 10**9), r"a header of 1000000000 bytes precedes it; at most 4097"),
    (header(kind=b"x", size=b"%o" % (1 << 32)), "a header of 4294967296 bytes precedes it; at most"),
    (pax(b"99 path=x\n") + FINE, "extended header is malformed"),
    (pax(b"-9 path=x\n") + FINE, "extended header is malformed"),
    (pax(b"0 path=x\n") + FINE, "extended header is malformed"),
    (pax(b"9 pathxx\n") + FINE, "extended header is malformed"),
    (pax(b"10 size=1\n") + FINE, "its two sizes, 3 and b'1', contradict"),
    (pax(b"11 size=-1\n") + FINE, "its two sizes, 3 and b'-1', contradict"),
    (member(kind=b"g", content=b"14 path=x.jpg\n") + FINE, "gives a name or a size"),
    (header(size=b"9" * 11), "a number of the header is not octal; the size is b'9"),
    (header(size=b"-1"), "a number of the header is not octal; the size is b'0+-1"),
    (FINE + header(checksum=5), "the member at byte 1024: the checksum"),
    (header(checksum=5), "the checksum of its header is wrong"),
    (header()[:148] + b"009000\0 " + header()[156:], "the checksum of its header is wrong"),
    (b"no tar" * 200, "the checksum of its header is wrong: damaged, or no tar"),
    (header(size=b"7777"), "is cut off: 'a.jpg' should have 4095 bytes from byte 512"),
    (header(size=b"\x80" + b"\xff" * 11), "is cut off: 'a.jpg' should have 30948500982"),
    (FINE + END + FINE, "goes on after the mark of its end at byte 1024; were archives"),
    (b"\x1f\x8b\x08" + bytes(600), r"is compressed \(gzip\): pictures cannot be read from"),
    (b"\x28\xb5\x2f\xfd" + bytes(600), r"is compressed \(zstd\)"),
]
REFUSED = [(archive + END, words) for archive, words in REFUSED] + [
    (FINE, "is cut off: it ends at byte 1024, without the next member"),
    (FINE[:700], "is cut off: it ends at byte 700"),
    (b"", "is cut off: it ends at byte 0"),
]


@pytest.mark.parametrize(("archive", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_refused(archive, words):
    with pytest.raises(UsageError, match=rf"^x\.tar.*{words}"):
        listed(archive)


def test_the_same_archives_are_fine_without_the_fault():
    """A control for the test above."""
    assert [each.name for each in listed(FINE + END)] == [b"fine.jpg"]
    assert [each.name for each in listed(pax(b"10 size=3\n") + FINE + END)] == [b"fine.jpg"]
    assert listed(END) == []
    assert listed(bytes(512)) == [], "one block of zeros is enough"


def test_values_of_an_extended_header_may_hold_anything():
    values = pax(b"12 a=b=c\n\xff=\n" + b"14 path=b.jpg\n" + b"5 k=\n")
    assert [each.name for each in listed(values + FINE + END)] == [b"b.jpg"]


def test_pictures_have_a_size():
    require_picture_size("x.tar", b"a.jpg", MAX_PICTURE_BYTES)
    with pytest.raises(
        UsageError, match=r"x.tar: 'a.jpg' has 268435457 bytes; a picture may have 268435456: remove it"
    ):
        require_picture_size("x.tar", b"a.jpg", MAX_PICTURE_BYTES + 1)


def test_opening(tmp_path):
    with pytest.raises(UsageError, match="none cannot be opened: No such file"), open_archive(tmp_path / "none"):
        pass
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(UsageError, match="is no regular file"), open_archive(path):
            pass
    (tmp_path / "x.tar").write_bytes(FINE + END)
    (tmp_path / "link.tar").symlink_to(tmp_path / "x.tar")
    with open_archive(tmp_path / "link.tar") as region:
        assert [each.name for each in members(region)] == [b"fine.jpg"]
