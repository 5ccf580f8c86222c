"""Rows S23, S25 to S29 and S31 to S40: archives, changing sources, disks, locks, and decoders that go down."""

import errno
import fcntl
import functools
import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tests.bad_inputs import traps
from tests.bad_inputs.bench import Bench, Case, encoded, picture, png, stored_ids
from tests.sources import imagenet
from tests.sources.imagenet import IDS, tar_of
from tests.store.trees import tree

from bandwise.bands.quantize import BandQuantizer
from bandwise.commands import split as command
from bandwise.locks import folder_lock
from bandwise.sources import devkit, fetch, imagenet21k, reading, resolve
from bandwise.sources.folder import FolderSource
from bandwise.store import bandfile


def from_place(bench: Bench, place: Path, *flags: str) -> list[str | Path]:
    """Return the command that splits what lies at `place`."""
    argv = bench.split(*flags)
    argv[argv.index("--data") + 1] = place
    return argv


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


def archives(damage):
    """Return a preparation of a small ImageNet-1K, damaged."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        folders = imagenet.make_folders(bench.path / "folders")
        place = imagenet.make_imagenet1k(folders, bench.path / "archives")
        damage(place, imagenet.class_tars(folders))
        return from_place(bench, place)

    return prepare


def train_tar(change):
    def damage(place: Path, inner: dict[str, bytes]) -> None:
        change(inner)
        (place / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))

    return archives(damage)


def cut_inner(inner: dict[str, bytes]) -> None:
    inner[f"{IDS[1]}.tar"] = inner[f"{IDS[1]}.tar"][:1200]


def shard(change):
    """Return a preparation of one WebDataset shard, built by tarfile."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        place = bench.path / "shards"
        place.mkdir()
        with tarfile.open(place / "train-000000.tar", "w") as tar:
            for number in range(4):
                for name, content in (
                    (f"{number}.png", png(number % 2, number)),
                    (f"{number}.cls", b"%d" % (number % 2)),
                ):
                    tar.addfile(*member(name, content))
            change(tar)
        return from_place(bench, place)

    return prepare


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, target
    return info, io.BytesIO(content)


def links_and_devices(tar: tarfile.TarFile) -> None:
    for name, kind in (("s.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.CHRTYPE)):
        tar.addfile(*member(name, kind=kind, target="/etc/passwd"))


def nothing_outside(bench: Bench) -> None:
    found = {path.name for path in bench.path.iterdir()} - {"home"}
    assert found <= {"shards", "store"}
    assert not list(bench.path.rglob("*passwd*"))


def bomb(bench: Bench) -> Sequence[str | Path]:
    """A devkit of four kilobytes that unpacks to four megabytes, where one is allowed."""
    bench.patch.setattr(devkit, "_MAX_PLAIN_BYTES", 1 << 20)
    content = gzip.compress(bytes(4 << 20))

    def damage(place: Path, inner: dict[str, bytes]) -> None:
        (place / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(content)

    return archives(damage)(bench)


def many_unreadable(*flags: str):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        opened = functools.partial(imagenet21k.open_imagenet21k, min_images=10, val_images=2)
        bench.patch.setattr(resolve, "open_imagenet21k", opened)
        inner = {}
        for label, broken in ((0, 104), (1, 3)):
            sound = {f"{IDS[label]}_{number}.JPEG": imagenet.jpeg(label, number) for number in range(12)}
            gone = {
                f"{IDS[label]}_{number}.JPEG": b"<html>404</html>%d" % number for number in range(100, 100 + broken)
            }
            inner[f"{IDS[label]}.tar"] = tar_of({**sound, **gone})
        place = bench.path / "winter21_whole.tar"
        place.write_bytes(tar_of(inner))
        return from_place(bench, place, *flags)

    return prepare


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled_cifar(bench: Bench) -> Sequence[str | Path]:
    """What a mirror offers under the name of the official archive, and only that."""
    place = bench.path / "home" / "downloads"
    place.mkdir(parents=True)
    content = tar_of({"cifar-10-batches-py/data_batch_1": pickle.dumps(Canary(bench.path / "fired"))})
    (place / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(content))
    real = fetch._with_hand
    bench.patch.setattr(fetch, "_with_hand", lambda *given: list(real(*given))[:1])
    return from_place(bench, Path("cifar10"))


def pickled_folder(bench: Bench) -> Sequence[str | Path]:
    bench.pictures.mkdir()
    (bench.pictures / "data_batch_1").write_bytes(pickle.dumps(Canary(bench.path / "fired")))
    return bench.split()


def canary_lives(bench: Bench) -> None:
    assert not (bench.path / "fired").exists()


def little_space(bench: Bench) -> Sequence[str | Path]:
    bench.folder()
    bench.patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    return bench.split()


def full_in_the_middle(code: int):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        assert bench.call(*bench.split()).code == 0
        bench.store.rename(bench.path / "whole")
        real, written = bandfile._HashingSink.write, [0]

        def write(self, content):
            written[0] += 1
            if written[0] > 40:
                raise OSError(code, os.strerror(code))
            return real(self, content)

        bench.patch.setattr(bandfile._HashingSink, "write", write)
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
        bench.patch.setattr(command, "open_source", lambda config: source(bench.pictures))
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


ROWS: dict[str, Sequence[Case]] = {
    "S23": (
        Case(resized_after_listing, 7, ["train/b/1.png of pictures has", "when it was listed: the source has changed"]),
        Case(written_while_read, 7, ["train/b/1.png' changed while it was read: wait until it is written"]),
        Case(changed_between_bands, 7, ["pictures of pictures have changed since; nothing was replaced"]),
        Case(one_more_since, 7, ["samples.sha256:", "samples.train: 6 -> 7"]),
    ),
    "S25": (
        Case(train_tar(lambda inner: inner.pop(f"{IDS[2]}.tar")), 2, ["the archive lacks n01484850.tar"]),
        Case(train_tar(cut_inner), 2, ["n01443537.tar at byte ", "is cut off: 'n01443537_1.JPEG' should have"]),
    ),
    "S26": (
        Case(
            shard(lambda tar: tar.addfile(*member("../x.png", b"x"))),
            2,
            ["'../x.png'", "names with a leading /"],
            nothing_outside,
        ),
        Case(shard(lambda tar: tar.addfile(*member("/x.png", b"x"))), 2, ["names with a leading /"], nothing_outside),
        Case(shard(lambda tar: tar.addfile(*member("0.png", b"x"))), 2, ["two pictures"], nothing_outside),
        Case(shard(links_and_devices), 0, ["2 links", "1 devices"], nothing_outside),
        Case(
            shard(lambda tar: tar.addfile(*member("n" * 5000, b"x"))),
            2,
            ["its name has 5000 bytes; 1 to 4096 are allowed"],
        ),
    ),
    "S27": (Case(bomb, 2, ["devkit_t12.tar.gz: a gzip file holds more than the 1048576 bytes expected"]),),
    "S28": (
        Case(many_unreadable(), 3, ["unreadable images, 100 are allowed", "a web page"]),
        Case(
            many_unreadable("--max-bad", "200"),
            0,
            ["WARNING: 107 pictures were skipped", "most in class 'n01440764' (104 of 116)"],
        ),
    ),
    "S29": (
        Case(pickled_cifar, 2, ["the set 'cifar10' could not be fetched", "SHA256 hash"], canary_lives),
        Case(pickled_folder, 2, ["holds no class folders"], canary_lives),
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
    "S33": (
        Case(into("/proc/store"), 2, ["cannot write in /proc/store", "choose another folder with --out"], untouched),
    ),
    "S34": (Case(while_another_writes, 0),),
    "S35": (
        Case(again_with("--transform", "dct1d"), 7, ["config.transform: 'dct2d' -> 'dct1d'", "choose another folder"]),
        Case(
            again_with("--canvas", "32", "--split-seed", "1"),
            7,
            ["config.canvas: 16 -> 32", "config.split_seed: 0 -> 1"],
        ),
    ),
    "S36": (Case(half_removed, 0, [".tmp-train", "left by an interrupted run"], made_whole),),
    "S37": (
        Case(
            trapped(traps.CrashingFolder),
            0,
            ["ended with SIGSEGV; trying it alone", "again: skipped"],
            skipped_as("decoder crashed"),
        ),
        Case(trapped(FolderSource), 0, (), nothing_skipped),
    ),
    "S38": (
        Case(
            trapped(traps.HangingFolder, "--decode-timeout", "1"),
            0,
            ["took more than 1 s"],
            skipped_as("decoder timed out"),
        ),
    ),
    "S39": (Case(nonfinite, 0, ["1 nonfinite"], nonfinite_is_nowhere),),
    "S40": (
        Case(without_locks, 2, ["file system without file locks"]),
        Case(without_rename(errno.ENOSYS), 2, ["cannot write in", "Function not implemented"]),
        Case(without_rename(None), 2, ["a renamed file does not take the place of another"]),
    ),
}
