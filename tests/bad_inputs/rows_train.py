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
from tests.bad_inputs.trained import Trained, change_json, weights_of
from tests.bad_inputs.training_faults import (
    bad_losses,
    band_file,
    clocks,
    flip,
    flip_all,
    flip_newest,
    full_disk,
    half_a_row,
    label_out_of_range,
    last_finite,
    not_started_again,
    other_branch_is_finished,
    with_signal,
)
from tests.bad_inputs.traps import end_process
from tests.pictures import make_folder

from bandwise.checkpoints.folder import steps
from bandwise.files.documents import read_sealed
from bandwise.files.locks import folder_lock
from bandwise.launch import engines
from bandwise.training import pictures

Rows = dict[str, Sequence[Case]]


def rows(trained: Trained) -> Rows:
    """Return the rows, which start from one finished run."""

    def fresh(*flags: str, before: Callable[[Bench], None] = lambda bench: None):
        def prepare(bench: Bench) -> Sequence[str | Path]:
            before(bench)
            return trained.fresh(bench, "--branch", "0", *flags)

        return prepare

    def damaged_store(damage: Callable[[Path], None], *flags: str):
        def prepare(bench: Bench) -> Sequence[str | Path]:
            store = trained.copied_store(bench)
            damage(store)
            return trained.fresh(bench, *(flags or ("--branch", "0")), store=store)

        return prepare

    def resumed(damage: Callable[[Path], object] = lambda run: None, *flags: str, at: int = 7):
        """Stop a training after a step, damage what it left, and start it again."""

        def prepare(bench: Bench) -> Sequence[str | Path]:
            with_signal(bench, at, signal.SIGTERM)
            bench.call(*trained.fresh(bench, "--branch", "0"))
            assert bench.code == 75, bench.err
            bench.patch.undo()
            damage(bench.path / "run")
            return trained.fresh(bench, "--branch", "0", *flags)

        return prepare

    def undisturbed(bench: Bench) -> None:
        assert weights_of(bench.path / "run") == trained.weights()
        assert (bench.path / "run" / "branch-00" / "metrics.jsonl").read_bytes() == trained.metrics()

    def then_undisturbed(bench: Bench) -> None:
        """Run the same command again, without the fault."""
        bench.patch.undo()
        assert bench.call(*trained.fresh(bench, "--branch", "0")).code == 0, bench.err
        undisturbed(bench)

    def stopped(number: signal.Signals):
        def prepare(bench: Bench) -> Sequence[str | Path]:
            with_signal(bench, 3, number)
            return trained.fresh(bench, "--branch", "0")

        return prepare

    def killed(bench: Bench) -> Sequence[str | Path]:
        child = os.fork()
        if child == 0:
            try:
                with_signal(bench, 5, signal.SIGKILL)
                bench.call(*trained.fresh(bench, "--branch", "0"))
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert [path.name for path in steps(bench.path / "run" / "branch-00")][:1] == ["step-000000005"]
        return trained.fresh(bench, "--branch", "0")

    def locked(bench: Bench) -> Sequence[str | Path]:
        """Nothing can be said after the lock is gone, so the command runs here."""
        branch = bench.path / "run" / "branch-00"
        branch.mkdir(parents=True)
        shutil.copy(trained.root / "run" / "run.json", bench.path / "run")
        with folder_lock(branch):
            bench.call("train", "--out", bench.path / "run", "--branch", "0")
            assert bench.code == 5, bench.err
            assert f"branch-00 is being written by process {os.getpid()} on" in bench.err
            assert steps(branch) == []
        return trained.fresh(bench, "--branch", "0")

    def loader_dies(bench: Bench) -> Sequence[str | Path]:
        bench.patch.setattr(pictures, "_start_worker", end_process)
        return trained.fresh(bench, "--branch", "0", "--augment-at", "image", "--loader-workers", "1")

    def zombie(bench: Bench) -> Sequence[str | Path]:
        """The lock of a node that was lost: it counts while it shows signs of life, and then lapses."""
        argv = resumed()(bench)
        lock = bench.path / "run" / "branch-00" / ".lock"
        lock.write_text(json.dumps({"host": "lost-node", "pid": 7, "started": "2026-01-01T00:00:00+0000"}))
        assert bench.call(*argv).code == 5, bench.err
        assert "is being written by process 7 on lost-node" in bench.err
        os.utime(lock, (1, 1))
        return argv

    def other_samples(store: Path) -> None:
        """Put the band of another sample list into the store, with a manifest that fits it."""
        bench = Bench(store.parent, None)  # type: ignore[arg-type]
        other = store.parent / "other"
        make_folder(store.parent / "more", classes=3, train=12, val=3, side=16)
        argv = ["split", "--data", store.parent / "more", "--out", other, "--canvas", "16", "--holdout", "0.25"]
        assert bench.call(*argv, "--workers", "1", "--decode-timeout", "0").code == 0, bench.err
        files = read_sealed(store / "MANIFEST.json")["files"]
        theirs = read_sealed(other / "MANIFEST.json")["files"]
        for name in files:
            if name.startswith("band-03/"):
                shutil.copy(other / name, store / name)
                files[name] = theirs[name]
        change_json(store / "MANIFEST.json", files=files)

    def processes(*commands: str):
        """Train two branches at once, with these programs in place of the real ones."""

        def prepare(bench: Bench) -> Sequence[str | Path]:
            real = engines.subprocess.Popen

            def popen(command: list[str], **options: Any):
                if "--branch" in command:
                    number = int(command[command.index("--branch") + 1])
                    command = [sys.executable, "-c", commands[number]]
                return real(command, **options)

            bench.patch.setattr(engines.subprocess, "Popen", popen)
            return trained.fresh(bench, "--jobs", "2")

        return prepare

    def one_class(bench: Bench) -> Sequence[str | Path]:
        for index in range(12):
            bench.put(f"train/only/{index}.png", (trained.root / "pictures/train/class-0/000.png").read_bytes())
        assert bench.call(*bench.split("--canvas", "16", "--holdout", "0.2")).code == 0, bench.err
        return trained.fresh(bench, "--branch", "0", store=bench.store)

    def set_aside(bench: Bench) -> None:
        undisturbed(bench)
        assert (bench.path / "run" / "branch-00" / "damaged-step-000000007").is_dir()

    return {
        "T1": (
            Case(
                damaged_store(lambda store: (store / "MANIFEST.json").unlink()),
                4,
                ["conversion not finished: run split again"],
            ),
        ),
        "T2": (
            Case(damaged_store(lambda store: flip(band_file(store))), 4, ["band-00/train-00000-of-00001.parquet"]),
            Case(
                damaged_store(lambda store: band_file(store).write_bytes(band_file(store).read_bytes()[:-1])),
                4,
                ["bytes, not"],
            ),
            Case(
                damaged_store(lambda store: band_file(store).unlink()), 4, ["is missing; run bandwise verify --repair"]
            ),
        ),
        "T3": (Case(damaged_store(other_samples, "--branch", "1"), 4, ["rows of band 3"]),),
        "T4": (
            Case(
                fresh(before=lambda bench: bad_losses(bench, range(4, 99))),
                1,
                ["the loss was not finite 3 times in a row", "--lr"],
                last_finite,
            ),
            Case(fresh("--lr", "1e30"), 1, ["not finite", "--lr"], lambda bench: bench.patch.undo()),
        ),
        "T5": tuple(
            Case(stopped(number), 75, [f"stopped by {number.name} after step 3 of 8, all is saved"], then_undisturbed)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        ),
        "T6": (Case(killed, 0, ["continuing after step 5 of 8"], undisturbed),),
        "T7": (
            Case(resumed(flip_newest), 0, ["WARNING", "step-000000007", "continuing after step 6"], set_aside),
            Case(
                resumed(flip_all),
                4,
                ["none is valid", "remove the folder to train this branch from the start"],
                not_started_again,
            ),
        ),
        "T8": (
            Case(
                fresh(before=lambda bench: full_disk(bench, {2, 3})),
                0,
                ["WARNING: no space left while writing"],
                undisturbed,
            ),
            Case(
                fresh(before=lambda bench: full_disk(bench, range(4, 99))),
                6,
                ["no space left while writing"],
                then_undisturbed,
            ),
        ),
        "T9": (
            Case(
                resumed(lambda run: None, "--lr", "0.01", "--model", "resnet10"),
                7,
                ["training.lr: 0.05 -> 0.01", "network.model:"],
            ),
            Case(
                resumed(lambda run: None, "--epochs", "3", "--opt", "adamw"),
                7,
                ["training.epochs: 2 -> 3", "training.opt:"],
            ),
            Case(resumed(lambda run: None, "--batch-size", "5"), 7, ["training.batch_size: 6 -> 5"]),
        ),
        "T10": (
            Case(
                resumed(lambda run: None, "--threads", "2"),
                0,
                ["note: resumed branch 0 is not bit-exact: threads 1 -> 2"],
            ),
            Case(resumed(lambda run: None, "--cache", "none"), 0, (), undisturbed),
        ),
        "T11": (Case(resumed(at=3), 0, (), undisturbed),),
        "T12": (
            Case(
                loader_dies,
                1,
                [
                    "a process that decodes images died (killed, out of memory",
                    "fewer --loader-workers if memory is short",
                ],
            ),
        ),
        "T13": (
            Case(
                processes("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "pass"),
                1,
                ["1 of 2 branches failed, the others are finished", "branch 0: killed by signal 9"],
            ),
            Case(processes("raise SystemExit(6)", "pass"), 6, ["branch 0: exit code 6"]),
        ),
        "T14": (
            Case(
                lambda bench: (bad_losses(bench, range(1, 4)), trained.fresh(bench))[1],
                1,
                ["1 of 2 branches failed, the others are finished", "branch 0: the loss was not finite"],
                other_branch_is_finished,
            ),
        ),
        "T15": (Case(locked, 0),),
        "T16": (Case(zombie, 0, ["continuing after step 7 of 8"], undisturbed),),
        "T17": (
            Case(
                lambda bench: trained.fresh(bench, "--branch", "0", store=bench.path / "scratch-of-another-node"),
                2,
                ["scratch-of-another-node is not a store"],
            ),
        ),
        "T18": (
            Case(
                fresh("--batch-size", "28"),
                2,
                ["has 27 training samples, fewer than one batch of 28; use --batch-size 27"],
            ),
            Case(fresh("--batch-size", "1"), 2, ["batch_size is 1", "has batch normalisation"]),
            Case(one_class, 2, ["is 1; it must be at least 2"]),
            Case(damaged_store(label_out_of_range), 4, ["labels"]),
        ),
        "T19": (Case(resumed(clocks), 0, ["continuing after step 7"], undisturbed),),
        "T20": (Case(resumed(half_a_row), 0, (), undisturbed),),
    }
