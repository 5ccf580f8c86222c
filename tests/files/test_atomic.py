"""Write-then-rename, files that only the first of several processes writes, and full disks."""

import errno
import os

import pytest

from bandwise.errors import NoSpaceError, UsageError
from bandwise.files import atomic


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a"
    atomic.write_bytes(path, b"whole")

    def fail_half_way() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_is_a_clear_error(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr("builtins.open", full)
    with pytest.raises(NoSpaceError, match=r"no space left while writing .*a\.bin"):
        atomic.write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_torch_words_for_a_full_disk_are_understood(tmp_path):
    with pytest.raises(NoSpaceError), atomic.explain_full_disk(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="another"), atomic.explain_full_disk(tmp_path):
        raise RuntimeError("another reason")


def test_space_is_checked_before_the_work(tmp_path):
    with pytest.raises(NoSpaceError, match="are needed"):
        atomic.require_space(tmp_path, 1 << 60)
    atomic.require_space(tmp_path, 0)


def test_an_unwritable_folder_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot write in"):
        atomic.require_writable(tmp_path / "file" / "below")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def write_then_fail(folder):
        (folder / "a").write_bytes(b"1")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NoSpaceError):
        atomic.commit_folder(tmp_path / "out", write_then_fail)
    assert list(tmp_path.iterdir()) == []
    atomic.commit_folder(tmp_path / "out", lambda folder: (folder / "a").write_bytes(b"1") and None)
    assert (tmp_path / "out" / "a").read_bytes() == b"1"


def test_stale_temporaries_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".tmp-x.1.ab").write_bytes(b"")
    (tmp_path / ".tmp-dir.1.ab").mkdir()
    (tmp_path / "keep").write_bytes(b"")
    assert len(atomic.remove_temporaries(tmp_path)) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["keep"]


def test_a_temporary_file_that_vanishes_meanwhile_is_no_error(tmp_path, monkeypatch):
    gone = [tmp_path / ".tmp-file.1.ab", tmp_path / ".tmp-folder.1.ab"]
    monkeypatch.setattr(type(tmp_path), "glob", lambda *_: gone)
    monkeypatch.setattr(type(tmp_path), "is_dir", lambda path: path == gone[1])
    assert atomic.remove_temporaries(tmp_path) == gone


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not UTF-8"):
        atomic.require_writable(tmp_path / os.fsdecode(b"a\xff"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_probe(tmp_path, monkeypatch):
    def full(path, _):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(NoSpaceError):
        atomic.require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_the_holder_of_the_lock_sweeps_away_proves_enough(tmp_path, monkeypatch):
    """Two starts at once: one tests whether it can write while the other, which has the lock, removes leftovers."""
    rename = os.rename

    def swept(source, target):
        atomic.remove_temporaries(tmp_path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", swept)
    atomic.require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def without_links(monkeypatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("links", [True, False])
def test_the_first_file_of_a_name_is_kept_and_nothing_else_is_left(tmp_path, monkeypatch, links):
    if not links:
        without_links(monkeypatch, errno.EPERM)
    path = tmp_path / "run.json"
    assert atomic.create_bytes(path, b"first")
    assert not atomic.create_bytes(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpaceError), (errno.EIO, OSError)])
def test_an_error_is_not_taken_for_a_file_that_is_there(tmp_path, monkeypatch, number, kind):
    without_links(monkeypatch, number)
    with pytest.raises(kind, match=r"space|Input/output"):
        atomic.create_bytes(tmp_path / "run.json", b"first")
    assert list(tmp_path.iterdir()) == []
