"""F4: after a power cut at any moment nothing that was promised is lost, and nothing half done looks complete."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.faults import breaks, material, powerloss
from tests.faults.powerloss import Watch, build
from tests.faults.scale import share
from tests.training import tiny

from bandwise.checkpoints import branch as branch_module
from bandwise.checkpoints.folder import newest_checkpoint, read_checkpoint, steps
from bandwise.errors import BandwiseError, CorruptionError
from bandwise.store.verify import verify_store
from bandwise.store.writing import workers
from bandwise.training.trainer import train_branch

pytestmark = pytest.mark.timeout(1800)
STATES = share(24, 4)
RESUMED = share(40, 6)


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


def check_split(watch: Watch, scratch: Path, reference: dict[str, bytes], most: int = STATES) -> int:
    """Look at what may be left of a split; return how many states were looked at."""
    rng, count = random.Random(1), 0
    states = list(watch.states(rng, most))
    resumed = set(rng.sample(range(len(states)), min(RESUMED, len(states))))
    for count, (moment, disk) in enumerate(states):
        for name in moment.promised:
            assert disk.get(name) == reference[name], f"{name} was promised and is lost"
        if "MANIFEST.json" in disk or count in resumed:
            folder = build(disk, scratch / str(count))
            if (folder / "MANIFEST.json").exists():
                try:
                    verify_store(folder)
                except CorruptionError as error:
                    raise AssertionError(f"it looks complete and is not: {error}") from error
            if count in resumed:
                try:
                    material.split_small(folder)
                except BandwiseError as error:
                    raise AssertionError(f"it does not become complete: {error}") from error
                assert {name: (folder / name).read_bytes() for name in reference} == reference
            shutil.rmtree(folder)
    return count + 1


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in material.tree(folder)}


def test_a_split_survives_a_power_cut_at_every_moment(small, tmp_path, monkeypatch, figure):
    watch = watched_split(tmp_path / "store", monkeypatch)
    assert contents(tmp_path / "store") == contents(small)
    count = check_split(watch, tmp_path, contents(small))
    assert len(watch.moments) > 40
    figure("states after a power cut", count, count, "split and training: nothing promised is lost")


def watched_training(store: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Train six steps with a checkpoint each; each is promised when `on_step` is called."""
    watch = Watch(out)
    config = tiny.with_training(epochs=1, warmup_epochs=0, checkpoint_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(branch_module, "create_branch", tiny.tiny_network)
        watch.install(patch.setattr)
        train_branch(config, store, out, 1, on_step=lambda step: None if step % 2 else watch.promise(f"{step:09d}"))
    return watch


def check_training(watch: Watch, scratch: Path, most: int = STATES) -> int:
    """The newest promised checkpoint, or a newer one, is there and whole; nothing else is taken for a checkpoint."""
    count = 0
    for count, (moment, disk) in enumerate(watch.states(random.Random(2), most)):
        folder = build(disk, scratch / str(count))
        for path in steps(folder):
            try:
                read_checkpoint(path)
            except CorruptionError as error:
                raise AssertionError(f"it looks complete and is not: {error}") from error
        newest = newest_checkpoint(folder)
        if moment.promised:
            assert newest is not None, f"step {max(moment.promised)} was promised and is lost"
            assert newest.path.name >= f"step-{max(moment.promised)}"
        shutil.rmtree(folder)
    return count + 1


def test_a_training_survives_a_power_cut_at_every_moment(train_store, tmp_path, monkeypatch, figure):
    watch = watched_training(train_store, tmp_path / "branch", monkeypatch)
    count = check_training(watch, tmp_path)
    assert count > 40
    figure("states after a power cut", count, count, "split and training: nothing promised is lost")


@pytest.mark.parametrize("broken", ["no_fsync", "no_fsync_of_folders", "no_temporary_name"])
def test_a_split_without_that_line_loses_something(small, tmp_path, monkeypatch, control, broken):
    with monkeypatch.context() as patch:
        breaks.apply(broken, patch.setattr)
        watch = watched_split(tmp_path / "store", monkeypatch)
    with pytest.raises(AssertionError, match=r"promised|complete"):
        check_split(watch, tmp_path, contents(small), 24)
    control()


@pytest.mark.parametrize("broken", ["no_fsync", "no_fsync_of_folders", "no_temporary_name"])
def test_a_training_without_that_line_loses_something(train_store, tmp_path, monkeypatch, control, broken):
    with monkeypatch.context() as patch:
        breaks.apply(broken, patch.setattr)
        watch = watched_training(train_store, tmp_path / "branch", monkeypatch)
    with pytest.raises(AssertionError, match=r"promised|complete"):
        check_training(watch, tmp_path, 24)
    control()


def test_a_file_with_the_inode_of_a_deleted_folder_is_a_new_file(tmp_path, monkeypatch):
    watch, given = Watch(tmp_path / "watched"), {}
    # File systems give inodes again, but which one comes next depends on whatever else is being written.
    monkeypatch.setattr(powerloss, "inode_of", lambda status: given.get(status.st_ino, status.st_ino))
    folder, file = watch.root / "folder", watch.root / "file"
    with monkeypatch.context() as patch:
        watch.install(patch.setattr)
        folder.mkdir()
        inode = folder.stat().st_ino
        folder.rmdir()
        file.write_bytes(b"content")
        given[file.stat().st_ino] = inode
        with open(file, "rb") as stream:
            os.fsync(stream.fileno())
        watch.promise("file")
    disks = [disk for moment, disk in watch.states(random.Random(3), 24) if "file" in moment.promised]
    assert {disk.get("file") for disk in disks} == {b"content", None}, "its name is not safe, its content is"
    assert all(disk.get("folder") is None for disk in disks)
