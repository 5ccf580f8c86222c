"""A store is known by its digest: any place will do for it, and no other store."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.trees import tree
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.config import to_dict
from bandwise.files.documents import json_bytes
from bandwise.launch import answers as answers_module
from bandwise.launch import pipeline
from bandwise.runs.run import create_run, open_run
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset


@pytest.fixture
def moved(finished, pictures, tmp_path) -> tuple[Path, Path]:
    """A finished run, and its store on the scratch disk of another job; where `run.json` says it is, it is not."""
    run, first, now = tmp_path / "run", tmp_path / "first" / "store", tmp_path / "second" / "store"
    create_run(run, replace(CONFIG, data=replace(CONFIG.data, data=str(pictures))), first)
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("store", "run.json"), dirs_exist_ok=True)
    shutil.copytree(finished / "store", first)
    now.parent.mkdir()
    first.rename(now)
    return run, now


@pytest.fixture(scope="module")
def other(tmp_path_factory, pictures) -> Path:
    """The same split of one picture less."""
    copy = Path(shutil.copytree(pictures, tmp_path_factory.mktemp("other") / "pictures"))
    next(copy.glob("train/*/*")).unlink()
    split_dataset(open_folder(copy), CONFIG.split, copy.with_name("store"))
    return copy.with_name("store")


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["evaluate", "--crops", "10"],
        ["fuse", "--fusion", "greedy"],
        ["verify"],
        ["verify", "--repair"],
        ["train", "--jobs", "1"],
    ],
    ids=" ".join,
)
def test_every_command_takes_the_store_where_it_is_now_and_no_other(moved, other, command, capsys):
    run, store = moved
    verb, *flags = command
    argv = [verb, "--out", str(run), *flags] if verb == "train" else [verb, str(run), *flags]
    before = tree(run / "logits")
    assert main([*argv, "--store", str(store)]) == 0
    assert main([*argv, "--store", str(other)]) == 7
    assert "other samples, classes or pixels" in capsys.readouterr().err
    assert tree(run / "logits").items() >= before.items()


def test_a_branch_goes_on_from_a_moved_store_in_a_process_of_its_own(moved, finished):
    run, store = moved
    for number in range(2):
        shutil.rmtree(sorted((run / f"branch-0{number}").glob("step-*"))[-1])
        (run / f"branch-0{number}" / "summary.json").unlink()
    assert main(["train", "--out", str(run), "--store", str(store), "--jobs", "2"]) == 0
    for number in range(2):
        assert weights_digest(run / f"branch-0{number}") == weights_digest(finished / f"branch-0{number}")


def test_a_whole_run_goes_on_where_its_store_is_made_again(moved, tmp_path, capsys):
    """With no store at the new place it is split once more, to the same digest."""
    run, _ = moved
    config = tmp_path / "mine.json"
    config.write_bytes(json_bytes(to_dict(open_run(run).config)))
    argv = ["run", str(config), "--out", str(run), "--store", str(tmp_path / "third"), "--jobs", "1"]
    assert main([*argv, "--workers", "1", "--decode-timeout", "0"]) == 0
    assert "is " + str(tmp_path / "third") in capsys.readouterr().err


def test_a_new_branch_beside_trained_ones_takes_no_other_store(moved, other, capsys):
    run, _ = moved
    shutil.rmtree(run / "branch-01")
    assert main(["train", "--out", str(run), "--store", str(other), "--branch", "1"]) == 7
    assert "was trained on the store" in capsys.readouterr().err
    assert not list((run / "branch-01").glob("step-*"))


def test_without_the_comparison_it_would_take_another_one(moved, other, monkeypatch):
    """Negative control: the branch itself knows of no store before its first step."""
    run, _ = moved
    shutil.rmtree(run / "branch-01")
    for module in (answers_module, pipeline):
        monkeypatch.setattr(module, "require_own_store", lambda run, store: None)
    assert main(["train", "--out", str(run), "--store", str(other), "--branch", "1"]) == 0


def test_logits_without_weights_know_their_store(moved, other, capsys):
    run, store = moved
    for folder in run.glob("branch-*/step-*"):
        shutil.rmtree(folder)
    assert main(["evaluate", str(run), "--store", str(store)]) == 0
    assert main(["evaluate", str(run), "--store", str(other)]) == 7
    assert "give the store that they are of with --store" in capsys.readouterr().err


def test_a_store_is_for_a_run(other, capsys):
    assert main(["verify", str(other), "--store", str(other)]) == 2
    assert "--store is for a run" in capsys.readouterr().err


def test_the_home_folder_is_found(moved, monkeypatch):
    run, store = moved
    monkeypatch.setenv("HOME", str(store.parent))
    assert open_run(run, Path("~/store")).store_path == store
