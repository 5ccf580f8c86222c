"""From a folder of pictures to a fused result, through the command line and files only."""

import json
import shutil

import pytest
from tests.helpers.commands import call
from tests.helpers.trees import tree
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.config import to_dict
from bandwise.config.configfile import config_from_dict, read_config_file
from bandwise.runs import provenance

FLAGS = ["--canvas", "32", "--crop", "28", "--model", "resnet8-slim", "--stem", "dense", "--branches", "0;3"]
FLAGS += ["--epochs", "3", "--batch-size", "8", "--lr", "0.1"]
# Nothing but one process: what starts others has tests of its own.
ALONE = ["--workers", "1", "--decode-timeout", "0", "--jobs", "1"]


@pytest.fixture(scope="module", autouse=True)
def same_commit():
    """Results hold the commit of our source, and somebody may commit while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "source_commit", lambda: "0" * 40)
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder of pictures, a configuration file, and one finished run."""
    root = tmp_path_factory.mktemp("end-to-end")
    make_folder(root / "pictures")
    (root / "tiny.yaml").write_text(f"data:\n  data: {root / 'pictures'}\n", encoding="utf-8")
    assert main(["run", str(root / "tiny.yaml"), "--out", str(root / "run"), *FLAGS, *ALONE, "--json"]) == 0
    return root


def test_the_results_hold_what_was_asked(work):
    results = json.loads((work / "run" / "results.json").read_text())
    assert results["n_eval"] == results["n_total"] == 18
    assert [entry["bands"] for entry in results["branches"]] == [[0], [3]]
    assert results["fused"]["top1"] > results["chance"]
    assert results["fusion"]["rule"] == "learned"
    assert results["fusion"]["fitted_on"] == "holdout"
    cost = results["cost"]
    assert cost["params_total"] == 2 * cost["params_per_branch"]
    assert cost["macs_total"] == 2 * cost["macs_per_branch"]
    assert cost["cpu_s_sum"] == pytest.approx(sum(entry["cpu_s"] for entry in results["branches"]))
    assert cost["cpu_s_sum"] > 0
    assert cost["wall_s_sum"] >= cost["wall_s_longest"] > 0
    assert cost["store_bytes_total"] == sum(entry["store_bytes"] for entry in results["branches"])
    assert (work / "run" / "report.html").stat().st_size > 10_000


def test_a_second_run_changes_nothing(work, capsys):
    def stable() -> dict[str, str]:
        return {name: digest for name, digest in tree(work / "run").items() if not name.startswith("report")}

    before = stable()
    assert json.loads((work / "run" / "results.json").read_text())["environment"]["commit"] == "0" * 40
    call(capsys, "run", work / "tiny.yaml", "--out", work / "run", *FLAGS, *ALONE)
    assert stable() == before


def test_pictures_that_were_moved_are_compared_with_the_store(work, capsys):
    """As many bytes under the same names are the same pictures; others are refused, wherever they lie."""
    before = tree(work / "run" / "store")
    argv = ["run", work / "tiny.yaml", "--out", work / "run", *FLAGS, *ALONE, "--data"]
    moved = work / "moved" / "pictures"
    shutil.copytree(work / "pictures", moved)
    call(capsys, *argv, moved)
    next(moved.glob("train/*/*")).unlink()
    error = call(capsys, *argv, moved, code=7)["error"]
    assert "samples.sha256" in error["message"]
    assert tree(work / "run" / "store") == before


def test_a_branch_alone_equals_the_branch_among_others(work, capsys):
    """No communication: bit for bit, in a folder of its own, trained from a shared store."""
    alone = work / "alone"
    store = work / "run" / "store"
    argv = [work / "tiny.yaml", "--out", alone, "--store", store, "--branch", "1"]
    call(capsys, "train", *argv, *FLAGS)
    assert not (alone / "branch-00").exists()
    for split in ("holdout", "val"):
        name = f"logits/{split}/branch-01.safetensors"
        assert (alone / name).read_bytes() == (work / "run" / name).read_bytes()


def test_branches_at_once_equal_branches_in_turn(work, capsys):
    out = work / "at-once"
    store = work / "run" / "store"
    argv = [work / "tiny.yaml", "--out", out, "--store", store, "--jobs", "2"]
    call(capsys, "train", *argv, *FLAGS)
    assert tree(out / "logits") == tree(work / "run" / "logits")


def test_every_rule_and_a_subset_of_the_branches(work, capsys):
    run = work / "run"
    for rule in ("mean", "geometric", "greedy", "learned"):
        fusion = call(capsys, "fuse", run, "--fusion", rule)
        assert fusion["rule"] == rule
        assert call(capsys, "evaluate", run)["fusion"]["rule"] == rule
    assert call(capsys, "fuse", run, "--use", "1")["branches"] == [1]
    assert [entry["branch"] for entry in call(capsys, "evaluate", run)["branches"]] == [1]
    call(capsys, "fuse", run)
    call(capsys, "evaluate", run)


def test_verify_and_reconstruct(work, capsys):
    store = work / "run" / "store"
    result = call(capsys, "reconstruct", store, "--data", work / "pictures")
    assert result["clipped_fraction"] == 0
    assert result["psnr_db"]["min"] > 45
    good = tree(store)
    shard = next(store.glob("band-03/train-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert shard.name in call(capsys, "verify", store, code=4)["error"]["message"]
    call(capsys, "verify", store, "--repair", "--data", work / "pictures")
    assert tree(store) == good


def test_a_run_inside_the_pictures_is_refused_before_anything_is_written(work, capsys):
    before = tree(work / "pictures")
    error = call(capsys, "run", work / "tiny.yaml", "--out", work / "pictures" / "run", *FLAGS, code=2)
    assert "overlap" in error["error"]["message"]
    assert tree(work / "pictures") == before
    assert not (work / "pictures" / "run").exists()


def test_dry_run_writes_nothing(work, tmp_path, capsys):
    flags = [work / "tiny.yaml", "--out", tmp_path / "r", *FLAGS, "--dry-run"]
    planned = call(capsys, "run", *flags)
    assert not (tmp_path / "r").exists()
    assert main([*map(str, ["run", *flags])]) == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out, encoding="utf-8")
    assert to_dict(config_from_dict(read_config_file(printed))) == planned["config"]


def test_logits_of_other_weights_are_predicted_again(work, capsys, tmp_path):
    """A branch folder that was replaced must not be scored by what the old one predicted."""
    run = work / "run"
    name = "logits/val/branch-01.safetensors"
    good = (run / name).read_bytes()
    other = tmp_path / "other"
    store = run / "store"
    argv = [work / "tiny.yaml", "--out", other, "--store", store, "--branch", "1", "--seed", "5"]
    call(capsys, "train", *argv, *FLAGS)
    (run / name).write_bytes((other / name).read_bytes())
    call(capsys, "evaluate", run)
    assert (run / name).read_bytes() == good
