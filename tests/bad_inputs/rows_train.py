"""Rows T1 to T20: a store, a disk, a signal or a number that goes wrong while a branch is trained."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bad_inputs.bench import Bench, Case
from tests.bad_inputs.trained import MODEL, change_json, copied_store, newest, outcome, train
from tests.bad_inputs.training_faults import bad_losses, full_disk, with_signal
from tests.bad_inputs.traps import end_process
from tests.pictures import make_folder

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.files.documents import read_sealed
from bandwise.files.locks import folder_lock
from bandwise.launch.engines import processes as launched
from bandwise.training import pictures

FIRST = ("--branch", "0")


def fresh(*flags: str, before: Callable[[Bench], object] = lambda bench: None):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        before(bench)
        return train(bench, *FIRST, *flags)

    return prepare


def damaged_store(damage: Callable[[Path], object], branch: str = "0"):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        store = copied_store(bench)
        damage(store)
        return train(bench, "--branch", branch, store=store)

    return prepare


def resumed(damage: Callable[[Path], object] = lambda run: None, *flags: str, at: int = 7):
    """Stop a training after a step, damage what it left, and start it again."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        with_signal(bench, at, signal.SIGTERM)
        assert bench.call(*train(bench, *FIRST)).code == 75, bench.err
        bench.patch.undo()
        damage(bench.run)
        return train(bench, *FIRST, *flags)

    return prepare


def undisturbed(bench: Bench) -> None:
    assert outcome(bench.run) == outcome(bench.finished / "run")


def then_undisturbed(bench: Bench) -> None:
    """Run the same command again, without the fault."""
    bench.patch.undo()
    assert bench.call(*train(bench, *FIRST)).code == 0, bench.err
    undisturbed(bench)


def band_file(store: Path) -> Path:
    return next(store.glob("band-00/train-*.parquet"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_all(run: Path) -> None:
    for path in steps(run / "branch-00"):
        flip(path / MODEL)


def other_samples(store: Path) -> None:
    """Put the band of another sample list into the store, with a manifest that fits it."""
    other = Bench(store.parent / "other", None)  # type: ignore[arg-type]
    make_folder(other.pictures, classes=3, train=12, val=3, side=16)
    assert other.call(*other.split("--holdout", "0.25")).code == 0, other.err
    files = read_sealed(store / "MANIFEST.json")["files"]
    for name, facts in read_sealed(other.store / "MANIFEST.json")["files"].items():
        if name.startswith("band-03/"):
            shutil.copy(other.store / name, store / name)
            files[name] = facts
    change_json(store / "MANIFEST.json", files=files)


def killed(bench: Bench) -> Sequence[str | Path]:
    child = os.fork()
    if child == 0:
        try:
            with_signal(bench, 5, signal.SIGKILL)
            bench.call(*train(bench, *FIRST))
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert newest(bench.run).name == "step-000000005"
    return train(bench, *FIRST)


def locked(bench: Bench) -> Sequence[str | Path]:
    """Nothing can be said after the lock is gone, so the command runs here."""
    branch = bench.run / "branch-00"
    branch.mkdir(parents=True)
    shutil.copy(bench.finished / "run" / "run.json", bench.run)
    with folder_lock(branch):
        assert bench.call("train", "--out", bench.run, *FIRST).code == 5, bench.err
        assert f"branch-00 is being written by process {os.getpid()} on" in bench.err
        assert steps(branch) == []
    return train(bench, *FIRST)


def loader_dies(bench: Bench) -> Sequence[str | Path]:
    bench.patch.setattr(pictures, "_start_worker", end_process)
    # A copy of this process, unlike a new one, need not import torch before it dies.
    loader = pictures.DataLoader
    forked = {"multiprocessing_context": "fork"}
    bench.patch.setattr(pictures, "DataLoader", lambda *given, **options: loader(*given, **options | forked))
    return train(bench, *FIRST, "--augment-at", "image", "--loader-workers", "1")


def zombie(bench: Bench) -> Sequence[str | Path]:
    """The lock of a node that was lost: it counts while it shows signs of life, and then lapses."""
    argv = resumed()(bench)
    lock = bench.run / "branch-00" / ".lock"
    lock.write_text(json.dumps({"host": "lost-node", "pid": 7, "started": "2026-01-01T00:00:00+0000"}))
    assert bench.call(*argv).code == 5, bench.err
    assert "is being written by process 7 on lost-node" in bench.err
    os.utime(lock, (1, 1))
    return argv


def processes(*commands: str):
    """Train two branches at once, with these programs in place of the real ones."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        real = launched.subprocess.Popen

        def popen(command: list[str], **options: Any):
            if "--branch" in command:
                command = [sys.executable, "-c", commands[int(command[command.index("--branch") + 1])]]
            return real(command, **options)

        bench.patch.setattr(launched.subprocess, "Popen", popen)
        return train(bench, "--jobs", "2")

    return prepare


def first_branch_diverges(bench: Bench) -> Sequence[str | Path]:
    bad_losses(bench, range(1, 4))
    return train(bench)


def other_branch_is_finished(bench: Bench) -> None:
    assert not (bench.run / "branch-00" / "summary.json").exists()
    assert (bench.run / "branch-01" / "summary.json").exists()
    assert bench.call("fuse", bench.run).code == 2
    assert "branches [0] of" in bench.err


def one_class(bench: Bench) -> Sequence[str | Path]:
    for index in range(12):
        bench.put(f"train/only/{index}.png", (bench.finished / "pictures/train/class-0/000.png").read_bytes())
    assert bench.call(*bench.split("--holdout", "0.2")).code == 0, bench.err
    return train(bench, *FIRST, store=bench.store)


def last_finite(bench: Bench) -> None:
    assert int(newest(bench.run).name.removeprefix("step-")) < 6
    assert read_checkpoint(newest(bench.run)).state["position"]["bad_losses"] < 3


def set_aside(bench: Bench) -> None:
    undisturbed(bench)
    assert (bench.run / "branch-00" / "damaged-step-000000007").is_dir()


def not_started_again(bench: Bench) -> None:
    kept = {path.name.removeprefix("damaged-") for path in (bench.run / "branch-00").glob("*step-*")}
    assert kept
    assert max(kept) <= "step-000000007"


def clocks(run: Path) -> None:
    """Turn the order of the times round, and let one lie before 1970."""
    for number, path in enumerate(steps(run / "branch-00")):
        for each in (path, *path.iterdir()):
            os.utime(each, ns=(-(10**9) + 10**12 * number,) * 2)


def half_a_row(run: Path) -> None:
    with open(run / "branch-00" / "metrics.jsonl", "ab") as stream:
        stream.write(b'{"epoch": 2, "train_lo')


FULL = "no space left while writing"
FAILED = "1 of 2 branches failed, the others are finished"
ROWS = {
    "T1": Case(
        damaged_store(lambda store: (store / "MANIFEST.json").unlink()), 4, ["conversion not finished: run split"]
    ),
    "T2": (
        Case(damaged_store(lambda store: flip(band_file(store))), 4, ["band-00/train-00000-of-00001.parquet"]),
        Case(damaged_store(lambda store: os.truncate(band_file(store), 99)), 4, ["bytes, not"]),
        Case(damaged_store(lambda store: band_file(store).unlink()), 4, ["is missing; run bandwise verify --repair"]),
    ),
    "T3": Case(damaged_store(other_samples, "1"), 4, ["rows of band 3"]),
    "T4": (
        Case(
            fresh(before=lambda bench: bad_losses(bench, range(4, 99))),
            1,
            ["the loss was not finite 3 times in a row", "--lr"],
            last_finite,
        ),
        Case(fresh("--lr", "1e30"), 1, ["not finite", "--lr"]),
    ),
    "T5": Case(
        fresh(before=lambda bench: with_signal(bench, 3, signal.SIGUSR1)),
        75,
        ["stopped by SIGUSR1 after step 3 of 8, all is saved"],
        then_undisturbed,
    ),
    "T6": Case(killed, 0, ["continuing after step 5 of 8"], undisturbed),
    "T7": (
        Case(
            resumed(lambda run: flip(newest(run) / MODEL)),
            0,
            ["WARNING", "step-000000007", "continuing after step 6"],
            set_aside,
        ),
        Case(resumed(flip_all), 4, ["none is valid", "remove the folder to train this branch"], not_started_again),
    ),
    "T8": (
        Case(fresh(before=lambda bench: full_disk(bench, {2, 3})), 0, [f"WARNING: {FULL}"], undisturbed),
        Case(fresh(before=lambda bench: full_disk(bench, range(4, 99))), 6, [FULL], then_undisturbed),
    ),
    "T9": Case(
        resumed(lambda run: None, "--lr", "0.01", "--model", "resnet10", "--epochs", "3", "--batch-size", "5"),
        7,
        ["training.lr: 0.05 -> 0.01", "network.model:", "training.epochs: 2 -> 3", "training.batch_size: 6 -> 5"],
    ),
    "T10": (
        Case(resumed(lambda run: None, "--threads", "2"), 0, ["branch 0 is not bit-exact: threads 1 -> 2"]),
        Case(resumed(lambda run: None, "--cache", "none"), 0, (), undisturbed),
    ),
    "T11": Case(resumed(at=3), 0, (), undisturbed),
    "T12": Case(loader_dies, 1, ["a process that decodes images died (killed,", "fewer --loader-workers if memory"]),
    "T13": (
        Case(
            processes("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "pass"),
            1,
            [FAILED, "branch 0: killed by signal 9"],
        ),
        Case(processes("raise SystemExit(6)", "pass"), 6, ["branch 0: exit code 6"]),
    ),
    "T14": Case(first_branch_diverges, 1, [FAILED, "branch 0: the loss was not finite"], other_branch_is_finished),
    "T15": Case(locked, 0),
    "T16": Case(zombie, 0, ["continuing after step 7 of 8"], undisturbed),
    "T17": Case(
        lambda bench: train(bench, *FIRST, store=bench.path / "scratch-of-another-node"),
        2,
        ["scratch-of-another-node is not a store"],
    ),
    "T18": (
        Case(fresh("--batch-size", "28"), 2, ["27 training samples, fewer than one batch of 28; use --batch-size 27"]),
        Case(fresh("--batch-size", "1"), 2, ["batch_size is 1", "has batch normalisation"]),
        Case(one_class, 2, ["is 1; it must be at least 2"]),
        Case(
            damaged_store(lambda store: change_json(store / "MANIFEST.json", classes=["class-0", "class-1"])),
            4,
            ["labels"],
        ),
    ),
    "T19": Case(resumed(clocks), 0, ["continuing after step 7"], undisturbed),
    "T20": Case(resumed(half_a_row), 0, (), undisturbed),
}
