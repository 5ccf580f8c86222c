"""Downloaders: package managers that work, fail, hang or are missing, and a host that does not exist."""

import stat

import pytest

from bandwise.sources.named import fetch as download
from bandwise.sources.named.fetch import DownloadError


def program(folder, name, script):
    """Put a shell script called `name` in `folder`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_npm_and_apt_leave_one_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, "npm", 'test "$1 $4" = "pack set@1" && echo noise >&2 && printf packed > set-1.tgz')
    program(tmp_path, "apt-get", 'test "$1 $3" = "download set" && printf package > set_1_all.deb')
    download.from_npm("set@1", tmp_path / "a", None)
    download.from_apt("set", tmp_path / "b", None)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"packed", b"package")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "apt-get", "b", "npm"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo one >&2; echo two >&2; echo; echo three >&2; exit 3", "exit code 3: two / three"),
        ("true", "npm left 0 files where one was expected"),
        ("touch a b", "npm left 2 files where one was expected"),
    ],
)
def test_a_program_that_fails(tmp_path, monkeypatch, script, words):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, "npm", script)
    with pytest.raises(DownloadError, match=words):
        download.from_npm("set@1", tmp_path / "out", None)
    assert [path.name for path in tmp_path.iterdir()] == ["npm"]


def test_a_program_that_is_missing_or_hangs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="npm is not installed"):
        download.from_npm("set@1", tmp_path / "out", None)
    program(tmp_path, "npm", "while :; do :; done")
    monkeypatch.setattr("bandwise.sources.named.fetch._PROGRAM_S", 0.2)
    with pytest.raises(DownloadError, match=r"npm took more than 0.2 seconds"):
        download.from_npm("set@1", tmp_path / "out", None)


def test_a_host_that_does_not_exist(tmp_path):
    with pytest.raises(DownloadError, match=r"^no.such.host.invalid cannot be reached: \w+$"):
        download.from_web("http://no.such.host.invalid/file", tmp_path / "out", None)
