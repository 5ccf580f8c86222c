"""Rows S23 and S31 to S40: changing sources, disks, locks, and decoders that go down."""

import dataclasses
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tests.bad_inputs import traps
from tests.bad_inputs.bench import Bench, Case, Row, encoded, picture, png, stored_ids
from tests.helpers.trees import tree

from bandwise.bands.quantize import BandQuantizer
from bandwise.commands import split as command
from bandwise.files.locks import folder_lock
from bandwise.sources import reading
from bandwise.sources.folder import FolderSource, open_folder
from bandwise.store.writing import records


def resized_after_listing(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    entries = FolderSource.entries

    def listed(self):
        found = entries(self)
        bench.put("train/b/1.png", png(1, 9) + b"\0")
        return found

    bench.patch.setattr(FolderSource, "entries", listed)
    return bench.split()


def written_while_read(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    path, clock = bench.pictures / "train" / "b" / "1.png", [0]

    def regular(mode: int) -> bool:
        # Called between the first look at a file and the reading of it.
        clock.append(0)
        os.utime(path, ns=(len(clock), len(clock)))
        return True

    bench.patch.setattr(reading, "stat", SimpleNamespace(S_ISREG=regular))
    return bench.split()


def changed_between_bands(bench: Bench) -> Sequence[str | Path]:
    """A picture of the same length, so that only its pixels tell."""
    bench.folder()
    path = bench.put("train/a/x.bmp", encoded(picture("L"), "BMP"))
    assert bench.call(*bench.split("--bands", "0")).code == 0
    path.write_bytes(encoded(picture("L").rotate(90), "BMP"))
    return bench.split()


def one_more_since(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    assert bench.call(*bench.split()).code == 0
    bench.put("train/a/new.png", png(0, 50))
    return bench.split()


def little_space(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    bench.patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    return bench.split()


def full_in_the_middle(code: int):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        assert bench.call(*bench.split()).code == 0
        bench.store.rename(bench.path / "whole")
        real, written = records._HashingSink.write, [0]

        def write(self, content):
            written[0] += 1
            if written[0] > 40:
                raise OSError(code, os.strerror(code))
            return real(self, content)

        bench.patch.setattr(records._HashingSink, "write", write)
        return bench.split()

    return prepare


def resumes(bench: Bench) -> None:
    bench.patch.undo()
    assert not (bench.store / "MANIFEST.json").exists()
    assert bench.call(*bench.split()).code == 0
    assert tree(bench.store) == tree(bench.path / "whole")


def into(place: str):
    """Return a preparation whose output is at a place relative to the folder of the case."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        (bench.path / "mine").mkdir()
        (bench.path / "mine" / "thesis.tex").write_text("precious")
        bench.patch.setattr(FolderSource, "read", unexpected)
        return [*bench.split(), "--out", bench.path / place]

    return prepare


def unexpected(*_: object) -> bytes:
    raise AssertionError("a picture was read")


def untouched(bench: Bench) -> None:
    assert (bench.path / "mine" / "thesis.tex").read_text() == "precious"
    assert sorted(path.name for path in bench.path.iterdir()) == ["mine", "pictures"]
    assert sorted(path.name for path in bench.pictures.iterdir()) == ["train", "val"]


def while_another_writes(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    bench.store.mkdir()
    with folder_lock(bench.store):
        bench.call(*bench.split())
    assert bench.code == 5
    assert f"is being written by process {os.getpid()} on {os.uname().nodename}, started 20" in bench.err
    assert "wait for it, stop it, or choose another folder" in bench.err
    # What a holder on this machine leaves that was killed: its process number is no longer, or somebody else's.
    started = "2001-01-01T00:00:00+0000"
    holder = {"host": os.uname().nodename, "pid": (1 << 22) + 1, "started": started}
    (bench.store / ".lock").write_text(json.dumps(holder))
    return bench.split()


def again_with(*flags: str):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        assert bench.call(*bench.split()).code == 0
        return bench.split(*flags)

    return prepare


def half_removed(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    assert bench.call(*bench.split()).code == 0
    shutil.copytree(bench.store, bench.path / "whole")
    (bench.store / "MANIFEST.json").unlink()
    next(bench.store.glob("band-01/train-*")).unlink()
    record = next(bench.store.glob("commits/val-*"))
    record.write_bytes(record.read_bytes()[:-9])
    (bench.store / "band-02" / ".tmp-train-00000-of-00001.parquet.1.00000000").write_bytes(b"half")
    return bench.split("--json")


def made_whole(bench: Bench) -> None:
    assert bench.result["groups_written"] == 2
    assert tree(bench.store) == tree(bench.path / "whole")
    (bench.store / "notes.txt").write_text("mine")
    bench.call("verify", bench.store)
    assert bench.code == 4
    assert "notes.txt: not part of the store; move it away" in bench.err


def trapped(source: type[FolderSource], *flags: str):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        bench.put("train/a/trap.png", png(0, 60))
        found = open_folder(bench.pictures)
        facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        bench.patch.setattr(command, "open_source", lambda config: source(**facts))
        return bench.split(*flags, "--json", guard=True)

    return prepare


def skipped_as(reason: str):
    def after(bench: Bench) -> None:
        [sample] = bench.result["bad"]
        assert (sample["path"], sample["reason"]) == ("train/a/trap.png", reason)
        assert all(sorted({*ids, sample["id"]}) == list(range(11)) for ids in stored_ids(bench.store).values())
        assert all(sample["id"] not in ids for ids in stored_ids(bench.store).values())

    return after


def nothing_skipped(bench: Bench) -> None:
    assert bench.result["bad"] == []


def nonfinite(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    real, calls = BandQuantizer.split_float16, [0]

    def split_float16(self, canvas):
        calls[0] += 1
        found = real(self, canvas)
        return np.full_like(found, np.nan) if calls[0] == 3 else found

    bench.patch.setattr(BandQuantizer, "split_float16", split_float16)
    return bench.split("--storage", "float16", "--json")


def nonfinite_is_nowhere(bench: Bench) -> None:
    [sample] = bench.result["bad"]
    assert sample["reason"] == "nonfinite"
    assert all(sorted({*ids, sample["id"]}) == list(range(10)) for ids in stored_ids(bench.store).values())
    assert bench.call("verify", bench.store).code == 0


def without_locks(bench: Bench) -> Sequence[str | Path]:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    bench.patch.setattr(fcntl, "flock", flock)
    return into("out")(bench)


def without_rename(code: int | None):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        def rename(source, target) -> None:
            if code is not None:
                raise OSError(code, os.strerror(code))

        bench.patch.setattr(os, "rename", rename)
        return into("out")(bench)

    return prepare


ROWS: dict[str, Row] = {
    "S23": (
        Case(resized_after_listing, 7, ["train/b/1.png of pictures has", "when it was listed: the source has changed"]),
        Case(written_while_read, 7, ["train/b/1.png' changed while it was read: wait until it is written"]),
        Case(changed_between_bands, 7, ["pictures of pictures have changed since; nothing was replaced"]),
        Case(one_more_since, 7, ["samples.sha256:", "samples.train: 6 -> 7"]),
    ),
    "S31": (
        Case(little_space, 6, ["0.00 GB free", "are needed", "free some space or choose another folder"]),
        *(
            Case(full_in_the_middle(code), 6, ["no space left while writing", "run the same command again"], resumes)
            for code in (errno.ENOSPC, errno.EDQUOT)
        ),
    ),
    "S32": (
        Case(into("pictures/store"), 2, ["overlap; choose an output folder outside the source"], untouched),
        Case(into("pictures"), 2, ["overlap"], untouched),
        Case(into("."), 2, ["overlap"], untouched),
        Case(into("mine"), 2, ["is not empty and not a store (it holds thesis.tex)"], untouched),
        Case(into("mine/thesis.tex"), 2, ["is not a folder"], untouched),
    ),
    "S33": Case(into("/proc/store"), 2, ["cannot write in /proc/store", "choose another folder with --out"], untouched),
    "S34": Case(while_another_writes, 0),
    "S35": (
        Case(again_with("--transform", "dct1d"), 7, ["config.transform: 'dct2d' -> 'dct1d'", "choose another folder"]),
        Case(
            again_with("--canvas", "32", "--split-seed", "1"),
            7,
            ["config.canvas: 16 -> 32", "config.split_seed: 0 -> 1"],
        ),
    ),
    "S36": Case(half_removed, 0, [".tmp-train", "left by an interrupted run"], made_whole),
    "S37": (
        Case(
            trapped(traps.CrashingFolder),
            0,
            ["ended with SIGSEGV; trying it alone", "again: skipped"],
            skipped_as("decoder crashed"),
        ),
        Case(trapped(FolderSource), 0, (), nothing_skipped),
    ),
    "S38": Case(
        trapped(traps.HangingFolder, "--decode-timeout", "1"),
        0,
        ["took more than 1 s"],
        skipped_as("decoder timed out"),
    ),
    "S39": Case(nonfinite, 0, ["1 nonfinite"], nonfinite_is_nowhere),
    "S40": (
        Case(without_locks, 2, ["file system without file locks"]),
        Case(without_rename(errno.ENOSYS), 2, ["cannot write in", "Function not implemented"]),
        Case(without_rename(None), 2, ["a renamed file does not take the place of another"]),
    ),
}
