"""A run that is not as it was written is noticed, the file is named, and what can be mended comes back the same."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.helpers.trees import tree

from bandwise.checkpoints.folder import Checkpoint, read_checkpoint
from bandwise.errors import CorruptionError
from bandwise.files.regular import sha256_file
from bandwise.launch import check
from bandwise.launch.check import check_run
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.launch.pipeline import train_branches
from bandwise.launch.verify import verify_run
from bandwise.runs.run import open_run
from bandwise.sources.folder import open_folder


def flip(path: Path, position: int, bit: int = 3) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)


def last_step(run: Path, branch: int) -> str:
    return sorted(path.name for path in (run / f"branch-{branch:02d}").glob("step-*"))[-1]


def test_a_sound_run_passes(finished):
    report = verify_run(finished)
    assert report.ok
    assert (report.checkpoints, report.logits, report.documents) == (4, 4, 8)
    assert report.notes == report.repaired == ()


def test_a_missing_store_is_a_note(run):
    shutil.rmtree(run / "store")
    assert "is not here" in verify_run(run).notes[0]


def test_a_branch_without_weights_is_a_note(run):
    for path in (run / "branch-01").glob("step-*"):
        shutil.rmtree(path)
    assert verify_run(run).notes == ("branch-01 has a summary.json and no checkpoint: its weights are elsewhere",)


def test_files_of_another_run_are_named(run):
    """Each is whole in itself, and in the wrong place."""
    (run / "logits" / "val" / "branch-01.safetensors").write_bytes(
        (run / "logits" / "val" / "branch-00.safetensors").read_bytes()
    )
    shutil.copy(run / "branch-00" / "summary.json", run / "branch-01" / "summary.json")
    found = {name: problem.what for name, problem in check_run(run).problems.items()}
    assert "says that it is of branch 0" in found["logits/val/branch-01.safetensors"]
    assert "is that of branch 0" in found["branch-01/summary.json"]


def test_an_older_state_of_the_metrics_is_noticed(run):
    path = run / "branch-00" / "metrics.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert "has 1 rows, which are not those of the training" in check_run(run).problems["branch-00/metrics.jsonl"].what


@pytest.mark.parametrize(
    "name",
    [
        "logits/val/branch-01.safetensors",
        "branch-00/metrics.jsonl",
        "branch-01/summary.json",
        "preview/sample-0.png",
        "preview/preview.json",
        "store/MANIFEST.json",
        "store/band-03/train-00000-of-00001.parquet",
    ],
)
def test_what_can_be_computed_again_comes_back(run, finished, pictures, name):
    before = tree(run)
    flip(run / name, 60)
    with pytest.raises(CorruptionError, match=name.split("/")[-1]):
        verify_run(run)
    report = verify_run(run, repair=True, source=open_folder(pictures))
    assert any(Path(name).name in done for done in report.repaired)
    after = tree(run)
    # Only wall time and peak memory, which the summary holds, differ from call to call.
    for free in ("branch-00", "branch-01"):
        for tail in ("summary.json", "timing.jsonl"):
            before.pop(f"{free}/{tail}", None)
            after.pop(f"{free}/{tail}", None)
    assert after == before


def test_a_repair_reads_the_store_and_the_checkpoints_once(run, pictures, monkeypatch):
    """Of the store only what was written again, or is not sound, is hashed once more."""
    hashed, read = Counter[str](), Counter[str]()

    def hashing(path: Path) -> str:
        hashed[path.relative_to(run).as_posix()] += 1
        return sha256_file(path)

    def reading(path: Path) -> Checkpoint:
        read[path.relative_to(run).as_posix()] += 1
        return read_checkpoint(path)

    monkeypatch.setattr("bandwise.store.verify.sha256_file", hashing)
    monkeypatch.setattr("bandwise.launch.check.read_checkpoint", reading)
    damaged_band = "store/band-03/train-00000-of-00001.parquet"
    flip(run / damaged_band, 60)
    verify_run(run, repair=True, source=open_folder(pictures))
    assert sorted(read.values()) == [1, 1, 1, 1]
    others = {name: count for name, count in hashed.items() if name != damaged_band}
    untouched = [count for name, count in others.items() if "/train-" not in name and "/band-" in name]
    assert len(untouched) >= 4, hashed
    assert set(untouched) == {1}
    assert max(others.values()) == 2
    assert hashed[damaged_band] <= 4


def test_a_damaged_checkpoint_is_set_aside_and_training_brings_it_back(run):
    step = last_step(run, 1)
    weights = (run / "branch-01" / step / "model.safetensors").read_bytes()
    flip(run / "branch-01" / step / "model.safetensors", -5)
    report = verify_run(run, repair=True)
    assert report.repaired[0] == f"branch-01/{step}: set aside as damaged-{step}"
    assert "`bandwise train` goes on after step" in report.repaired[1]
    assert f"branch-01/damaged-{step} was set aside before" in report.notes
    train_branches(open_run(run))
    assert (run / "branch-01" / step / "model.safetensors").read_bytes() == weights
    assert verify_run(run).repaired == ()


@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_that_a_training_deletes_meanwhile_is_no_damage(run, monkeypatch, whole):
    """A checkpoint that lacks a file is damage all the same."""
    real, old = check.read_checkpoint, sorted((run / "branch-01").glob("step-*"))[0]

    def reading(path: Path):
        if path == old:
            shutil.rmtree(path) if whole else (path / "model.safetensors").unlink()
        return real(path)

    monkeypatch.setattr(check, "read_checkpoint", reading)
    assert set(check_run(run).problems) == (set() if whole else {f"branch-01/{old.name}"})
    assert old.exists() != whole


def test_a_branch_without_a_valid_checkpoint_is_left_and_named(run):
    for path in (run / "branch-01").glob("step-*"):
        flip(path / "state.json", 40)
    before = tree(run)
    with pytest.raises(CorruptionError, match=r"could not be mended: copy good files there") as caught:
        verify_run(run, repair=True)
    assert str(caught.value).count("branch-01/step-") >= 2
    assert tree(run) == before


def test_fusion_and_results_are_deleted_and_written_again(run):
    good = {name: (run / name).read_bytes() for name in ("fusion.json", "results.json")}
    for name in good:
        flip(run / name, 30)
    report = verify_run(run, repair=True)
    assert [done.split(":")[0] for done in report.repaired] == ["fusion.json", "results.json"]
    fuse_run(open_run(run))
    evaluate_run(open_run(run))
    assert (run / "fusion.json").read_bytes() == good["fusion.json"]


def test_the_description_of_a_run_is_taken_out_of_its_results(run):
    before = open_run(run)
    flip(run / "run.json", 200)
    with pytest.raises(CorruptionError, match=r"run\.json"):
        open_run(run)
    assert verify_run(run, repair=True).repaired == ("run.json: written again from results.json",)
    assert open_run(run) == before
