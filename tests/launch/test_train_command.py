"""`bandwise train` on a run that exists and on one that is refused; `bandwise verify` of runs and stores."""

import json
import shutil
from pathlib import Path

import pytest

from bandwise.cli import main
from bandwise.runs.run import open_run

FLAGS = ["--stride", "2", "--canvas", "24", "--crop", "24", "--model", "resnet8", "--stem", "dense"]


def resumed(run: Path, *flags: str) -> None:
    """Take the last checkpoint of branch 1 away, and train it again."""
    folder = run / "branch-01"
    shutil.rmtree(sorted(folder.glob("step-*"))[-1])
    assert main(["train", "--out", str(run), "--json", *flags]) == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_other_threads_are_accepted_and_said(run, capfd, jobs):
    resumed(run, "--threads", "2", "--jobs", jobs)
    said = capfd.readouterr().err
    assert "training.threads: 1 -> 2" in said
    assert "resumed branch 1 is not bit-exact: threads 1 -> 2" in said
    assert json.loads((run / "branch-01" / "summary.json").read_text())["threads"] == 2
    assert open_run(run).config.training.threads == 1


def test_the_same_threads_are_bit_exact_and_nothing_is_said(run, finished, capfd):
    resumed(run)
    said = capfd.readouterr().err
    assert "not bit-exact" not in said
    name = f"branch-01/{sorted(path.name for path in (run / 'branch-01').glob('step-*'))[-1]}/model.safetensors"
    assert (run / name).read_bytes() == (finished / name).read_bytes()


def test_initial_weights_that_were_moved_reach_every_branch(finished, tmp_path, capfd):
    """Also those that are trained in processes of their own, and one that has not begun yet."""
    old, new, out = tmp_path / "start.safetensors", tmp_path / "moved.safetensors", tmp_path / "run"
    shutil.copy(sorted((finished / "branch-01").glob("step-*"))[-1] / "model.safetensors", old)
    argv = ["train", "--out", str(out), "--store", str(finished / "store"), "--holdout", "0.25", "--branches", "0;3"]
    argv += [*FLAGS, "--epochs", "1", "--batch-size", "8", "--json"]
    assert main([*argv, "--initial-checkpoint", str(old), "--branch", "0"]) == 0
    old.rename(new)
    assert main([*argv, "--initial-checkpoint", str(new), "--jobs", "2"]) == 0
    starts = [json.loads((out / f"branch-0{b}" / "summary.json").read_text())["initial_checkpoint"] for b in (0, 1)]
    assert [start["name"] for start in starts] == [old.name, new.name]
    assert starts[0]["sha256"] == starts[1]["sha256"]
    new.write_bytes(b"other")
    capfd.readouterr()
    assert main([*argv, "--initial-checkpoint", str(new), "--jobs", "2"]) == 7
    assert "network.initial_checkpoint" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--batch-size", "999"], "--batch-size"), (["--opt", "no-such", "--batch-size", "8"], "no-such")],
)
def test_a_refused_configuration_leaves_nothing(finished, tmp_path, capsys, flags, message):
    out = tmp_path / "new"
    store = ["--store", str(finished / "store"), "--holdout", "0.25"]
    assert main(["train", "--out", str(out), *store, *FLAGS, *flags]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_verify_knows_a_run_from_a_store(run, capsys):
    assert main(["verify", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["logits"] == 4
    assert main(["verify", str(run / "store"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train"] == 27


def test_a_damaged_run_exits_with_4_and_is_mended_without_the_images(run, capsys):
    names = ("logits/val/branch-01.safetensors", "store/STORE.json")
    good = {name: (run / name).read_bytes() for name in names}
    for name, content in good.items():
        (run / name).write_bytes(content[:50] + b"x" + content[51:])
    assert main(["verify", str(run), "--json"]) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 4
    assert all(name in error["message"] for name in names)
    assert main(["verify", str(run), "--repair"]) == 0
    assert "logits/val/branch-01.safetensors: predicted again" in capsys.readouterr().out
    assert {name: (run / name).read_bytes() for name in names} == good
