"""Rows C1 to C6: configuration files, flags, paths and the environment."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from tests.bad_inputs.bench import Bench, Case
from tests.bad_inputs.trained import Trained, change_json

Rows = dict[str, Sequence[Case]]


def file(text: str | bytes, name: str = "c.yaml"):
    """Return a preparation that trains by a configuration file."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        (bench.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["train", bench.path / name, "--out", bench.path / "run", "--dry-run"]

    return prepare


def flags(*given: str):
    return lambda bench: ["train", "--out", bench.path / "run", "--dry-run", *given]


def nothing_written(bench: Bench) -> None:
    assert not (bench.path / "run").exists()


def many_aliases() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(lines)


def output(name: str, home: str = "home-of-user"):
    """Return a preparation that splits into a folder of that name, from a folder of its own."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        bench.folder()
        (bench.path / home).mkdir()
        (bench.path / "here").mkdir()
        bench.patch.setenv("HOME", str(bench.path / home))
        bench.patch.setenv("VAR", str(bench.path / "elsewhere"))
        bench.patch.chdir(bench.path / "here")
        return [*bench.split(), "--out", name]

    return prepare


def only(place: str):
    """Return a check that a store is at `place` and that nothing else was written."""

    def after(bench: Bench) -> None:
        assert [str(path.parent.relative_to(bench.path)) for path in bench.path.rglob("MANIFEST.json")] == [place]
        top = place.split("/")[0]
        assert {path.name for path in bench.path.iterdir()} == {"pictures", "here", "home-of-user", top}
        assert list((bench.path / "here").iterdir()) == (
            [] if top != "here" else [bench.path / "/".join(place.split("/")[:2])]
        )

    return after


def nowhere(bench: Bench) -> None:
    assert not list(bench.path.rglob("MANIFEST.json"))


def read_only_home(bench: Bench) -> Sequence[str | Path]:
    bench.patch.setenv("BANDWISE_HOME", "/proc/home")
    return ["split", "--data", "photos", "--out", bench.store]


def conflict(bench: Bench) -> Sequence[str | Path]:
    """Say three times what the batch is: recipe, file and flag; the flag wins."""
    (bench.path / "c.yaml").write_text("training: {batch_size: 7, lr: 0.25}")
    argv = ["train", "mnist-sub4", "--config", bench.path / "c.yaml", "--batch-size", "9", "--out", bench.path / "run"]
    return [*argv, "--dry-run", "--json"]


def flag_wins(bench: Bench) -> None:
    training = bench.result["config"]["training"] if "config" in bench.result else bench.result["training"]
    assert (training["batch_size"], training["lr"]) == (9, 0.25)


def rows(trained: Trained) -> Rows:
    """Return the rows, of which some start from a finished run."""

    def stored(bench: Bench) -> None:
        flag_wins(bench)
        run = json.loads((trained.root / "run" / "run.json").read_text())
        assert run["config"]["training"]["batch_size"] == 6
        state = json.loads(next(trained.root.glob("run/branch-00/step-*/state.json")).read_text())
        assert state["config"]["training"]["batch_size"] == 6

    def newer_run(bench: Bench) -> Sequence[str | Path]:
        run = trained.copied_run(bench)
        change_json(run / "run.json", version=99)
        return ["evaluate", run]

    def newer_store(bench: Bench) -> Sequence[str | Path]:
        store = trained.copied_store(bench)
        for name in ("STORE.json", "MANIFEST.json"):
            change_json(store / name, version=[2, 0])
        return ["verify", store]

    return {
        "C1": (
            Case(
                file("training: {epocs: 3}"), 2, ["unknown key training.epocs; did you mean epochs?"], nothing_written
            ),
            Case(file("trainin: {epochs: 3}"), 2, ["unknown key trainin; did you mean training?"], nothing_written),
            Case(flags("--epocs", "3"), 2, ["--epocs"], nothing_written),
        ),
        "C2": (
            Case(
                file("training: {epochs: three}"),
                2,
                ["training.epochs is 'three'; it must be a whole number"],
                nothing_written,
            ),
            Case(file("training: {epochs: -1}"), 2, ["epochs is -1; it must be at least 1"], nothing_written),
            Case(file("training: {lr: .nan}"), 2, ["lr is nan; it must be above 0"], nothing_written),
            Case(file("training: {lr: .inf}"), 2, ["lr is inf; it must be above 0"], nothing_written),
            Case(file("training: {lr: 1e-3}"), 2, ["YAML reads 1e-3 as text: write 1.0e-3 or 0.001"], nothing_written),
            Case(file("split: {stride: 0}"), 2, ["stride is 0; it must be at least 1 and at most 8"], nothing_written),
            Case(
                file("split: {stride: 9, canvas: 252}"),
                2,
                ["stride is 9; it must be at least 1 and at most 8"],
                nothing_written,
            ),
            Case(
                file("split: {stride: true}"), 2, ["split.stride is True; it must be a whole number"], nothing_written
            ),
            Case(file("split: {stride: 1}"), 0, ["would train 1 branches"], nothing_written),
            Case(file("branches: '7'"), 2, ["7"], nothing_written),
            Case(flags("--epochs", "nan"), 2, ["epochs"], nothing_written),
        ),
        "C3": (
            Case(
                file("training: !!python/object/apply:os.system [echo]"),
                2,
                ["could not determine a constructor"],
                nothing_written,
            ),
            Case(file(many_aliases()), 2, ["aliases are not allowed"], nothing_written),
            Case(file("training: {lr: 0.1, lr: 0.2}"), 2, ["a key stands twice"], nothing_written),
            Case(file('{"name": "a", "name": "b"}', "c.json"), 2, ["a key stands twice"], nothing_written),
            Case(file("#" * (1 << 20) + "\n"), 2, ["is larger than 1048576 bytes"], nothing_written),
            Case(file("[" * 100_000), 2, ["cannot be read"], nothing_written),
            Case(file(b"name: \xff"), 2, ["cannot be read"], nothing_written),
        ),
        "C4": (
            Case(output("~/my store"), 0, (), only("home-of-user/my store")),
            Case(output("$VAR/store"), 0, (), only("here/$VAR/store")),
            Case(output("a\nb"), 0, (), only("here/a\nb")),
            Case(output("../there/x"), 0, (), only("there/x")),
            Case(output("x/" * 2100), 2, ["its name is too long for this file system"], nowhere),
            Case(output("n" * 300), 2, ["its name is too long for this file system"], nowhere),
            Case(output(os.fsdecode(b"caf\xe9")), 2, ["is not UTF-8; choose another with --out"], nowhere),
            Case(read_only_home, 2, ["cannot write in /proc/home/data"], nowhere),
        ),
        "C5": (Case(conflict, 0, (), stored),),
        "C6": (
            Case(newer_run, 7, ["run.json has version 99; this program reads 1"]),
            Case(newer_store, 7, ["STORE.json has format version 2; this bandwise reads version 1"]),
        ),
    }
