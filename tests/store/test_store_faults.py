"""Killed, full, failing: whatever happens to a split, the next run ends with the same bytes."""

import contextlib
import dataclasses
import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.store.arrays import RandomSource
from tests.store.trees import run_python, start_python, temporaries, tree

from bandwise.config import SplitConfig
from bandwise.errors import BandwiseError, IncompatibleError, NoSpaceError, UsageError
from bandwise.store import bandfile, conversion
from bandwise.store.format import open_store
from bandwise.store.split import split_dataset
from bandwise.store.verify import verify_store

SOURCE = RandomSource(train=300, val=6)
CONFIG = SplitConfig(canvas=8, group_size=256, holdout=0.1)
SMALL = RandomSource(train=6, val=3)
SMALL_CONFIG = SplitConfig(canvas=8, holdout=0, bands="0,3")

# The process kills itself just before or after the given rename; argument: "before" or "after", name, how many times.
KILLED = """
import os, signal, sys
from pathlib import Path
from bandwise.config import SplitConfig
from bandwise.store.split import split_dataset
from tests.store.arrays import RandomSource

out, when, name, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
rename, seen = os.replace, 0

def replace(source, target):
    global seen
    seen += name in str(target)
    if when == "before" and seen == count:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if when == "after" and seen == count:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
split_dataset(RandomSource(train=300, val=6), SplitConfig(canvas=8, group_size=256, holdout=0.1), out)
"""

# A mistake on purpose: the process number goes into every commit record.
WITH_PID = """
import os, sys
from pathlib import Path
from bandwise.config import SplitConfig
from bandwise.store import groups
from bandwise.store.split import split_dataset
from tests.store.arrays import RandomSource

seal = groups.seal
groups.seal = lambda content: seal({**content, "pid": os.getpid()})
split_dataset(RandomSource(train=6, val=3), SplitConfig(canvas=8, holdout=0), Path(sys.argv[1]))
"""

SLOWLY = """
import sys, time
from pathlib import Path
from bandwise.config import SplitConfig
from bandwise.store.split import split_dataset
from tests.store.test_store_faults import SlowSource

if __name__ == "__main__":
    source = SlowSource(train=300, val=6)
    split_dataset(source, SplitConfig(canvas=8, group_size=256, holdout=0.1), Path(sys.argv[1]), workers=2)
"""


@dataclasses.dataclass(frozen=True)
class SlowSource(RandomSource):
    """Takes its time over each picture of the second training group."""

    def read(self, path: bytes) -> bytes | np.ndarray:
        time.sleep(0.002)
        return super().read(path)


@dataclasses.dataclass(frozen=True)
class DeadlySource(RandomSource):
    """Its decoder brings the process down."""

    def read(self, path: bytes) -> bytes | np.ndarray:
        if path == b"train/00005":
            os._exit(9)
        return super().read(path)


@dataclasses.dataclass(frozen=True)
class FailingSource(RandomSource):
    """Its disk fails at one picture."""

    def read(self, path: bytes) -> bytes | np.ndarray:
        if path == b"val/00002":
            raise OSError(errno.EIO, "Input/output error")
        return super().read(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(SOURCE, CONFIG, out)
    return tree(out)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("small") / "store"
    split_dataset(SMALL, SMALL_CONFIG, out)
    return tree(out)


@pytest.mark.parametrize(
    ("when", "name", "count", "records"),
    [
        ("before", "STORE.json", 1, 0),
        ("before", "commits/", 1, 0),
        ("after", "commits/", 1, 1),
        ("after", "band-02/", 2, 1),
        ("before", "MANIFEST.json", 1, 4),
    ],
)
def test_a_killed_split_ends_with_the_same_bytes(tmp_path, whole, when, name, count, records):
    out = tmp_path / "store"
    killed = run_python(KILLED, out, when, name, str(count))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    committed = {path: stamp(path) for path in (out / "commits").glob("*.json")}
    assert len(committed) == records
    assert not (out / "MANIFEST.json").exists()
    result = split_dataset(SOURCE, CONFIG, out)
    assert result["groups_written"] == 4 - records
    assert {path: stamp(path) for path in committed} == committed
    assert tree(out) == whole


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns


def test_the_comparison_notices_a_process_number_in_a_record(tmp_path):
    for name in ("a", "b"):
        assert run_python(WITH_PID, tmp_path / name).returncode == 0
    one, other = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert {name for name in one if one[name] != other[name]} == {
        "MANIFEST.json",
        "commits/train-00000.json",
        "commits/val-00000.json",
    }


def test_workers_die_with_a_killed_parent(tmp_path, whole):
    out = tmp_path / "store"
    with start_python(SLOWLY, out) as process:
        assert waited(lambda: any((out / "commits").glob("*.json")))
        children = [
            int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
        process.kill()
        process.communicate()
    assert len(children) >= 2
    assert waited(lambda: not any(alive(child) for child in children))
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole


def waited(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_leftovers_of_a_dead_run_are_removed(tmp_path, small):
    out = tmp_path / "store"
    split_dataset(SMALL, SMALL_CONFIG, out)
    (out / "MANIFEST.json").unlink()
    for name in (
        "band-00/.tmp-train-00000-of-00001.parquet.7.0badcafe",
        ".tmp-STORE.json.7.0badcafe",
        "commits/.tmp-x",
    ):
        (out / name).write_bytes(b"half")
    split_dataset(SMALL, SMALL_CONFIG, out)
    assert tree(out) == small


def test_a_start_that_never_wrote_its_marker_can_be_continued(tmp_path, small):
    out = tmp_path / "store"
    out.mkdir()
    (out / ".tmp-STORE.json.123.0badcafe").write_bytes(b"{")
    (out / ".lock").write_bytes(b"{}")
    split_dataset(SMALL, SMALL_CONFIG, out)
    assert tree(out) == small


def test_nothing_committed_yet_may_be_started_otherwise(tmp_path, small):
    out = tmp_path / "store"
    run_python(KILLED, out, "before", "commits/", "1")
    split_dataset(SMALL, SMALL_CONFIG, out)
    assert open_store(out).rows("train") == 6


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
def test_every_single_failing_operation_is_survived(tmp_path, monkeypatch, small, operation, code):
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
        assert finished == (not failing.failed) or tree(out) == small
        split_dataset(SMALL, SMALL_CONFIG, out)
        assert tree(out) == small
    assert number > 8


def test_a_full_disk_in_the_middle_of_a_file_keeps_what_is_committed(tmp_path, monkeypatch, whole):
    out, written, write = tmp_path / "store", 0, bandfile._HashingSink.write

    def failing(self, content):
        nonlocal written
        written += memoryview(content).nbytes
        if written > 60_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(bandfile._HashingSink, "write", failing)
    with pytest.raises(NoSpaceError, match=r"no space left while writing .*run the same command again to resume"):
        split_dataset(SOURCE, CONFIG, out)
    monkeypatch.undo()
    kept = {name: digest for name, digest in tree(out).items() if name.startswith(("band-", "commits/"))}
    assert kept.items() <= whole.items()
    assert "commits/train-00000.json" in kept
    assert not temporaries(out)
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_really_full_disk(tmp_path, monkeypatch, whole, workers):
    disk = tmp_path / "disk"
    with small_disk(disk, "120k"):
        with pytest.raises(NoSpaceError, match=r"GB free, about .* are needed"):
            split_dataset(SOURCE, CONFIG, disk / "store")
        monkeypatch.setattr(conversion, "require_space", lambda *_: None)
        with pytest.raises(NoSpaceError, match="no space left while writing"):
            split_dataset(SOURCE, CONFIG, disk / "store", workers=workers)
        kept = {name: digest for name, digest in tree(disk / "store").items() if name.startswith(("band-", "commits/"))}
        assert kept.items() <= whole.items()
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        split_dataset(SOURCE, CONFIG, disk / "store", workers=workers)
        assert tree(disk / "store") == whole


def test_a_read_only_disk_is_refused_before_any_picture_is_read(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    monkeypatch.setattr(RandomSource, "read", lambda *_: pytest.fail("read a picture"))
    with small_disk(disk, "1m"):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(UsageError, match=r"cannot write in .*Read-only file system"):
            split_dataset(SMALL, SMALL_CONFIG, disk / "store")


def test_a_dead_worker_is_reported_and_the_rest_is_kept(tmp_path):
    source = DeadlySource(train=300, val=6)
    with pytest.raises(BandwiseError, match=r"a worker process writing .* died"):
        split_dataset(source, CONFIG, tmp_path / "store", workers=2)
    assert not (tmp_path / "store" / "MANIFEST.json").exists()
    split_dataset(SOURCE, CONFIG, tmp_path / "store")
    verify_store(tmp_path / "store")


def test_a_failing_disk_of_the_source_is_no_bad_picture(tmp_path, monkeypatch, whole):
    source = FailingSource(train=300, val=6)
    with pytest.raises(BandwiseError, match=r"cannot read val/00002 of random: .*nothing was recorded"):
        split_dataset(source, CONFIG, tmp_path / "store")
    split_dataset(SOURCE, CONFIG, tmp_path / "store")
    assert tree(tmp_path / "store") == whole


def test_an_interrupt_in_the_middle_leaves_nothing_half_done(tmp_path, monkeypatch, whole):
    out, read = tmp_path / "store", RandomSource.read

    def interrupted(self, path):
        if path == b"val/00003":
            raise KeyboardInterrupt
        return read(self, path)

    monkeypatch.setattr(RandomSource, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        split_dataset(SOURCE, CONFIG, out)
    monkeypatch.undo()
    assert not temporaries(out)
    assert not (out / ".lock").exists()
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole


def test_records_of_another_split_are_not_mixed_in(tmp_path):
    split_dataset(SMALL, SMALL_CONFIG, tmp_path / "a")
    split_dataset(SMALL, dataclasses.replace(SMALL_CONFIG, transform="dct1d"), tmp_path / "b")
    (tmp_path / "a" / "MANIFEST.json").unlink()
    record = "commits/val-00000.bands-0_3.json"
    (tmp_path / "a" / record).write_bytes((tmp_path / "b" / record).read_bytes())
    with pytest.raises(IncompatibleError, match=r"val-00000\.bands-0_3\.json was made otherwise.*\n.*config_sha256"):
        split_dataset(SMALL, SMALL_CONFIG, tmp_path / "a")
