"""F16: a branch that is killed takes no other one with it, and the same command ends with the same bits."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.forkserver import ROOT
from tests.faults.scale import FULL, share
from tests.training.tiny import outcome

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not FULL, reason="starts whole programs; BANDWISE_FAULTS=full runs it"),
]


def untrained(run: Path, to: Path) -> Path:
    """Copy a run with its store and without its branches."""
    return Path(shutil.copytree(run, to, ignore=shutil.ignore_patterns("branch-*", "logits", "fusion*", "results*")))


def start(run: Path) -> subprocess.Popen[str]:
    paths = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    command = [sys.executable, "-m", "bandwise", "train", "--out", str(run), "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_killed_branch_leaves_the_others_alone(run_folder, tmp_path, figure):
    rounds = share(3, 1)
    for number in range(rounds):
        run = untrained(run_folder, tmp_path / str(number))
        with start(run) as launcher:
            while launcher.poll() is None and len(children(launcher.pid)) < 2:
                time.sleep(0.02)
            victim = children(launcher.pid)[number % 2]
            time.sleep(0.5 * number)
            os.kill(victim, signal.SIGKILL)
            _, said = launcher.communicate(timeout=300)
        assert launcher.returncode == 1
        assert "1 of 2 branches failed, the others are finished" in said
        assert "killed by signal 9" in said
        assert len(list(run.glob("branch-*/summary.json"))) == 1
        with start(run) as launcher:
            _, said = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, said
        for name in ("branch-00", "branch-01"):
            assert outcome(run / name) == outcome(run_folder / name)
    figure("branches killed under a launcher", rounds, rounds, "the other one finished, same bits after a restart")
