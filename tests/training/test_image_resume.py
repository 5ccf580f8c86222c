"""Training on augmented images, interrupted and killed: the same bits as undisturbed, with and without processes."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.training.photos import image_config, make_image_store
from tests.training.tiny import CrashError, crash_at, outcome, tiny_network

from bandwise.augment.draws import hashes
from bandwise.checkpoints import branch as branch_module
from bandwise.checkpoints.folder import steps
from bandwise.errors import BandwiseError
from bandwise.training import images
from bandwise.training.trainer import train_branch

EVERYTHING = {
    "opt": "lamb",
    "lr": 0.01,
    "clip_grad": 1.0,
    "bce_loss": True,
    "bce_target_thresh": 0.2,
    "grad_accum_steps": 2,
    "model_ema_steps": 3,
    "train_crop": 20,
    "checkpoint_steps": 3,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    make_image_store(root, image_config(root))
    return root


def everything(root: Path, **training):
    """Every option of training and augmentation at once, and each image twice in an epoch of 4 steps; 8 in all."""
    return image_config(root, training={**EVERYTHING, **training}, aug_repeats=2, color_jitter=0.3)


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branch_module, "create_branch", tiny_network)
        train_branch(everything(root), root / "store", folder, 1)
    return outcome(folder)


@pytest.mark.parametrize("at", [(1, 4), (2, 5, 7)])
def test_interrupted_at_steps(root, tmp_path, undisturbed, at):
    for step in at:
        with pytest.raises(CrashError):
            train_branch(everything(root), root / "store", tmp_path, 1, on_step=crash_at(step))
    train_branch(everything(root), root / "store", tmp_path, 1)
    assert outcome(tmp_path) == undisturbed


def test_killed_with_processes_and_continued_with_others(root, tmp_path, undisturbed):
    """kill -9 of the parent in the middle of an epoch; the processes that decode end by themselves."""
    config = everything(root, loader_workers=2, checkpoint_steps=1)
    pids = tmp_path / "pids"

    def report(step: int) -> None:
        if step == 2:
            (tmp_path / "pids.part").write_text(" ".join(children(os.getpid())))
            (tmp_path / "pids.part").rename(pids)
            time.sleep(60)

    child = os.fork()
    if not child:
        with suppress(BaseException):
            train_branch(config, root / "store", tmp_path / "branch", 1, on_step=report)
        os._exit(70)
    until(pids.exists)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    workers = pids.read_text().split()
    assert len(workers) == 2
    until(lambda: not any(Path("/proc", pid).exists() for pid in workers))
    assert steps(tmp_path / "branch")[0].name == "step-000000002"
    train_branch(everything(root, checkpoint_steps=3), root / "store", tmp_path / "branch", 1)
    found = outcome(tmp_path / "branch")
    assert {name: found[name] for name in ("tensors", "metrics")} == {
        name: undisturbed[name] for name in ("tensors", "metrics")
    }


def children(parent: int) -> list[str]:
    """Return the ids of the processes that make images, children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            spawned = b"spawn_main" in (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and spawned:
            found.append(status.parent.name)
    return found


def until(holds) -> None:
    """Wait for something that comes soon, but at any speed of the machine."""
    for _ in range(2400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def test_a_signal_to_all_processes_of_a_job_loses_nothing(root, tmp_path, undisturbed):
    """SLURM sends SIGTERM to every process; those that decode leave it to the parent."""
    config = everything(root, loader_workers=1)
    sent = []

    def term(step: int) -> None:
        if step == 2 and not sent:
            sent.append(step)
            for pid in (*children(os.getpid()), os.getpid()):
                os.kill(int(pid), signal.SIGTERM)

    with pytest.raises(BandwiseError, match="stopped by SIGTERM after step 2 of 8, all is saved"):
        train_branch(config, root / "store", tmp_path, 1, on_step=term)
    train_branch(everything(root), root / "store", tmp_path, 1)
    assert outcome(tmp_path)["tensors"] == undisturbed["tensors"]


def test_the_comparison_fails_where_draws_depend_on_the_call(root, tmp_path, undisturbed, monkeypatch):
    """Negative control: the state of an image as a generator that runs on would have it."""
    calls = []

    def running_on(seed, epoch, purpose, counters):
        calls.append(1)
        return hashes(seed + len(calls), epoch, purpose, counters)

    with pytest.raises(CrashError):
        train_branch(everything(root), root / "store", tmp_path, 1, on_step=crash_at(5))
    monkeypatch.setattr(images, "hashes", running_on)
    train_branch(everything(root), root / "store", tmp_path, 1)
    assert outcome(tmp_path)["tensors"] != undisturbed["tensors"]


def test_the_comparison_fails_where_the_start_in_an_epoch_is_forgotten(root, tmp_path, undisturbed, monkeypatch):
    """Negative control: the images from the start of the epoch, for the steps that are left of it."""
    with pytest.raises(CrashError):
        train_branch(everything(root), root / "store", tmp_path, 1, on_step=crash_at(3))
    real = images.ImageFeed._chosen

    def from_the_start(self, epoch, start):
        batches = real(self, epoch, 0)
        for _ in range(self.steps_per_epoch - start):
            yield next(batches)

    monkeypatch.setattr(images.ImageFeed, "_chosen", from_the_start)
    train_branch(everything(root), root / "store", tmp_path, 1)
    assert outcome(tmp_path)["tensors"] != undisturbed["tensors"]
