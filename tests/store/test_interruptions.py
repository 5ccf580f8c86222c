"""A split that is stopped, fails or finds leftovers ends with the same bytes when it is run again.

Kills, failing disks and full disks at every point are in `tests/faults`.
"""

import dataclasses
import errno
import time
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.arrays import CONFIG, SMALL, SMALL_CONFIG, SOURCE, RandomSource
from tests.helpers.trees import start_python, temporaries, tree

from bandwise.errors import BandwiseError, IncompatibleError, Preempted
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset

SLOWLY = """
import sys
from pathlib import Path
from bandwise.store.writing.split import split_dataset
from tests.helpers.arrays import CONFIG
from tests.store.test_interruptions import SlowSource

if __name__ == "__main__":
    split_dataset(SlowSource(train=300, val=7), CONFIG, Path(sys.argv[1]), workers=2)
"""


@dataclasses.dataclass(frozen=True)
class SlowSource(RandomSource):
    """Takes its time over each picture."""

    delay_s: float = 0.002

    def read(self, path: bytes) -> bytes | np.ndarray:
        time.sleep(self.delay_s)
        return super().read(path)


def waited(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_workers_die_with_a_killed_parent(tmp_path, whole_tree):
    out = tmp_path / "store"
    with start_python(SLOWLY, out) as process:
        assert waited(lambda: any((out / "commits").glob("*.json")))
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        children = [int(child) for child in listed.split()]
        process.kill()
        process.communicate()
    assert len(children) >= 2
    assert waited(lambda: not any(alive(child) for child in children))
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole_tree


def test_a_stop_reaches_the_workers(tmp_path, whole_tree):
    out, slow = tmp_path / "store", SlowSource(train=300, val=7, delay_s=0.05)
    with pytest.raises(Preempted, match="stopped; finished groups are kept"):
        split_dataset(slow, CONFIG, out, workers=2, stop=lambda: bool(list(out.glob("*"))))
    assert not (out / "MANIFEST.json").exists()
    assert not temporaries(out)
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole_tree


def test_stopping_keeps_what_is_finished(whole_tree, tmp_path):
    stopped = iter([False] * 260)
    with pytest.raises(Preempted, match="the same command continues"):
        split_dataset(SOURCE, CONFIG, tmp_path / "s", stop=lambda: next(stopped, True))
    [record] = (tmp_path / "s" / "commits").iterdir()
    written = record.stat().st_mtime_ns
    assert split_dataset(SOURCE, CONFIG, tmp_path / "s")["groups_written"] == 3
    assert record.stat().st_mtime_ns == written
    assert tree(tmp_path / "s") == whole_tree


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (
            OSError(errno.EIO, "Input/output error"),
            BandwiseError,
            r"cannot read val/00003 of random: .*nothing was rec",
        ),
    ],
    ids=["interrupt", "disk"],
)
def test_a_failing_disk_of_the_source_is_no_bad_picture(tmp_path, monkeypatch, whole_tree, error, raised, message):
    """Nor is an interrupt; neither leaves anything half done."""
    out, read = tmp_path / "store", RandomSource.read

    def failing(self, path):
        if path == b"val/00003":
            raise error
        return read(self, path)

    monkeypatch.setattr(RandomSource, "read", failing)
    with pytest.raises(raised, match=message):
        split_dataset(SOURCE, CONFIG, out)
    monkeypatch.undo()
    assert not temporaries(out)
    assert not (out / ".lock").exists()
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole_tree


@pytest.mark.parametrize("begun", [True, False])
def test_leftovers_of_a_dead_run_are_removed(tmp_path, small_tree, begun):
    """Also of one that never wrote its marker."""
    out = tmp_path / "store"
    if begun:
        split_dataset(SMALL, SMALL_CONFIG, out)
        (out / "MANIFEST.json").unlink()
        (out / "band-00/.tmp-train-00000-of-00001.parquet.7.0badcafe").write_bytes(b"half")
        (out / "commits/.tmp-x").write_bytes(b"half")
    else:
        out.mkdir()
        (out / ".lock").write_bytes(b"{}")
    (out / ".tmp-STORE.json.123.0badcafe").write_bytes(b"{")
    split_dataset(SMALL, SMALL_CONFIG, out)
    assert tree(out) == small_tree


def test_nothing_committed_yet_may_be_started_otherwise(tmp_path):
    with pytest.raises(Preempted):
        split_dataset(SOURCE, CONFIG, tmp_path / "store", stop=lambda: True)
    split_dataset(SMALL, SMALL_CONFIG, tmp_path / "store")
    assert open_store(tmp_path / "store").rows("train") == 6


def test_records_of_another_split_are_not_mixed_in(tmp_path):
    split_dataset(SMALL, SMALL_CONFIG, tmp_path / "a")
    split_dataset(SMALL, dataclasses.replace(SMALL_CONFIG, transform="dct1d"), tmp_path / "b")
    (tmp_path / "a" / "MANIFEST.json").unlink()
    record = "commits/val-00000.bands-0_3.json"
    (tmp_path / "a" / record).write_bytes((tmp_path / "b" / record).read_bytes())
    with pytest.raises(IncompatibleError, match=r"val-00000\.bands-0_3\.json was made otherwise.*\n.*config_sha256"):
        split_dataset(SMALL, SMALL_CONFIG, tmp_path / "a")
