"""Branches that were trained apart are fused as those trained together; what does not belong together is refused."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.trees import ROOT, tree
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import steps
from bandwise.cli import main
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.arrays import read_arrays, write_arrays
from bandwise.files.documents import read_document, write_document
from bandwise.launch import collect as module
from bandwise.launch.collect import collect
from bandwise.runs.run import RUN_NAME, create_run
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset


def only(run: Path, branches: set[int], folder: Path) -> Path:
    """Return what a machine has that has trained some branches of a run, without its store."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("store", "fusion*", "results*", "report*"))
    for file in sorted(folder.rglob("branch-*")):
        if int(file.name[7:9]) not in branches and file.exists():
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    return folder


@pytest.fixture
def apart(finished, tmp_path) -> list[Path]:
    """The two branches of the finished run, in a folder each."""
    return [only(finished, {branch}, tmp_path / f"machine-{branch}") for branch in (0, 1)]


ENVIRONMENTS = (
    {"LC_ALL": "C", "TZ": "UTC"},
    {"LC_ALL": "C.UTF-8", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "7"},
    {"LC_ALL": "POSIX", "TZ": "America/Lima", "PYTHONOPTIMIZE": "1", "COLUMNS": "40"},
)


def test_three_machines_give_the_fusion_of_one(finished, pictures, tmp_path):
    """Each has its own program, environment and place, and splits the same pictures by itself into another one."""
    config = replace(CONFIG, branches="0;1;3", training=replace(CONFIG.training, epochs=1))
    folders = []
    for branch, environment in enumerate(ENVIRONMENTS):
        home = tmp_path / f"home {branch}"
        shutil.copytree(ROOT / "src", home / "program", ignore=shutil.ignore_patterns("__pycache__"))
        split_dataset(open_folder(pictures), config.split, home / "disk")
        create_run(home / "run", config, home / "disk")
        done = subprocess.run(
            [sys.executable, "-m", "bandwise", "train", "--out", "run", "--branch", str(branch)],
            cwd=home,
            env={**os.environ, **environment, "HOME": str(home), "PYTHONPATH": str(home / "program")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        folders.append(home / "run")
    whole = create_run(tmp_path / "whole", config, tmp_path / "home 0" / "disk")
    assert main(["train", "--out", str(whole.path)]) == main(["fuse", str(whole.path)]) == 0
    into = tmp_path / "together"
    assert main(["collect", *map(str, folders), "--into", str(into)]) == 0
    # The logits of the holdout came along, so no store is needed.
    assert main(["fuse", str(into)]) == 0
    assert (into / "fusion.json").read_bytes() == (whole.path / "fusion.json").read_bytes()
    assert main(["evaluate", str(into), "--store", str(tmp_path / "home 1" / "disk")]) == 0
    assert main(["verify", str(into)]) == 0


def test_what_is_missing_is_said_and_comes_later(apart, tmp_path, capsys):
    into = tmp_path / "together"
    assert main(["collect", str(apart[1]), "--into", str(into), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["brought"], first["missing"]) == ({"1": str(apart[1])}, [0])
    assert main(["collect", *map(str, apart), "--into", str(into)]) == 0
    assert f"branch 0 from {apart[0]}\nbranch 1 was there" in capsys.readouterr().out


def test_a_branch_that_came_as_its_logits_only(apart, finished, tmp_path):
    for step in steps(apart[1] / "branch-01"):
        shutil.rmtree(step)
    into = tmp_path / "together"
    collect(apart, into, store=finished / "store")
    assert main(["fuse", str(into)]) == 0
    assert (into / "fusion.json").read_bytes() == (finished / "fusion.json").read_bytes()


def change_config(folder: Path) -> None:
    content = read_document(folder / RUN_NAME)
    content["config"]["training"]["lr"] = 0.5
    write_document(folder / RUN_NAME, content)


def damage_weights(folder: Path) -> None:
    file = steps(folder / "branch-01")[0] / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def forget_everything_but_the_summary(folder: Path) -> None:
    for step in steps(folder / "branch-01"):
        shutil.rmtree(step)
    shutil.rmtree(folder / "logits")


def change_store(folder: Path) -> None:
    """Make of the branch one that knows its answers only, from another store."""
    for step in steps(folder / "branch-01"):
        shutil.rmtree(step)
    for file in folder.glob("logits/*/branch-01.safetensors"):
        arrays, meta = read_arrays(file)
        write_arrays(file, arrays, {**meta, "store": "f" * 64})


def swap_logits(folder: Path) -> None:
    for file in folder.glob("logits/*/branch-01.safetensors"):
        arrays, meta = read_arrays(file)
        write_arrays(file, arrays, {**meta, "weights": "0" * 64})


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (change_config, IncompatibleError, r"training\.lr: 0\.02 -> 0\.5"),
        (damage_weights, CorruptionError, r"model\.safetensors is altered"),
        (forget_everything_but_the_summary, UsageError, "neither weights nor logits"),
        (change_store, IncompatibleError, "different stores:\n  digest: "),
        (swap_logits, IncompatibleError, "predicted by other weights"),
        (lambda folder: (folder / RUN_NAME).unlink(), UsageError, "is no run"),
    ],
)
def test_what_does_not_belong_is_refused_before_anything_is_copied(harm, error, words, apart, tmp_path):
    harm(apart[1])
    into = tmp_path / "together"
    with pytest.raises(error, match=words):
        collect(apart, into)
    assert not into.exists()


def test_two_trainings_of_one_branch_are_refused(apart, finished, pictures, tmp_path):
    again = replace(CONFIG, training=replace(CONFIG.training, threads=1))
    other = create_run(tmp_path / "other", again, finished / "store")
    assert main(["train", "--out", str(other.path), "--branch", "1"]) == 0
    file = other.path / "branch-01" / "summary.json"
    assert file.exists()
    # The same bits are one branch; after this they are not.
    assert collect([apart[1], other.path], tmp_path / "same").brought == {1: str(apart[1])}
    for step in steps(other.path / "branch-01"):
        shutil.rmtree(step)
    swap_logits(other.path)
    with pytest.raises(IncompatibleError, match="branch 1 has other weights in"):
        collect([*apart, other.path], tmp_path / "together")


def test_an_unfinished_branch_stays_and_one_in_the_run_is_not_replaced(apart, tmp_path):
    (apart[1] / "branch-01" / "summary.json").unlink()
    into = tmp_path / "together"
    done = collect(apart, into)
    assert (done.missing, len(done.notes)) == ((1,), 1)
    assert "branch-01 is not finished and stays where it is" in done.notes[0]
    shutil.copytree(apart[1] / "branch-01", into / "branch-01")
    (apart[1] / "branch-01" / "summary.json").write_text("none")
    with pytest.raises(CorruptionError, match=r"summary\.json"):
        collect(apart, into)


def test_a_training_here_that_is_not_finished_is_left_alone(apart, tmp_path):
    into = tmp_path / "together"
    collect(apart[:1], into)
    shutil.copytree(apart[1] / "branch-01", into / "branch-01")
    (into / "branch-01" / "summary.json").unlink()
    before = tree(into)
    with pytest.raises(UsageError, match="holds a training that is not finished"):
        collect(apart, into)
    assert tree(into) == before


def test_other_versions_are_named(apart, tmp_path):
    file = apart[1] / "branch-01" / "summary.json"
    content = read_document(file)
    content["versions"]["torch"] = "9.9"
    write_document(file, content)
    (note,) = collect(apart, tmp_path / "together").notes
    assert "branch 1 was trained with other versions than branch 0: torch: " in note


def test_a_copy_that_ends_half_way_is_made_again(apart, tmp_path, monkeypatch):
    into = tmp_path / "together"

    def stop(folder):
        if into in folder.parents:
            raise KeyboardInterrupt
        return last(folder)

    last = module.last_checkpoint
    with monkeypatch.context() as patched:
        patched.setattr(module, "last_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            collect(apart, into)
    assert not [*into.glob("branch-*"), *into.glob(".tmp-*")]
    assert collect(apart, into).missing == ()
