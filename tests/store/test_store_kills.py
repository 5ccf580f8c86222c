"""Killed or stopped at any point, a split ends with the same bytes when it is run again."""

import dataclasses
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.arrays import CONFIG, SMALL, SMALL_CONFIG, SOURCE, RandomSource
from tests.helpers.trees import run_python, start_python, temporaries, tree

from bandwise.errors import Preempted
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset

# The process kills itself just before or after the given rename; argument: "before" or "after", name, how many times.
KILLED = """
import os, signal, sys
from pathlib import Path
from bandwise.store.writing.split import split_dataset
from tests.helpers.arrays import CONFIG, SOURCE

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
split_dataset(SOURCE, CONFIG, out)
"""

SLOWLY = """
import sys, time
from pathlib import Path
from bandwise.store.writing.split import split_dataset
from tests.helpers.arrays import CONFIG
from tests.store.test_store_kills import SlowSource

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


@pytest.mark.parametrize(
    ("when", "name", "count", "records"),
    [
        ("before", "STORE.json", 1, 0),
        ("before", "commits/", 1, 0),
        ("after", "commits/", 1, 1),
        ("after", "band-02/", 2, 1),
        ("before", "commits/", 4, 3),
        ("before", "MANIFEST.json", 1, 4),
    ],
)
def test_a_killed_split_ends_with_the_same_bytes(tmp_path, whole_tree, when, name, count, records):
    out = tmp_path / "store"
    killed = run_python(KILLED, out, when, name, str(count))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    committed = {path: stamp(path) for path in (out / "commits").glob("*.json")}
    assert len(committed) == records
    assert not (out / "MANIFEST.json").exists()
    # Where one group or none is left, several workers must not be a problem.
    result = split_dataset(SOURCE, CONFIG, out, workers=2 if records > 2 else 1)
    assert result["groups_written"] == 4 - records
    assert {path: stamp(path) for path in committed} == committed
    assert tree(out) == whole_tree


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns


def test_workers_die_with_a_killed_parent(tmp_path, whole_tree):
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
    assert tree(out) == whole_tree


def test_a_stop_reaches_the_workers(tmp_path, whole_tree):
    out = tmp_path / "store"
    with pytest.raises(Preempted, match="stopped; finished groups are kept"):
        split_dataset(
            SlowSource(train=300, val=7, delay_s=0.05), CONFIG, out, workers=2, stop=lambda: bool(list(out.glob("*")))
        )
    assert not (out / "MANIFEST.json").exists()
    assert not temporaries(out)
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == whole_tree


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


def test_leftovers_of_a_dead_run_are_removed(tmp_path, small_tree):
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
    assert tree(out) == small_tree


def test_a_start_that_never_wrote_its_marker_can_be_continued(tmp_path, small_tree):
    out = tmp_path / "store"
    out.mkdir()
    (out / ".tmp-STORE.json.123.0badcafe").write_bytes(b"{")
    (out / ".lock").write_bytes(b"{}")
    split_dataset(SMALL, SMALL_CONFIG, out)
    assert tree(out) == small_tree


def test_nothing_committed_yet_may_be_started_otherwise(tmp_path, small_tree):
    out = tmp_path / "store"
    run_python(KILLED, out, "before", "commits/", "1")
    split_dataset(SMALL, SMALL_CONFIG, out)
    assert open_store(out).rows("train") == 6


def test_an_interrupt_in_the_middle_leaves_nothing_half_done(tmp_path, monkeypatch, whole_tree):
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
    assert tree(out) == whole_tree
