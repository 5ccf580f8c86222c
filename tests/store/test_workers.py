"""Decoders that crash or hang: the picture is found, skipped and named; everything else is as without it."""

import multiprocessing
import time
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource
from tests.helpers.traps import TrapSource
from tests.helpers.trees import temporaries, tree

from bandwise.config import SplitConfig
from bandwise.errors import BandwiseError, Preempted, UsageError
from bandwise.store.verify import verify_store
from bandwise.store.writing import workers
from bandwise.store.writing.split import split_dataset

CONFIG = SplitConfig(canvas=8, group_size=256, holdout=0.1, bands="0,3")
TRAIN, VAL = 300, 6
TRAPPED = (b"train/00005", b"val/00002")
UNDISTURBED = RandomSource(train=TRAIN, val=VAL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(UNDISTURBED, CONFIG, out)
    return tree(out)


def split(out: Path, *, workers: int = 1, timeout: float = 30.0, **trap) -> dict:
    return split_dataset(TrapSource(TRAIN, VAL, **trap), CONFIG, out, workers=workers, decode_timeout=timeout)


def test_the_result_depends_on_the_pictures_alone(tmp_path, whole):
    one, several = tmp_path / "one", tmp_path / "several"
    split(one, traps=TRAPPED)
    split(several, traps=TRAPPED, workers=2, timeout=0)
    assert tree(one) == tree(several) != whole
    next((one / "band-03").glob("val-*")).unlink()
    verify_store(one, repair=True, source=TrapSource(TRAIN, VAL, traps=TRAPPED))
    assert tree(one) == tree(several)


@pytest.mark.parametrize(("what", "timeout"), [("kill", 30.0), ("segfault", 30.0), ("hang", 1.0)])
def test_what_happens_once_leaves_no_trace(tmp_path, whole, what, timeout):
    """An out-of-memory killer, a machine that slept: nothing that the picture did."""
    flag = tmp_path / "flag"
    split(tmp_path / "store", traps=TRAPPED[:1], what=what, timeout=timeout, flag=flag)
    assert flag.exists()
    assert tree(tmp_path / "store") == whole


def test_a_process_that_is_always_killed_is_an_error_not_a_bad_picture(tmp_path, whole):
    with pytest.raises(BandwiseError, match=r"died 3 times at commits/val-00000.* \(ended with SIGKILL at 'val/00002'"):
        split(tmp_path / "store", traps=TRAPPED[1:], what="kill")
    assert not temporaries(tmp_path / "store")
    split_dataset(UNDISTURBED, CONFIG, tmp_path / "store")
    assert tree(tmp_path / "store") == whole


@pytest.mark.parametrize("timeout", [0.0, 30.0])
def test_short_memory_is_an_error_not_a_bad_picture(tmp_path, timeout):
    with pytest.raises(BandwiseError, match=r"memory was short at val/00002 of random; nothing was recorded"):
        split(tmp_path / "store", traps=TRAPPED[1:], what="memory", timeout=timeout)
    assert not list((tmp_path / "store" / "commits").glob("val-*"))
    assert not temporaries(tmp_path / "store")


def test_a_stop_does_not_wait_for_a_hung_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_GRACE_S", 0.2)
    flag = tmp_path / "flag"
    source = TrapSource(TRAIN, VAL, traps=TRAPPED, what="hang", flag=flag)
    began = time.monotonic()
    with pytest.raises(Preempted):
        split_dataset(source, CONFIG, tmp_path / "store", workers=2, decode_timeout=3600.0, stop=flag.exists)
    assert time.monotonic() - began < 60
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf")])
def test_an_impossible_limit(tmp_path, timeout):
    with pytest.raises(UsageError, match=r"decode_timeout is .* it must be at least 0"):
        split(tmp_path / "store", timeout=timeout)
