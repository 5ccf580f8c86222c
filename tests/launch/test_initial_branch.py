"""Branches that start from another one wait for it, whether in turn or at once, and nobody else does."""

import json
import shutil
from dataclasses import replace

import pytest
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.config import NetworkConfig, to_dict
from bandwise.errors import IncompatibleError, UsageError
from bandwise.files.documents import read_document, write_document
from bandwise.launch import pipeline
from bandwise.launch.cost import require_networks
from bandwise.launch.engines.processes import Processes
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.launch.pipeline import train_branches
from bandwise.launch.queue import BranchesFailed
from bandwise.runs.documents import InitialWeights, read_summary
from bandwise.runs.run import create_run, open_run
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset

WARM = replace(CONFIG, branches="0;0,3;3", initial_branch=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("warm") / "store"
    split_dataset(open_folder(pictures), WARM.split, path)
    return path


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory, store):
    run = create_run(tmp_path_factory.mktemp("warm") / "run", WARM, store)
    train_branches(run)
    return run


def test_the_source_is_trained_first_and_the_others_start_from_it(in_turn):
    source = weights_digest(in_turn.branch_folder(1))
    starts = [read_summary(in_turn.branch_folder(branch)).initial_checkpoint for branch in range(3)]
    assert starts == [(start := InitialWeights(name="branch-01", sha256=source)), None, start]


def test_several_at_once_wait_for_the_source_and_have_the_same_bits(in_turn, store, tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", WARM, store)
    started, real = [], Processes.start

    def watched(self, command):
        started.append(int(command[command.index("--branch") + 1]))
        if started[-1] != 1:
            assert (run.branch_folder(1) / "summary.json").exists()
        return real(self, command)

    monkeypatch.setattr(Processes, "start", watched)
    train_branches(run, engine=Processes(3))
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


def test_branches_whose_source_failed_are_not_tried(store, tmp_path, monkeypatch):
    def fail(task):
        tried.append(task.branch)
        raise UsageError("no")

    tried = []
    monkeypatch.setattr(pipeline, "train_one", fail)
    run = create_run(tmp_path / "run", WARM, store)
    with pytest.raises(BranchesFailed, match="branch 0: not started, for it starts from branch 1") as caught:
        train_branches(run)
    assert tried == [1]
    assert "finished" not in str(caught.value)


def copied(in_turn, path):
    shutil.copytree(in_turn.path, path)
    return open_run(path)


def test_branches_that_do_not_belong_together_are_found(in_turn, store, tmp_path, capsys):
    run = copied(in_turn, tmp_path / "run")
    assert main(["verify", str(run.path)]) == 0
    other = create_run(tmp_path / "other", replace(WARM, training=replace(WARM.training, seed=7)), store)
    train_branches(other, (1,))
    shutil.rmtree(run.branch_folder(1))
    shutil.copytree(other.branch_folder(1), run.branch_folder(1))
    with pytest.raises(IncompatibleError, match=r"branch-00 started from weights of SHA-256 (?s:.*)branch-02 started"):
        fuse_run(run)
    with pytest.raises(IncompatibleError, match="do not belong together"):
        evaluate_run(run)
    assert main(["verify", str(run.path)]) == 4
    assert "branch-02 started from weights" in "".join(capsys.readouterr())
    # Where the source has not come along, nothing is known and nothing is refused.
    shutil.rmtree(run.branch_folder(1))
    fuse_run(run, use=(0, 2))


@pytest.mark.parametrize("lost", ["source", "store"])
def test_a_repair_without_the_source_or_the_store_loses_nothing(in_turn, tmp_path, lost):
    run = copied(in_turn, tmp_path / "run")
    folder = run.branch_folder(2)
    summary, metrics = ((folder / name).read_bytes() for name in ("summary.json", "metrics.jsonl"))
    if lost == "source":
        shutil.rmtree(run.branch_folder(1))
    else:
        write_document(run.path / "run.json", {**read_document(run.path / "run.json"), "store": str(tmp_path / "gone")})
    (folder / "metrics.jsonl").write_bytes(metrics.replace(b"0", b"1", 1))
    assert main(["verify", str(run.path), "--repair"]) == 4 * (lost == "store")
    if lost == "source":
        assert (folder / "metrics.jsonl").read_bytes() == metrics
        assert read_summary(folder).initial_checkpoint.name == "branch-01"
    else:
        assert (folder / "summary.json").read_bytes() == summary


def test_a_network_that_depends_on_the_bands_beyond_its_first_convolution_is_refused_at_once():
    config = replace(WARM, network=NetworkConfig(model="fc8"))
    with pytest.raises(UsageError, match="more than the first convolution depends on the number of bands"):
        require_networks(config, channels=3, num_classes=3)
    require_networks(replace(config, branches="0;1;3"), channels=3, num_classes=3)
    require_networks(WARM, channels=3, num_classes=3)


def test_a_source_that_is_not_fused_counts_as_cost(in_turn, tmp_path):
    run = copied(in_turn, tmp_path / "run")
    walls = [read_summary(run.branch_folder(branch)).wall_s for branch in range(3)]
    fuse_run(run, use=(0, 2))
    cost = evaluate_run(run).cost
    assert cost.wall_s_sum == pytest.approx(sum(walls))
    assert cost.wall_s_longest == pytest.approx(walls[1] + max(walls[0], walls[2]))


def test_a_machine_with_its_own_bands_trains_its_branch_under_its_own_number(in_turn, pictures, tmp_path):
    """As the guide has it: the store holds one band, the branch that it starts from is a copied folder."""
    only = replace(WARM.split, bands="3")
    split_dataset(open_folder(pictures), only, tmp_path / "store")
    (tmp_path / "run").mkdir()
    shutil.copytree(in_turn.branch_folder(1), tmp_path / "run" / "branch-01")
    config = tmp_path / "mine.json"
    config.write_text(json.dumps(to_dict(WARM)))
    command = ["train", str(config), "--store", str(tmp_path / "store"), "--out", str(tmp_path / "run")]
    assert main([*command, "--branch", "2"]) == 0
    assert weights_digest(tmp_path / "run" / "branch-02") == weights_digest(in_turn.branch_folder(2))
    # Branch 0 needs band 0, which is not here.
    assert main([*command, "--branch", "0"]) == 7
