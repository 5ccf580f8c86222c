"""Branches as processes of this machine: which accelerator each sees, how many at once, and how they are stopped."""

import signal
import sys
from pathlib import Path

import pytest
import torch
from tests.helpers.waiting import wait_for

from bandwise.cli import main
from bandwise.config import TrainingConfig
from bandwise.errors import UsageError
from bandwise.launch.engines import processes
from bandwise.launch.engines.processes import VISIBLE, Processes, processes_for, processes_or_none
from bandwise.machine import CORES, own_cores, usable_cores
from bandwise.runs.run import open_run

# Writes which devices it sees, and ends when it is told to.
REPORT = f"""
import os, pathlib, sys, time
said = pathlib.Path(sys.argv[1])
said.with_suffix(".new").write_text(os.environ.get({VISIBLE!r}, "none"))
said.with_suffix(".new").rename(said)
while not said.with_suffix(".end").exists(): time.sleep(0.02)
"""


@pytest.fixture
def devices(monkeypatch):
    """Pretend that torch sees four accelerators."""
    monkeypatch.setattr(processes, "choose_device", lambda name: torch.device("cpu" if name == "cpu" else "cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv(VISIBLE, raising=False)


class Reporting:
    """Children of an engine, each of which says what it sees."""

    def __init__(self, engine: Processes, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.jobs = {}

    def start(self, name: str) -> str:
        said = self.folder / name
        self.jobs[name] = self.engine.start([sys.executable, "-c", REPORT, str(said)])
        assert wait_for(said.exists)
        return said.read_text()

    def end(self, name: str) -> None:
        (self.folder / name).with_suffix(".end").touch()
        assert wait_for(lambda: self.jobs[name].poll() is not None)
        assert self.jobs[name].poll() == 0


@pytest.fixture
def reporting(tmp_path):
    started: list[Reporting] = []

    def make(engine: Processes) -> Reporting:
        started.append(Reporting(engine, tmp_path))
        return started[-1]

    yield make
    for each in started:
        for job in each.jobs.values():
            job.stop()
            assert wait_for(lambda job=job: job.poll() is not None)


def test_every_child_sees_one_device_the_one_that_the_fewest_use(devices, reporting):
    engine = processes_for(TrainingConfig(), per_device=2, devices="1,3")
    assert engine.slots == 4
    children = reporting(engine)
    assert [children.start(name) for name in "abcd"] == ["1", "3", "1", "3"]
    children.end("b")
    children.end("d")
    assert [children.start(name) for name in "ef"] == ["3", "3"]


def test_without_devices_a_child_sees_what_this_process_sees(reporting, monkeypatch):
    monkeypatch.setenv(VISIBLE, "5")
    assert reporting(Processes(2)).start("a") == "5"


def test_children_at_once_share_the_cores(tmp_path, monkeypatch):
    """Every core that does not train decodes images, so those of another branch would be taken from it."""
    monkeypatch.setattr(processes, "usable_cores", lambda: 9)
    said = tmp_path / "said"
    script = f"import os, pathlib; pathlib.Path({str(said)!r}).write_text(os.environ[{CORES!r}])"
    job = Processes(4).start([sys.executable, "-c", script])
    assert wait_for(lambda: job.poll() is not None)
    assert said.read_text() == "2"
    monkeypatch.setenv(CORES, said.read_text())
    assert own_cores() == 2
    monkeypatch.delenv(CORES)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert own_cores() == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert own_cores() == usable_cores()


def test_by_default_every_visible_device_has_one_branch(devices, monkeypatch):
    assert (processes_for(TrainingConfig()).slots, processes_for(TrainingConfig()).devices) == (4, tuple("0123"))
    # As a scheduler says which of the machine's devices are ours.
    monkeypatch.setenv(VISIBLE, "2, GPU-8f1a,5,7")
    assert processes_for(TrainingConfig()).devices == ("2", "GPU-8f1a", "5", "7")
    assert processes_for(TrainingConfig(), devices="1,0").devices == ("GPU-8f1a", "2")
    assert processes_for(TrainingConfig(), devices="all", slots=3).slots == 3
    # torch does not see what comes after a device that is not there.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert processes_for(TrainingConfig()).devices == ("2",)


@pytest.mark.parametrize("text", ["4", "0,0", "0,x", "-1", "", "0;1", "²"])
def test_devices_that_are_not_there_are_refused(devices, text):
    with pytest.raises(UsageError, match="different numbers from 0 to 3"):
        processes_for(TrainingConfig(), devices=text)


def test_a_cpu_has_as_many_slots_as_its_cores_allow_and_no_devices(monkeypatch):
    monkeypatch.setattr(processes, "usable_cores", lambda: 5)
    training = TrainingConfig(device="cpu", threads=2)
    assert (processes_for(training).slots, processes_for(training).devices) == (2, ())
    for given in ({"devices": "0"}, {"per_device": 2}):
        with pytest.raises(UsageError, match="are for accelerators, and the branches are trained on the CPU here"):
            processes_for(training, **given)
    with pytest.raises(UsageError, match="per_device is 0"):
        processes_for(training, per_device=0)


def test_one_branch_at_a_time_needs_no_other_process_unless_it_has_a_device_to_itself(devices):
    training = TrainingConfig()
    assert processes_or_none(training, 4, 1) is None
    assert processes_or_none(training, 1) is None
    for given in ({"devices": "2"}, {"per_device": 1}):
        engine = processes_or_none(training, 4, **given)
        assert engine is not None
        assert engine.slots == len(engine.devices)


def test_a_job_that_is_stopped_gets_sigterm_and_has_a_code_of_its_own(tmp_path):
    job = Processes(1).start([sys.executable, "-c", REPORT, str(tmp_path / "said")])
    assert wait_for((tmp_path / "said").exists)
    assert job.poll() is None
    job.stop()
    assert wait_for(lambda: job.poll() is not None)
    assert job.poll() == -signal.SIGTERM


def test_a_prepared_run_is_launched_to_its_report(pictures, tmp_path, capsys):
    out, flags = tmp_path / "run", ["--stride", "2", "--canvas", "24", "--crop", "24", "--branches", "0;3"]
    flags += ["--epochs", "1", "--batch-size", "8", "--model", "resnet8-slim", "--holdout", "0.25"]
    (tmp_path / "mine.yaml").write_text(f"data:\n  data: {pictures}\n")
    assert main(["run", str(tmp_path / "mine.yaml"), "--out", str(out), *flags, "--workers", "1", "--prepare"]) == 0
    assert "prepared, 2 branches to train" in capsys.readouterr().out
    assert not list(out.glob("branch-*"))
    assert main(["launch", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"train --out {out} --branch 1\n" in said
    assert not list(out.glob("branch-*"))
    assert main(["launch", str(out), "--slots", "2"]) == 0
    said = capsys.readouterr()
    assert "training 2 branches, 2 at a time" in said.err
    assert (out / "report.html").exists()
    assert len(open_run(out).groups) == len(list(out.glob("branch-*/summary.json"))) == 2


def test_what_is_no_prepared_run_is_refused(tmp_path, capsys):
    assert main(["launch", str(tmp_path)]) == 2
    assert "is no run" in capsys.readouterr().err
    assert main(["launch", str(tmp_path), "--slots", "0"]) == 2
