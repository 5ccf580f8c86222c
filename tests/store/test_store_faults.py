"""Full and failing disks, dying workers: what is committed stays, and the next run ends with the same bytes."""

import contextlib
import dataclasses
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.arrays import CONFIG, SMALL, SMALL_CONFIG, SOURCE, RandomSource
from tests.helpers.trees import temporaries, tree

from bandwise.errors import BandwiseError, IncompatibleError, NoSpaceError, UsageError
from bandwise.store.writing import conversion, records
from bandwise.store.writing.split import split_dataset


@dataclasses.dataclass(frozen=True)
class FailingSource(RandomSource):
    """Its disk fails at one picture."""

    def read(self, path: bytes) -> bytes | np.ndarray:
        if path == b"val/00002":
            raise OSError(errno.EIO, "Input/output error")
        return super().read(path)


class FailingCall:
    """A function that fails once, at its n-th call."""

    def __init__(self, real, number: int, code: int) -> None:
        self.real, self.left, self.code, self.failed = real, number, code, False

    def __call__(self, *arguments):
        self.left -= 1
        if self.left == 0:
            self.failed = True
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*arguments)


@pytest.mark.parametrize("operation", ["replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_single_failing_operation_is_survived(tmp_path, monkeypatch, small_tree, operation, code):
    """Fail the first, the second, ... operation until a run gets through without meeting a failure."""
    number, failing = 0, FailingCall(getattr(os, operation), 0, code)
    while number == 0 or failing.failed:
        number += 1
        out, failing = tmp_path / f"{number}", FailingCall(getattr(os, operation), number, code)
        monkeypatch.setattr(os, operation, failing)
        expected = NoSpaceError if code == errno.ENOSPC else OSError
        with contextlib.suppress(expected):
            split_dataset(SMALL, SMALL_CONFIG, out)
        monkeypatch.undo()
        assert not temporaries(out)
        # The very last operation is the fsync of the folder after the manifest took its place.
        finished = (out / "MANIFEST.json").exists()
        assert finished == (not failing.failed) or tree(out) == small_tree
        split_dataset(SMALL, SMALL_CONFIG, out)
        assert tree(out) == small_tree
    assert number > 8


def test_a_full_disk_in_the_middle_of_a_file_keeps_what_is_committed(tmp_path, monkeypatch, whole_tree):
    out, written, write = tmp_path / "store", 0, records._HashingSink.write

    def failing(self, content):
        nonlocal written
        written += memoryview(content).nbytes
        if written > 60_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(records._HashingSink, "write", failing)
    with pytest.raises(NoSpaceError, match=r"no space left while writing .*run the same command again to resume"):
        split_dataset(SOURCE, CONFIG, out)
    monkeypatch.undo()
    kept = {name: digest for name, digest in tree(out).items() if name.startswith(("band-", "commits/"))}
    assert kept.items() <= whole_tree.items()
    assert "commits/train-00000.json" in kept
    assert not temporaries(out)
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole_tree


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small_tree disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_really_full_disk(tmp_path, monkeypatch, whole_tree, workers):
    disk = tmp_path / "disk"
    with small_disk(disk, "120k"):
        with pytest.raises(NoSpaceError, match=r"GB free, about .* are needed"):
            split_dataset(SOURCE, CONFIG, disk / "store")
        monkeypatch.setattr(conversion, "require_space", lambda *_: None)
        with pytest.raises(NoSpaceError, match="no space left while writing"):
            split_dataset(SOURCE, CONFIG, disk / "store", workers=workers)
        kept = {name: digest for name, digest in tree(disk / "store").items() if name.startswith(("band-", "commits/"))}
        assert kept.items() <= whole_tree.items()
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        split_dataset(SOURCE, CONFIG, disk / "store", workers=workers)
        assert tree(disk / "store") == whole_tree


def test_a_read_only_disk_is_refused_before_any_picture_is_read(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    monkeypatch.setattr(RandomSource, "read", lambda *_: pytest.fail("read a picture"))
    with small_disk(disk, "1m"):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(UsageError, match=r"cannot write in .*Read-only file system"):
            split_dataset(SMALL, SMALL_CONFIG, disk / "store")


def test_a_failing_disk_of_the_source_is_no_bad_picture(tmp_path, monkeypatch, whole_tree):
    source = FailingSource(train=300, val=7)
    with pytest.raises(BandwiseError, match=r"cannot read val/00002 of random: .*nothing was recorded"):
        split_dataset(source, CONFIG, tmp_path / "store")
    split_dataset(SOURCE, CONFIG, tmp_path / "store")
    assert tree(tmp_path / "store") == whole_tree


def test_records_of_another_split_are_not_mixed_in(tmp_path):
    split_dataset(SMALL, SMALL_CONFIG, tmp_path / "a")
    split_dataset(SMALL, dataclasses.replace(SMALL_CONFIG, transform="dct1d"), tmp_path / "b")
    (tmp_path / "a" / "MANIFEST.json").unlink()
    record = "commits/val-00000.bands-0_3.json"
    (tmp_path / "a" / record).write_bytes((tmp_path / "b" / record).read_bytes())
    with pytest.raises(IncompatibleError, match=r"val-00000\.bands-0_3\.json was made otherwise.*\n.*config_sha256"):
        split_dataset(SMALL, SMALL_CONFIG, tmp_path / "a")
