"""Single files out of archives, and what damaged or hostile archives say."""

import gzip
import io
import re
import tarfile

import pytest

from bandwise.sources.named import unpack as archives
from bandwise.sources.named.unpack import WrongContentError


def packed(path, *members):
    """Write a compressed tar of names and contents; a content of None is a link."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content or b""))
    return path


def test_tar_members(tmp_path):
    path = packed(tmp_path / "set.tgz", ("./a", b"AA"), ("../b", b"BB"), ("c", b"CC"), ("link", None))
    content = path.read_bytes()
    assert dict(archives.tar_members(path, {"c": 2, "a": 2})) == {"a": b"AA", "c": b"CC"}
    for wanted, words in (
        ({"a": 1}, "a in the archive is no file of at most 1 bytes"),
        ({"link": 99}, "link in the archive is no file"),
        ({"d": 1, "a": 2}, "the archive lacks d"),
    ):
        with pytest.raises(WrongContentError, match=words):
            list(archives.tar_members(path, wanted))
    for damaged in (content[:60], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(WrongContentError, match="the archive is damaged or of an unknown kind"):
            list(archives.tar_members(path, {"c": 2}))


def test_tar_files(tmp_path):
    path = packed(tmp_path / "set.tgz", ("./a/1.x", b"AA"), ("a/2.x", b"BB"), ("a/2.x.csv", b""), ("../a/3.x", b"CC"))
    wanted = re.compile(r"a/\d\.x")
    assert dict(archives.tar_files(path, wanted, 2)) == {"a/1.x": b"AA", "a/2.x": b"BB"}
    for members, words in (
        ([("a/1.x", b"AAA")], "a/1.x in the archive is no file of at most 2 bytes"),
        ([("a/1.x", None)], "a/1.x in the archive is no file"),
        ([("a/1.x", b""), ("./a/1.x", b"")], "a/1.x stands in the archive twice"),
    ):
        with pytest.raises(WrongContentError, match=words):
            list(archives.tar_files(packed(path, *members), wanted, 2))
    path.write_bytes(packed(tmp_path / "other.tgz", ("a/1.x", b"A" * 9000)).read_bytes()[:60])
    with pytest.raises(WrongContentError, match="the archive is damaged or of an unknown kind"):
        list(archives.tar_files(path, wanted, 9000))


def test_debian_package(tmp_path):
    path = tmp_path / "set.deb"

    def member(name, content):
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        return header + content + b"\n" * (len(content) % 2)

    path.write_bytes(b"!<arch>\n" + member("debian-binary", b"2.0") + member("data.tar.xz/", b"odd") + member("x", b""))
    assert archives.deb_data(path).read() == b"odd"
    for damaged in (b"!<arch>\n" + member("debian-binary", b"2.0\n"), b"!<arch>\n" + b"x" * 70, b"", b"PK"):
        path.write_bytes(damaged)
        with pytest.raises(WrongContentError, match=r"set.deb is no Debian package"):
            archives.deb_data(path)


def test_gunzip_is_bounded():
    assert archives.gunzip(gzip.compress(b"x" * 100), 100) == b"x" * 100
    with pytest.raises(WrongContentError, match="more than the 99 bytes expected"):
        archives.gunzip(gzip.compress(b"x" * 100), 99)
    for damaged in (gzip.compress(b"x" * 100)[:-9], b"plain"):
        with pytest.raises(WrongContentError, match="damaged gzip file"):
            archives.gunzip(damaged, 100)


def test_md5():
    archives.require_md5("file", b"", "d41d8cd98f00b204e9800998ecf8427e")
    with pytest.raises(WrongContentError, match=r"file has MD5 .*, expected d41d8cd98f00b204e9800998ecf8427e"):
        archives.require_md5("file", b"x", "d41d8cd98f00b204e9800998ecf8427e")
