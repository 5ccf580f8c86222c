"""A document that only the first of several processes writes, also where files cannot be linked."""

import errno
import os

import pytest

from bandwise.errors import NoSpaceError
from bandwise.files.documents import read_document
from bandwise.files.exclusive import create_document


def without_links(monkeypatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("links", [True, False])
def test_the_first_is_kept_and_nothing_else_is_left(tmp_path, monkeypatch, links):
    if not links:
        without_links(monkeypatch, errno.EPERM)
    path = tmp_path / "run.json"
    assert create_document(path, {"who": "first"})
    assert not create_document(path, {"who": "second"})
    assert read_document(path) == {"who": "first"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    without_links(monkeypatch, errno.ENOSPC)
    with pytest.raises(NoSpaceError):
        create_document(tmp_path / "run.json", {"who": "first"})
    assert list(tmp_path.iterdir()) == []


def test_another_error_is_not_taken_for_a_file_that_is_there(tmp_path, monkeypatch):
    without_links(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        create_document(tmp_path / "run.json", {"who": "first"})
    assert list(tmp_path.iterdir()) == []
