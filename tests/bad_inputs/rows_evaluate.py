"""Rows E1 to E14: models, logits and pictures from elsewhere, through fuse, evaluate and predict."""

import errno
import io
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load, save
from tests.bad_inputs.bench import Bench, Case, encoded, picture, png
from tests.bad_inputs.trained import MODEL, change_state, copied_run, newest, rewrite, train
from tests.bad_inputs.traps import Canary
from tests.helpers.logits import write_logits

from bandwise.files import atomic
from bandwise.runs.logits import LogitsFile, read_logits

Damage = Callable[[Path], object]


def predicting(damage: Damage):
    """Damage a copy of the run and classify a good picture with it."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        run = copied_run(bench)
        damage(run)
        return ["predict", run, good(bench)]

    return prepare


def scoring(verb: str, damage: Damage, *flags: str):
    """Damage a copy of the run, and fuse or evaluate it."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        run = copied_run(bench)
        damage(run)
        return [verb, run, *flags]

    return prepare


def starting_from(name: str, make: Damage):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        make(bench.path / name)
        return train(bench, "--branch", "0", "--initial-checkpoint", str(bench.path / name))

    return prepare


def in_run(*argv: str | Path):
    """Return a command for the finished run as it is."""
    return lambda bench: [argv[0], bench.finished / "run", *argv[1:]]


def content(make: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of the newest weights of branch 0, with a record that fits them."""
    return lambda run: rewrite(newest(run), MODEL, make((newest(run) / MODEL).read_bytes()))


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def changed(found: bytes) -> bytes:
        weights = load(found)
        change(weights)
        return save(weights)

    return content(changed)


def state(change: Callable[[dict[str, Any]], object]) -> Damage:
    return lambda run: change_state(newest(run), change)


def logits(change: Callable[[LogitsFile], LogitsFile]) -> Damage:
    """Change the logits of branch 1 on the reported set."""

    def damage(run: Path) -> None:
        path = run / "logits" / "val" / "branch-01.safetensors"
        write_logits(path, change(read_logits(path)))

    return damage


def meta(**changes: str) -> Damage:
    return logits(lambda found: replace(found, meta={**found.meta, **changes}))


def without_branch_1(run: Path) -> None:
    shutil.rmtree(run / "branch-01")


def from_other_run(run: Path) -> None:
    without_branch_1(run)
    shutil.copytree(run / "branch-00", run / "branch-01")


def one_weight_less(weights: dict[str, torch.Tensor]) -> None:
    del weights[min(weights)]
    weights["stranger"] = torch.zeros(1)


def not_a_number(weights: dict[str, torch.Tensor]) -> None:
    next(value for value in weights.values() if value.is_floating_point()).view(-1)[0] = torch.nan


def flipped(run: Path) -> None:
    path = newest(run) / MODEL
    found = bytearray(path.read_bytes())
    found[-5] ^= 1
    path.write_bytes(found)


def repeated_name(found: bytes) -> bytes:
    """Let one tensor occur twice in the header."""
    length = int.from_bytes(found[:8], "little")
    header = found[8 : 8 + length].rstrip()
    header = b"{" + header[1 : header.index(b"}") + 1] + b"," + header[1:]
    return struct.pack("<Q", len(header)) + header + found[8 + length :]


def huge(found: bytes) -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[17179869184],"data_offsets":[0,4]}}'
    return struct.pack("<Q", len(header)) + header + bytes(4)


def canary_of(path: Path) -> bytes:
    """Return what makes a file beside the run, or beside the weights, when it is unpickled."""
    return pickle.dumps(Canary(path.parent / "fired"))


def alive(bench: Bench) -> None:
    assert not (bench.path / "fired").exists()


def every_picture_once(bench: Bench) -> None:
    """The batch of the evaluation is that of the training, 6, and there are 8 pictures that can be read, of 9."""
    assert (bench.result["n_eval"], bench.result["n_total"]) == (8, 9)
    for split, wanted in (("holdout", 9), ("val", 8)):
        ids = read_logits(bench.finished / "run" / "logits" / split / "branch-00.safetensors").ids
        assert len(ids) == len(set(ids.tolist())) == wanted


def good(bench: Bench) -> Path:
    path = bench.path / "good.png"
    path.write_bytes(encoded(picture(), "PNG"))
    return path


def junk(bench: Bench) -> Sequence[str | Path]:
    folder = bench.path / "junk"
    (folder / "deep").mkdir(parents=True)
    for name in (b"a.png", b"=cmd.png", b"deep/caf\xe9.png", b"two words.png"):
        (folder / os.fsdecode(name)).write_bytes(png(1, 5))
    (folder / "cut.png").write_bytes(png(1, 5)[:60])
    (folder / "notes.txt").write_bytes(b"hello")
    (folder / "gone.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    return ["predict", bench.finished / "run", folder, folder / "a.png", "--csv", bench.path / "rows.csv", "--json"]


def one_row_each(bench: Bench) -> None:
    assert {(Path(row["path"]).name, row["status"], row["reason"]) for row in bench.result["predictions"]} == {
        ("a.png", "ok", ""),
        ("=cmd.png", "ok", ""),
        ("caf\\xe9.png", "ok", ""),
        ("two words.png", "ok", ""),
        ("cut.png", "error", "truncated"),
        ("notes.txt", "skipped", "no picture by name"),
        ("gone.png", "error", "missing"),
        ("pipe.png", "error", "not a file"),
    }
    assert (bench.result["n"], bench.result["n_failed"]) == (9, 3)
    assert len((bench.path / "rows.csv").read_text().splitlines()) == 10


def listed(separator: bytes, start: bytes = b"", end: bytes = b""):
    """Give names on the standard input: with a blank, that are no UTF-8, twice, and one that is missing."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        folder = os.fsencode(bench.path)
        blank, latin, missing = folder + b"/two words.png", folder + b"/caf\xe9.png", folder + b"/no.png"
        for name in (blank, latin):
            Path(os.fsdecode(name)).write_bytes(png(0, 3))
        names = separator.join([blank, latin, blank, missing])
        bench.patch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(start + names + end)))
        return ["predict", bench.finished / "run", "-", "--json"]

    return prepare


def four_rows(bench: Bench) -> None:
    found = [(Path(row["path"]).name, row["status"]) for row in bench.result["predictions"]]
    twice = ("two words.png", "ok")
    assert found == [twice, ("caf\\xe9.png", "ok"), twice, ("no.png", "error")]


def full_disk(bench: Bench) -> Sequence[str | Path]:
    (bench.path / "rows.csv").write_text("old")
    real = atomic.fsync_file

    def fsync_file(path: Path) -> None:
        if "rows.csv" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    bench.patch.setattr(atomic, "fsync_file", fsync_file)
    return ["predict", bench.finished / "run", good(bench), "--csv", bench.path / "rows.csv"]


def old_file_is_whole(bench: Bench) -> None:
    assert sorted(path.name for path in bench.path.iterdir()) == ["good.png", "rows.csv", "rows.csv.part"]
    assert (bench.path / "rows.csv").read_text() == "old"
    bench.patch.undo()
    assert bench.call("predict", bench.finished / "run", good(bench), "--csv", bench.path / "rows.csv").code == 0
    assert "good.png,ok" in (bench.path / "rows.csv").read_text()
    assert not (bench.path / "rows.csv.part").exists()


UNSAFE = "other formats can run code when they are loaded"
DAMAGED = "model.safetensors is damaged"
UNKNOWN_NETWORK = {"model": "os.system", "stem": "stock"}
CLASSES = [str(number) for number in range(100_000)]
ROWS = {
    "E1": (
        Case(
            starting_from("stranger.pth", lambda path: path.write_bytes(canary_of(path))),
            2,
            [".safetensors file", UNSAFE],
            alive,
        ),
        Case(predicting(lambda run: rewrite(newest(run), MODEL, canary_of(run))), 4, [DAMAGED], alive),
    ),
    "E2": (
        Case(starting_from("dcp", lambda path: path.mkdir()), 2, [UNSAFE]),
        Case(starting_from("net.onnx", lambda path: path.touch()), 2, [UNSAFE]),
    ),
    "E3": tuple(
        Case(predicting(content(make)), 4, [DAMAGED])
        for make in (lambda found: b"", lambda found: found[:-1], lambda found: found + b"\0", repeated_name)
    ),
    "E4": (
        Case(predicting(tensors(one_weight_less)), 7, ["does not fit the network", "missing: ", "unknown: stranger"]),
        Case(
            predicting(tensors(lambda weights: weights.update({max(weights): torch.zeros(3, 5, 7)}))),
            7,
            ["of another shape: "],
        ),
    ),
    "E5": (
        Case(predicting(content(huge)), 4, [DAMAGED]),
        Case(predicting(state(lambda found: found["store"].update(classes=CLASSES))), 7),
    ),
    "E6": Case(predicting(tensors(not_a_number)), 4, ["not finite"]),
    "E7": (
        Case(
            predicting(state(lambda found: found["config"].update(network=UNKNOWN_NETWORK))),
            2,
            ["there is no network 'os.system'; the networks are"],
        ),
        Case(predicting(state(lambda found: found["config"]["split"].update(stride=10**9))), 4, ["stride"]),
        Case(predicting(state(lambda found: found["config"].update(network={"target": "os.system"}))), 4, ["target"]),
    ),
    "E8": (
        Case(predicting(from_other_run), 7, ["does not belong to the run", "bands: [3] -> [0]"]),
        Case(scoring("evaluate", logits(lambda found: replace(found, ids=found.ids + 1))), 7, ["the samples differ"]),
        Case(scoring("evaluate", meta(store="0" * 64)), 7, ["store is 000000"]),
        Case(scoring("fuse", without_branch_1), 2, ["branches [1] of", "name the ones to fuse with --use"]),
        Case(scoring("fuse", without_branch_1, "--use", "0"), 0, ["weights 0: 1.000"]),
    ),
    "E9": Case(predicting(flipped), 4, ["model.safetensors is altered: its SHA-256 is not the one in COMMIT.json"]),
    "E10": Case(in_run("evaluate", "--max-bad", "1", "--json"), 0, (), every_picture_once),
    "E11": (
        Case(in_run("evaluate"), 3, ["8 of 9 reported images"]),
        Case(in_run("evaluate", "--max-bad", "1"), 0, ["8 of 9 reported images"]),
    ),
    "E12": Case(scoring("evaluate", meta(classes="f" * 64)), 7, ["classes is ffff"]),
    "E13": (
        Case(junk, 3, (), one_row_each),
        Case(lambda bench: ["predict", bench.finished / "run", bench.path], 2, ["there are no pictures in"]),
        Case(in_run("predict"), 2, ["name the pictures or folders to classify"]),
        Case(listed(b"\r\n", start=b"\xef\xbb\xbf"), 3, (), four_rows),
        Case(listed(b"\0", end=b"\0"), 3, (), four_rows),
    ),
    "E14": Case(full_disk, 6, ["no space left while writing", "rows.csv"], old_file_is_whole),
}
