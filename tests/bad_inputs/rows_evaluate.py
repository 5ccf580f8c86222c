"""Rows E1 to E14: models, logits and pictures from elsewhere, through fuse, evaluate and predict."""

import errno
import io
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load, save
from tests.bad_inputs.bench import Bench, Case, encoded, picture, png
from tests.bad_inputs.trained import Trained, change_state, newest, rewrite
from tests.bad_inputs.traps import Canary

from bandwise.files import atomic
from bandwise.runs.run import LogitsFile, read_logits, write_logits

MODEL = "model.safetensors"
Rows = dict[str, Sequence[Case]]


def rows(trained: Trained) -> Rows:
    """Return the rows, which start from one finished run."""

    def predicting(damage: Callable[[Path], None], *flags: str):
        """Damage a copy of the run and classify a good picture with it."""

        def prepare(bench: Bench) -> Sequence[str | Path]:
            run = trained.copied_run(bench)
            damage(run)
            return ["predict", run, good(bench), *flags]

        return prepare

    def evaluating(damage: Callable[[Path], None], verb: str = "evaluate", *flags: str):
        def prepare(bench: Bench) -> Sequence[str | Path]:
            run = trained.copied_run(bench)
            damage(run)
            return [verb, run, *flags]

        return prepare

    def starting_from(name: str, make: Callable[[Path], None]):
        def prepare(bench: Bench) -> Sequence[str | Path]:
            make(bench.path / name)
            return trained.fresh(bench, "--branch", "0", "--initial-checkpoint", str(bench.path / name))

        return prepare

    def from_other_run(run: Path) -> None:
        shutil.rmtree(run / "branch-01")
        shutil.copytree(run / "branch-00", run / "branch-01")

    def other_meta(**changes: str):
        def damage(run: Path) -> None:
            path = run / "logits" / "val" / "branch-01.safetensors"
            found = read_logits(path)
            write_logits(path, LogitsFile(found.ids, found.labels, found.logits, {**found.meta, **changes}))

        return damage

    def other_ids(run: Path) -> None:
        path = run / "logits" / "val" / "branch-01.safetensors"
        found = read_logits(path)
        write_logits(path, LogitsFile(found.ids + 1, found.labels, found.logits, found.meta))

    def one_weight_less(run: Path) -> None:
        tensors = load((newest(run) / MODEL).read_bytes())
        del tensors[sorted(tensors)[0]]
        rewrite(newest(run), MODEL, save({**tensors, "stranger": torch.zeros(1)}))

    def other_shape(run: Path) -> None:
        tensors = load((newest(run) / MODEL).read_bytes())
        name = sorted(tensors)[-1]
        rewrite(newest(run), MODEL, save({**tensors, name: torch.zeros(3, 5, 7)}))

    def not_a_number(run: Path) -> None:
        tensors = load((newest(run) / MODEL).read_bytes())
        name = next(name for name, value in tensors.items() if value.is_floating_point())
        tensors[name].view(-1)[0] = torch.nan
        rewrite(newest(run), MODEL, save(tensors))

    def content(make: Callable[[bytes], bytes]):
        return lambda run: rewrite(newest(run), MODEL, make((newest(run) / MODEL).read_bytes()))

    def state(change: Callable[[dict[str, Any]], Any]):
        return lambda run: change_state(newest(run), change)

    def flipped(run: Path) -> None:
        path = newest(run) / MODEL
        found = bytearray(path.read_bytes())
        found[-5] ^= 1
        path.write_bytes(found)

    def every_picture_once(bench: Bench) -> None:
        """The batch of the evaluation is that of the training, 6, and there are 8 pictures that can be read, of 9."""
        assert (bench.result["n_eval"], bench.result["n_total"]) == (8, 9)
        for split, wanted in (("holdout", 9), ("val", 8)):
            ids = read_logits(trained.root / "run" / "logits" / split / "branch-00.safetensors").ids
            assert len(ids) == len(set(ids.tolist())) == wanted
        for size in ("1", "2", "4", "7", "8", "9", "100"):
            bench.call(
                "predict", trained.root / "run", trained.root / "pictures" / "val", "--batch-size", size, "--json"
            )
            paths = [row["path"] for row in bench.result["predictions"]]
            assert len(paths) == len(set(paths)) == 9

    def junk(bench: Bench) -> Sequence[str | Path]:
        folder = bench.path / "junk"
        (folder / "deep").mkdir(parents=True)
        good_one = png(1, 5)
        for name in (b"a.png", b"=cmd.png", b"deep/caf\xe9.png", b"two words.png"):
            (folder / os.fsdecode(name)).write_bytes(good_one)
        (folder / "cut.png").write_bytes(good_one[:60])
        (folder / "notes.txt").write_bytes(b"hello")
        (folder / "gone.png").symlink_to("nowhere")
        os.mkfifo(folder / "pipe.png")
        return ["predict", trained.root / "run", folder, folder / "a.png", "--csv", bench.path / "rows.csv", "--json"]

    def one_row_each(bench: Bench) -> None:
        found = {(Path(row["path"]).name, row["status"], row["reason"]) for row in bench.result["predictions"]}
        assert found == {
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
            names = [
                folder + b"/two words.png",
                folder + b"/caf\xe9.png",
                folder + b"/two words.png",
                folder + b"/no.png",
            ]
            for name in names[:2]:
                Path(os.fsdecode(name)).write_bytes(png(0, 3))
            stream = SimpleNamespace(buffer=io.BytesIO(start + separator.join(names) + end))
            bench.patch.setattr("sys.stdin", stream)
            return ["predict", trained.root / "run", "-", "--json"]

        return prepare

    def four_rows(bench: Bench) -> None:
        rows_found = [(Path(row["path"]).name, row["status"]) for row in bench.result["predictions"]]
        twice = ("two words.png", "ok")
        assert rows_found == [twice, ("caf\\xe9.png", "ok"), twice, ("no.png", "error")]

    def full_disk(bench: Bench) -> Sequence[str | Path]:
        (bench.path / "rows.csv").write_text("old")
        real = atomic.fsync_file

        def fsync_file(path: Path) -> None:
            if "rows.csv" in path.name:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(path)

        bench.patch.setattr(atomic, "fsync_file", fsync_file)
        return ["predict", trained.root / "run", good(bench), "--csv", bench.path / "rows.csv"]

    def old_file_is_whole(bench: Bench) -> None:
        assert sorted(path.name for path in bench.path.iterdir()) == ["good.png", "rows.csv"]
        assert (bench.path / "rows.csv").read_text() == "old"
        bench.patch.undo()
        bench.call("predict", trained.root / "run", good(bench), "--csv", bench.path / "rows.csv")
        assert bench.code == 0
        assert "good.png,ok" in (bench.path / "rows.csv").read_text()

    def canary_in(run: Path) -> bytes:
        return pickle.dumps(Canary(run.parent / "fired"))

    def alive(bench: Bench) -> None:
        assert not (bench.path / "fired").exists()

    unsafe = "other formats can run code when they are loaded"
    huge = (
        struct.pack("<Q", 80) + b'{"a":{"dtype":"F32","shape":[17179869184],"data_offsets":[0,4]}}'.ljust(80) + bytes(4)
    )
    network = {"model": "os.system", "stem": "stock"}
    return {
        "E1": (
            Case(
                starting_from("stranger.pth", lambda path: path.write_bytes(canary_in(path))),
                2,
                [".safetensors file", unsafe],
                alive,
            ),
            Case(starting_from("stranger.pt", lambda path: torch.save({}, path)), 2, [unsafe]),
            Case(
                predicting(lambda run: rewrite(newest(run), MODEL, canary_in(run))),
                4,
                ["model.safetensors is damaged"],
                alive,
            ),
        ),
        "E2": tuple(
            Case(starting_from(name, lambda path: path.mkdir()), 2, [unsafe])
            for name in ("dcp", "package.mar", "net.onnx")
        ),
        "E3": tuple(
            Case(predicting(content(make)), 4, ["model.safetensors is damaged"])
            for make in (
                lambda found: b"",
                lambda found: b"\xff" * 8 + found[8:],
                lambda found: found[:-1],
                lambda found: found + b"\0",
                lambda found: struct.pack("<Q", 2) + b"[]",
                lambda found: found.replace(b'"data_offsets":[0,', b'"data_offsets":[4,', 1),
                repeated_name,
            )
        ),
        "E4": (
            Case(predicting(one_weight_less), 7, ["does not fit the network", "missing: ", "unknown: stranger"]),
            Case(predicting(other_shape), 7, ["of another shape: "]),
        ),
        "E5": (
            Case(predicting(content(lambda found: huge)), 4, ["model.safetensors is damaged"]),
            Case(predicting(state(lambda found: found["store"].update(classes=[str(i) for i in range(100_000)]))), 7),
        ),
        "E6": (Case(predicting(not_a_number), 4, ["not finite"]),),
        "E7": (
            Case(
                predicting(state(lambda found: found["config"].update(network=network))),
                2,
                ["there is no network 'os.system'; the networks are"],
            ),
            Case(predicting(state(lambda found: found["config"]["split"].update(stride=10**9))), 4, ["stride"]),
            Case(
                predicting(state(lambda found: found["config"].update(network={"target": "os.system"}))), 4, ["target"]
            ),
        ),
        "E8": (
            Case(predicting(from_other_run), 7, ["does not belong to the run", "bands: [3] -> [0]"]),
            Case(evaluating(other_ids), 7, ["the samples differ"]),
            Case(evaluating(other_meta(store="0" * 64)), 7, ["store is 000000"]),
            Case(
                evaluating(lambda run: shutil.rmtree(run / "branch-01"), "fuse"),
                2,
                ["branches [1] of", "name the ones to fuse with --use"],
            ),
            Case(
                evaluating(lambda run: shutil.rmtree(run / "branch-01"), "fuse", "--use", "0"), 0, ["weights 0: 1.000"]
            ),
        ),
        "E9": (
            Case(predicting(flipped), 4, ["model.safetensors is altered: its SHA-256 is not the one in COMMIT.json"]),
        ),
        "E10": (
            Case(
                lambda bench: ["evaluate", trained.root / "run", "--max-bad", "1", "--json"], 0, (), every_picture_once
            ),
        ),
        "E11": (
            Case(lambda bench: ["evaluate", trained.root / "run"], 3, ["8 of 9 reported images"]),
            Case(lambda bench: ["evaluate", trained.root / "run", "--max-bad", "1"], 0, ["8 of 9 reported images"]),
        ),
        "E12": (Case(evaluating(other_meta(classes="f" * 64)), 7, ["classes is ffff"]),),
        "E13": (
            Case(junk, 3, (), one_row_each),
            Case(lambda bench: ["predict", trained.root / "run", bench.path], 2, ["there are no pictures in"]),
            Case(lambda bench: ["predict", trained.root / "run"], 2, ["name the pictures or folders to classify"]),
            *(
                Case(listed(*how), 3, (), four_rows)
                for how in ((b"\n",), (b"\r\n", b"", b"\r\n"), (b"\r\n", b"\xef\xbb\xbf"), (b"\0", b"", b"\0"))
            ),
        ),
        "E14": (Case(full_disk, 6, ["no space left while writing", "rows.csv"], old_file_is_whole),),
    }


def good(bench: Bench) -> Path:
    path = bench.path / "good.png"
    path.write_bytes(encoded(picture(), "PNG"))
    return path


def repeated_name(found: bytes) -> bytes:
    """Let one tensor stand twice in the header."""
    length = int.from_bytes(found[:8], "little")
    header = found[8 : 8 + length].rstrip()
    first = header[1 : header.index(b"}") + 1]
    header = b"{" + first + b"," + header[1:]
    return struct.pack("<Q", len(header)) + header + found[8 + length :]
