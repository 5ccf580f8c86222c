"""A run on the real daemons of SLURM: job array, fusion after it, preemption, time limit, cancellation."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers import slurm
from tests.helpers.holding import Holding
from tests.helpers.trees import tree
from tests.helpers.waiting import wait_for
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.errors import UsageError
from bandwise.launch.engines.slurm import submissions
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.launch.pipeline import train_branches
from bandwise.runs.run import Run, create_run, open_run

REASON = (
    slurm.why_not() if "BANDWISE_FAULTS" in os.environ else "starts the daemons of SLURM for minutes: make faults-slurm"
)
needs_slurm = pytest.mark.skipif(REASON is not None, reason=str(REASON))
# Nothing here takes half a minute where there is nothing else to do.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    for each in (folder, folder.parent):
        each.chmod(0o755)
    running = slurm.Cluster(folder / "cluster")
    try:
        try:
            running.start()
        except AssertionError as error:
            # As where a container forbids what they need.
            pytest.skip(f"the daemons of SLURM do not start here: {error}")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def plain(tmp_path_factory, finished) -> Run:
    """A run of four branches, trained in turn."""
    run = create_run(tmp_path_factory.mktemp("plain") / "run", replace(CONFIG, branches="each"), finished / "store")
    train_branches(run)
    fuse_run(run)
    evaluate_run(run)
    return run


class Launched(Holding):
    """Runs that are launched on a cluster, and what holds their branches."""

    def __init__(self, cluster: slurm.Cluster, folder: Path, capsys) -> None:
        super().__init__(folder)
        self.cluster, self.capsys = cluster, capsys

    def launch(self, run: Run, *flags: str) -> dict[str, str]:
        self.capsys.readouterr()
        assert main(["launch", str(run.path), "--on", "slurm", "--json", *flags]) == 0
        return json.loads(self.capsys.readouterr().out)["jobs"]

    def finish(self, jobs: dict[str, str]) -> None:
        """Wait for the branches; the fusion is the same in every test."""
        self.cluster.wait(jobs["branches"], "COMPLETED")
        self.cluster.call("scancel", jobs["fuse"])

    def wait_until_put_back(self, job: str) -> None:
        assert wait_for(lambda: [each["Restarts"] for each in self.cluster.jobs(job)] == ["1"], 800), self.cluster.jobs(
            job
        )


@pytest.fixture
def launched(cluster, tmp_path, monkeypatch, capsys):
    each = Launched(cluster, tmp_path / "holding", capsys)
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, cluster.environment[name])
    monkeypatch.setenv("PYTHONPATH", each.path)
    yield each
    each.let_go()


def without(plain: Run, path: Path, *branches: int) -> Run:
    """Return a copy of a run in which some branches are not trained."""
    shutil.copytree(plain.path, path)
    for branch in branches:
        shutil.rmtree(path / f"branch-{branch:02d}")
        for logits in path.glob(f"logits/*/branch-{branch:02d}*"):
            logits.unlink()
    for name in ("fusion.json", "results.json"):
        (path / name).unlink()
    return open_run(path)


def same(run: Run, plain: Run) -> bool:
    """Say whether a run has the weights and logits of another one, bit for bit."""
    digests = [[weights_digest(each.branch_folder(branch)) for branch in range(4)] for each in (run, plain)]
    return digests[0] == digests[1] and tree(run.path / "logits") == tree(plain.path / "logits")


@needs_slurm
def test_an_array_of_four_and_the_fusion_after_it(launched, plain, tmp_path):
    run = create_run(tmp_path / "run", plain.config, plain.store_path)
    jobs = launched.launch(run)
    launched.cluster.wait(jobs["fuse"], "COMPLETED")
    assert launched.cluster.state(jobs["branches"]) == {"COMPLETED"}
    assert (run.path / "report.html").exists()
    scores = [json.loads(each.results_path().read_text())["rules"] for each in (run, plain)]
    assert scores[0] == scores[1]
    assert same(run, plain)


@needs_slurm
def test_a_branch_that_is_preempted_saves_goes_back_and_ends_with_the_same_bits(launched, plain, tmp_path):
    run = without(plain, tmp_path / "run", 3)
    launched.hold("step")
    jobs = launched.launch(run)
    launched.wait("step")
    urgent = subprocess.run(
        [
            "sbatch",
            "--parsable",
            "--partition=high",
            "--nodes=2",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=sleep 600",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    launched.wait_until_put_back(jobs["branches"])
    launched.cluster.wait(urgent, "RUNNING")
    assert list(run.branch_folder(3).glob("step-*"))
    launched.let_go()
    launched.cluster.call("scancel", urgent)
    launched.finish(jobs)
    assert "continuing after step" in (run.path / "slurm" / "branch-3.log").read_text()
    assert same(run, plain)


@needs_slurm
def test_sigterm_during_imports_puts_the_branch_back(launched, plain, tmp_path):
    run = without(plain, tmp_path / "run", 3)
    launched.hold("import")
    jobs = launched.launch(run)
    launched.wait("import")
    launched.cluster.call("scancel", "--signal=TERM", "--batch", f"{jobs['branches']}_3")
    launched.wait_until_put_back(jobs["branches"])
    assert "stopped by SIGTERM; the same command resumes" in (run.path / "slurm" / "branch-3.log").read_text()
    launched.let_go()
    launched.finish(jobs)
    assert same(run, plain)


@needs_slurm
def test_a_branch_that_reaches_its_time_limit_saves_and_goes_back(launched, plain, tmp_path):
    run = without(plain, tmp_path / "run", 3)
    launched.hold("step")
    jobs = launched.launch(run, "--sbatch", "--time=1")
    launched.wait_until_put_back(jobs["branches"])
    # It goes on after a pause, which `wait` ends; a busy machine may need more than a minute.
    launched.cluster.call("scontrol", "update", f"JobId={jobs['branches']}", "TimeLimit=60")
    launched.let_go()
    launched.finish(jobs)
    assert same(run, plain)


@needs_slurm
def test_a_cancelled_array_saves_stays_cancelled_and_the_fusion_says_what_is_missing(launched, plain, tmp_path):
    run = without(plain, tmp_path / "run", 2, 3)
    launched.hold("step")
    jobs = launched.launch(run, "--slots", "1")
    launched.wait("step")
    launched.cluster.call("scancel", jobs["branches"])
    launched.cluster.wait(jobs["fuse"], "FAILED")
    assert launched.cluster.state(jobs["branches"]) == {"CANCELLED"}
    assert all(each["Restarts"] == "0" for each in launched.cluster.jobs(jobs["branches"]))
    assert list(run.branch_folder(2).glob("step-*"))
    assert "branches [2, 3] of" in (run.path / "slurm" / "fuse.log").read_text()
    launched.let_go()
    train_branches(run)
    assert same(run, plain)


def test_the_scripts_that_are_printed_submit_what_is_missing(plain, tmp_path, capsys):
    run = without(plain, tmp_path / "run", 1, 3)
    command = ["launch", str(run.path), "--on", "slurm", "--dry-run", "--slots", "2", "--sbatch", "--partition=gpu"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --array=1,3%2\n" in said
    assert said.count("#SBATCH --partition=gpu\n") == 2
    assert f"train --out {run.path} --branch auto &\n" in said
    assert "# fuse, afterany branches\n" in said
    assert not (run.path / "slurm").exists()
    scripts = [each.script for each in submissions(run)]
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert [len(script.splitlines()) <= 25 for script in scripts] == [True, True]


def test_the_branch_that_others_start_from_is_an_array_of_its_own(plain, tmp_path):
    run = create_run(tmp_path / "run", replace(plain.config, initial_branch=1), plain.store_path)
    found = submissions(run)
    assert [(each.name, each.after) for each in found] == [
        ("source", None),
        ("branches", ("afterok", "source")),
        ("fuse", ("afterany", "branches")),
    ]
    assert [line for each in found for line in each.script.splitlines() if "--array" in line] == [
        "#SBATCH --array=1",
        "#SBATCH --array=0,2,3",
    ]


def test_what_cannot_be_submitted_is_said(plain, tmp_path, monkeypatch, capsys):
    with pytest.raises(UsageError, match="one line"):
        submissions(plain, "--time=1\nrm -r /")
    monkeypatch.setenv("PATH", str(tmp_path))
    run = without(plain, tmp_path / "run", 0)
    assert main(["launch", str(run.path), "--on", "slurm"]) == 2
    assert "there is no sbatch here" in capsys.readouterr().err
    assert main(["launch", str(run.path), "--on", "slurm", "--devices", "0"]) == 2
    assert "--devices is for --on processes, and this is --on slurm" in capsys.readouterr().err


def test_a_store_that_has_moved_reaches_every_command(plain, tmp_path, capsys):
    run = without(plain, tmp_path / "run", 1)
    (tmp_path / "moved").symlink_to(plain.store_path)
    assert main(["launch", str(run.path), "--on", "slurm", "--dry-run", "--store", str(tmp_path / "moved")]) == 0
    # Links are followed: the store is where it was.
    assert "--store" not in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    assert main(["launch", str(run.path), "--on", "slurm", "--dry-run", "--store", str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out.count(f"--store {tmp_path / 'other'}") == 3
