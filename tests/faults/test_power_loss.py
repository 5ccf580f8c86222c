"""F4: after a power cut at any moment nothing that was promised is lost, and nothing half done looks complete."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults import breaks, material
from tests.faults.powerloss import Watch, build
from tests.faults.scale import share
from tests.training import tiny

from bandwise.checkpoints import branch as branch_module
from bandwise.checkpoints.folder import newest_checkpoint, read_checkpoint, steps
from bandwise.errors import BandwiseError
from bandwise.store.verify import verify_store
from bandwise.store.writing import workers
from bandwise.training.trainer import train_branch

pytestmark = pytest.mark.timeout(1800)
STATES = share(24, 4)
RESUMED = share(40, 6)
BREAKS = ["no_fsync", "no_fsync_of_folders", "no_temporary_name"]


def watched_split(out: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Split the nine pictures; a record is promised once its group is reported, the manifest at the end."""
    watch = Watch(out)
    real = workers.write_group

    def reporting(work: Any, job: Any, step: Any) -> Any:
        record = real(work, job, step)
        for name in (job.record, *record.files):
            watch.promise(name)
        return record

    with monkeypatch.context() as patch:
        patch.setattr(workers, "write_group", reporting)
        watch.install(patch.setattr)
        material.split_small(out)
        watch.promise("MANIFEST.json")
    return watch


def sound(check: Callable[[Path], object], path: Path) -> None:
    """See that what looks complete is so."""
    try:
        check(path)
    except BandwiseError as error:
        raise AssertionError(f"it looks complete and is not: {error}") from error


def check_split(watch: Watch, scratch: Path, reference: dict[str, bytes], most: int = STATES) -> None:
    """Look at what may be left of a split, and go on with some of it."""
    rng = random.Random(1)
    states = list(watch.states(rng, most))
    resumed = set(rng.sample(range(len(states)), min(RESUMED, len(states))))
    for count, (moment, disk) in enumerate(states):
        for name in moment.promised:
            assert disk.get(name) == reference[name], f"{name} was promised and is lost"
        if "MANIFEST.json" in disk or count in resumed:
            folder = build(disk, scratch / str(count))
            if "MANIFEST.json" in disk:
                sound(verify_store, folder)
            if count in resumed:
                sound(material.split_small, folder)
                assert {name: (folder / name).read_bytes() for name in reference} == reference
            shutil.rmtree(folder)


def watched_training(store: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Train six steps with a checkpoint after every other; each is promised when `on_step` is called."""
    watch = Watch(out)
    config = tiny.with_training(epochs=1, warmup_epochs=0, checkpoint_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(branch_module, "create_branch", tiny.tiny_network)
        watch.install(patch.setattr)
        train_branch(config, store, out, 1, on_step=lambda step: None if step % 2 else watch.promise(f"{step:09d}"))
    return watch


def check_training(watch: Watch, scratch: Path, most: int = STATES) -> None:
    """The newest promised checkpoint, or a newer one, is there and whole; nothing else is taken for a checkpoint."""
    for count, (moment, disk) in enumerate(watch.states(random.Random(2), most)):
        folder = build(disk, scratch / str(count))
        for path in steps(folder):
            sound(read_checkpoint, path)
        newest = newest_checkpoint(folder)
        if moment.promised:
            assert newest is not None, f"step {max(moment.promised)} was promised and is lost"
            assert newest.path.name >= f"step-{max(moment.promised)}"
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def reference(small) -> dict[str, bytes]:
    return {name: (small / name).read_bytes() for name in material.tree(small)}


def test_a_split_survives_a_power_cut_at_every_moment(reference, tmp_path, monkeypatch):
    watch = watched_split(tmp_path / "store", monkeypatch)
    assert material.tree(tmp_path / "store").keys() == reference.keys()
    assert len(watch.moments) > 40
    check_split(watch, tmp_path, reference)


def test_a_training_survives_a_power_cut_at_every_moment(train_store, tmp_path, monkeypatch):
    watch = watched_training(train_store, tmp_path / "branch", monkeypatch)
    assert len(watch.moments) > 40
    check_training(watch, tmp_path)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_split_without_that_line_loses_something(reference, tmp_path, monkeypatch, broken):
    with monkeypatch.context() as patch:
        breaks.apply(broken, patch.setattr)
        watch = watched_split(tmp_path / "store", monkeypatch)
    with pytest.raises(AssertionError, match=r"promised|complete"):
        check_split(watch, tmp_path, reference, 24)


@pytest.mark.parametrize("broken", BREAKS)
def test_a_training_without_that_line_loses_something(train_store, tmp_path, monkeypatch, broken):
    with monkeypatch.context() as patch:
        breaks.apply(broken, patch.setattr)
        watch = watched_training(train_store, tmp_path / "branch", monkeypatch)
    with pytest.raises(AssertionError, match=r"promised|complete"):
        check_training(watch, tmp_path, 24)
