"""`--branch auto`, and a signal in the first seconds of a command: what a job of an array needs."""

import signal
import subprocess
import sys
import time

import pytest
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.errors import UsageError
from bandwise.launch.arrays import FIRST_INDEX, branch_of_this_job
from bandwise.runs.run import create_run

# In place of torch: says that its import has begun, and never ends it.
ENDLESS = "import pathlib, time\npathlib.Path({!r}).touch()\nwhile True: time.sleep(0.05)\n"


@pytest.mark.parametrize("name", FIRST_INDEX)
def test_every_scheduler_names_the_branch(name):
    assert [branch_of_this_job({name: str(FIRST_INDEX[name] + branch)}) for branch in (0, 3, 35)] == [0, 3, 35]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "none of SLURM_ARRAY_TASK_ID, "),
        ({"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}, "this is no job of an array"),
        ({"SGE_TASK_ID": "0"}, "SGE_TASK_ID is '0'; it must be a number from 1 on"),
        ({"PBS_ARRAY_INDEX": "-1"}, "PBS_ARRAY_INDEX is '-1'; it must be a number from 0 on"),
        ({"SLURM_ARRAY_TASK_ID": "1_2"}, "SLURM_ARRAY_TASK_ID is '1_2'"),
        ({"SLURM_ARRAY_TASK_ID": "2", "PBS_ARRAYID": "1"}, "several branches, SLURM_ARRAY_TASK_ID=2, PBS_ARRAYID=1"),
    ],
)
def test_an_environment_that_names_no_branch_is_refused(environment, said):
    with pytest.raises(UsageError, match=said):
        branch_of_this_job(environment)


def test_two_schedulers_that_agree_are_one():
    assert branch_of_this_job({"SLURM_ARRAY_TASK_ID": "2", "LSB_JOBINDEX": "3"}) == 2


def test_train_takes_the_branch_of_the_job(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "4")
    assert main(["train", "photos-sub4", "--out", str(tmp_path / "run"), "--branch", "auto"]) == 2
    assert "branch 4 does not exist; there are 0 to 3" in capsys.readouterr().err


def test_a_job_of_an_array_has_the_bits_of_the_run(finished, tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", CONFIG, finished / "store")
    monkeypatch.setenv("LSB_JOBINDEX", "2")
    assert main(["train", "--out", str(run.path), "--branch", "auto"]) == 0
    assert [path.name for path in run.path.glob("branch-*")] == ["branch-01"]
    assert weights_digest(run.branch_folder(1)) == weights_digest(finished / "branch-01")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_modules_are_imported_asks_for_another_start(number, tmp_path, monkeypatch):
    begun = tmp_path / "begun"
    (tmp_path / "torch.py").write_text(ENDLESS.format(str(begun)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path}; from bandwise.cli import main; main()"]
    process = subprocess.Popen([*command, "train", "photos-sub4", "--out", "run"], stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75
    assert f"stopped by {number.name}; the same command resumes".encode() in said
