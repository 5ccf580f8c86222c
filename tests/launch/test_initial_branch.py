"""Branches that start from another one wait for it, whether in turn or at once, and nobody else does."""

from dataclasses import replace

import pytest
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.errors import UsageError
from bandwise.launch import local
from bandwise.launch.evaluate import evaluate_run, fuse_run
from bandwise.launch.local import BranchesFailed, train_branches
from bandwise.runs import create_run, read_summary
from bandwise.sources.folder import FolderSource
from bandwise.store.split import split_dataset

WARM = replace(CONFIG, branches="0;0,3;3", initial_branch=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("warm") / "store"
    split_dataset(FolderSource(pictures), WARM.split, path)
    return path


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory, store):
    run = create_run(tmp_path_factory.mktemp("warm") / "run", WARM, store)
    train_branches(run)
    return run


def test_the_source_is_trained_first_and_the_others_start_from_it(in_turn):
    source = weights_digest(in_turn.branch_folder(1))
    starts = [read_summary(in_turn.branch_folder(branch))["initial_checkpoint"] for branch in range(3)]
    assert starts == [{"name": "branch-01", "sha256": source}, None, {"name": "branch-01", "sha256": source}]


def test_several_at_once_wait_for_the_source_and_have_the_same_bits(in_turn, store, tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", WARM, store)
    started, real = [], local._start

    def watched(task):
        started.append(task.branch)
        if task.branch != 1:
            assert (run.branch_folder(1) / "summary.json").exists()
        return real(task)

    monkeypatch.setattr(local, "_start", watched)
    train_branches(run, jobs=3)
    assert started[0] == 1
    assert sorted(started) == [0, 1, 2]
    for branch in range(3):
        assert weights_digest(run.branch_folder(branch)) == weights_digest(in_turn.branch_folder(branch))


def test_a_branch_alone_needs_its_source_here(in_turn, store, tmp_path):
    run = create_run(tmp_path / "run", WARM, store)
    with pytest.raises(BranchesFailed, match="copy the folder from the machine that has trained it") as caught:
        train_branches(run, (2,))
    assert caught.value.exit_code == UsageError.exit_code
    # As a user does it on another machine.
    run.branch_folder(1).symlink_to(in_turn.branch_folder(1))
    assert main(["train", "--out", str(run.path), "--branch", "2"]) == 0
    assert weights_digest(run.branch_folder(2)) == weights_digest(in_turn.branch_folder(2))


def test_the_time_with_a_machine_for_every_branch_is_that_of_two_trainings(in_turn):
    fuse_run(in_turn)
    results = evaluate_run(in_turn)
    walls = [entry["wall_s"] for entry in results["branches"]]
    assert results["cost"]["wall_s_longest"] == walls[1] + max(walls[0], walls[2])
    assert results["cost"]["wall_s_sum"] == pytest.approx(sum(walls))
    assert [entry["from_scratch"] for entry in results["branches"]] == [False, True, False]
