"""Rows C1 to C6: configuration files, flags, paths and the environment."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from tests.bad_inputs.bench import Bench, Case
from tests.bad_inputs.trained import change_json, copied_run, copied_store


def nothing_written(bench: Bench) -> None:
    assert not bench.run.exists()


def file(text: str | bytes, words: str, name: str = "c.yaml", code: int = 2) -> Case:
    """Train by a configuration file."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        (bench.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["train", bench.path / name, "--out", bench.run, "--dry-run"]

    return Case(prepare, code, [words], nothing_written)


def flags(flag: str, value: str) -> Case:
    return Case(lambda bench: ["train", "--out", bench.run, "--dry-run", flag, value], 2, [flag[2:]], nothing_written)


def many_aliases() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    return "\n".join(lines + [f"{name}: &{name} [{','.join(['*' + before] * 9)}]" for before, name in pairs])


def output(name: str):
    """Return a preparation that splits into a folder of that name, from a folder of its own."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        (bench.path / "home-of-user").mkdir()
        (bench.path / "here").mkdir()
        bench.patch.setenv("HOME", str(bench.path / "home-of-user"))
        bench.patch.setenv("VAR", str(bench.path / "elsewhere"))
        bench.patch.chdir(bench.path / "here")
        return [*bench.split(), "--out", name]

    return prepare


def only(place: str):
    """Return a check that a store is at `place` and that nothing else was written."""

    def after(bench: Bench) -> None:
        assert [str(path.parent.relative_to(bench.path)) for path in bench.path.rglob("MANIFEST.json")] == [place]
        top, *below = place.split("/")
        assert {path.name for path in bench.path.iterdir()} == {"pictures", "here", "home-of-user", top}
        assert [path.name for path in (bench.path / "here").iterdir()] == (below[:1] if top == "here" else [])

    return after


def nowhere(bench: Bench) -> None:
    assert not list(bench.path.rglob("MANIFEST.json"))


def read_only_home(bench: Bench) -> Sequence[str | Path]:
    bench.patch.setenv("BANDWISE_HOME", "/proc/home")
    return ["split", "--data", "photos", "--out", bench.store]


def conflict(bench: Bench) -> Sequence[str | Path]:
    """Say three times what the batch is: recipe, file and flag; the flag wins."""
    (bench.path / "c.yaml").write_text("training: {batch_size: 7, lr: 0.25}")
    argv = ["train", "mnist-sub4", "--config", bench.path / "c.yaml", "--batch-size", "9", "--out", bench.run]
    return [*argv, "--dry-run", "--json"]


def flag_wins_and_is_stored(bench: Bench) -> None:
    training = bench.result["config"]["training"]
    assert (training["batch_size"], training["lr"]) == (9, 0.25)
    state = next((bench.finished / "run").glob("branch-00/step-*/state.json"))
    for path in (bench.finished / "run" / "run.json", state):
        assert json.loads(path.read_text())["config"]["training"]["batch_size"] == 6


def newer_run(bench: Bench) -> Sequence[str | Path]:
    run = copied_run(bench)
    change_json(run / "run.json", version=99)
    return ["evaluate", run]


def newer_store(bench: Bench) -> Sequence[str | Path]:
    store = copied_store(bench)
    for name in ("STORE.json", "MANIFEST.json"):
        change_json(store / name, version=[2, 0])
    return ["verify", store]


TOO_LONG = "its name is too long for this file system"
ROWS = {
    "C1": (
        file("training: {epocs: 3}", "unknown key training.epocs; did you mean epochs?"),
        file("trainin: {epochs: 3}", "unknown key trainin; did you mean training?"),
        flags("--epocs", "3"),
    ),
    "C2": (
        file("training: {epochs: three}", "training.epochs is 'three'; it must be a whole number"),
        file("training: {epochs: -1}", "epochs is -1; it must be at least 1"),
        file("training: {lr: .nan}", "lr is nan; it must be above 0"),
        file("training: {lr: 1.0e+300}", "lr is 1e+300; it must be above 0 and at most 1e+30"),
        file("training: {lr: 1e-3}", "YAML reads 1e-3 as text: write 1.0e-3 or 0.001"),
        file("split: {stride: 9, canvas: 252}", "stride is 9; it must be at least 1 and at most 8"),
        file("branches: '7'", "7"),
        flags("--epochs", "nan"),
        file("split: {stride: 1}", "would train 1 branches", code=0),
    ),
    "C3": (
        file("training: !!python/object/apply:os.system [echo]", "could not determine a constructor"),
        file(many_aliases(), "aliases are not allowed"),
        file("training: {lr: 0.1, lr: 0.2}", "a key stands twice"),
        file('{"name": "a", "name": "b"}', "a key stands twice", "c.json"),
        file("#" * (1 << 20) + "\n", "is larger than 1048576 bytes"),
        file("[" * 100_000, "cannot be read"),
        file(b"name: \xff", "cannot be read"),
    ),
    "C4": (
        Case(output("~/my store"), 0, (), only("home-of-user/my store")),
        Case(output("$VAR/store"), 0, (), only("here/$VAR/store")),
        Case(output("a\nb"), 0, (), only("here/a\nb")),
        Case(output("../there/x"), 0, (), only("there/x")),
        Case(output("x/" * 2100), 2, [TOO_LONG], nowhere),
        Case(output("n" * 300), 2, [TOO_LONG], nowhere),
        Case(output(os.fsdecode(b"caf\xe9")), 2, ["is not UTF-8; choose another with --out"], nowhere),
        Case(read_only_home, 2, ["cannot write in /proc/home/data"], nowhere),
    ),
    "C5": Case(conflict, 0, (), flag_wins_and_is_stored),
    "C6": (
        Case(newer_run, 7, ["run.json has version 99; this program reads 1"]),
        Case(newer_store, 7, ["STORE.json has format version 2; this bandwise reads version 1"]),
    ),
}
