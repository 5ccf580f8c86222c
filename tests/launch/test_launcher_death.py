"""kill -9 of a launcher with `--jobs 2`: its branches notice, save and stop, and the same command goes on."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.trees import ROOT, tree
from tests.helpers.waiting import wait_for
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.launch.engines.processes import Processes
from bandwise.launch.pipeline import train_branches
from bandwise.runs.run import create_run

# A checkpoint is only due at the end of an epoch.
LONG = replace(CONFIG, training=replace(CONFIG.training, epochs=3, checkpoint_steps=1000))
# For every Python of a branch: steps take long enough to be interrupted.
SLOW = """
import sys
if "train" in sys.orig_argv:
    import time
    from bandwise.training import loop
    real = loop.BranchLoop._stop_if_asked
    def slow(self):
        time.sleep(0.2)
        real(self)
    loop.BranchLoop._stop_if_asked = slow
"""
# Starts two programs as the launcher does, writes down their numbers, and waits to be killed.
LAUNCHER = """
import subprocess, sys, time
from bandwise.signals import launched_environment
command = [sys.executable, "-c", sys.argv[1]]
started = [subprocess.Popen(command, stdin=subprocess.PIPE, env=launched_environment()) for _ in range(2)]
print(*(child.pid for child in started), flush=True)
time.sleep(600)
"""
FOLLOWS = "import time; from bandwise.signals import follow_launcher; {}; follow_launcher(); {}; time.sleep(600)"


def branches_of(run: Path) -> list[int]:
    """Return the processes that train a branch of this run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(run) in words and b"--branch" in words:
                found.append(int(folder.name))
    return found


@pytest.mark.timeout(300)
def test_branches_save_and_stop_and_a_rerun_ends_with_the_same_bits(finished, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT / 'src'}")
    run = create_run(tmp_path / "run", LONG, finished / "store")
    launcher = os.fork()
    if not launcher:
        with suppress(BaseException):
            train_branches(run, engine=Processes(2))
        os._exit(70)
    assert wait_for(lambda: len(list(run.path.glob("branch-*/metrics.jsonl"))) == 2)
    os.kill(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    assert wait_for(lambda: not branches_of(run.path))
    assert not list(run.path.glob("branch-*/.lock"))
    for number in range(2):
        # No checkpoint was due: this one was written because the launcher died.
        assert list(run.branch_folder(number).glob("step-*"))
        assert not (run.branch_folder(number) / "summary.json").exists()
    train_branches(run)
    other = create_run(tmp_path / "undisturbed", LONG, finished / "store")
    train_branches(other)
    assert tree(run.path / "logits") == tree(other.path / "logits")
    for number in range(2):
        ours, theirs = run.branch_folder(number), other.branch_folder(number)
        assert weights_digest(ours) == weights_digest(theirs)
        assert (ours / "metrics.jsonl").read_bytes() == (theirs / "metrics.jsonl").read_bytes()


def runs(process: Path) -> bool:
    """Say whether a process is there; one that has ended may be listed until its exit code was asked for."""
    try:
        return bool((process / "cmdline").read_bytes())
    except OSError:
        return False


def go_on(program: str, *, seconds: float) -> bool:
    """Kill a launcher of two such programs, once they have said a word; say whether they are there after that time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", LAUNCHER, program]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        words = " ".join(launcher.stdout.readline() for _ in range(3)).split()
        launcher.kill()
        launcher.wait()
        children = [Path("/proc", word) for word in words if word.isdecimal()]
        ended = wait_for(lambda: not any(map(runs, children)), seconds)
        if not ended:
            for child in children:
                os.kill(int(child.name), signal.SIGKILL)
        return not ended


SAY = "print('ready', flush=True)"


@pytest.mark.parametrize("before", [True, False])
def test_a_launcher_that_dies_before_or_after_its_branches_look_is_noticed(before):
    first, then = (f"{SAY}; time.sleep(0.5)", "pass") if before else ("pass", SAY)
    assert not go_on(FOLLOWS.format(first, then), seconds=30)


def test_branches_that_do_not_follow_go_on_alone():
    """Negative control: without the watch they outlive their launcher."""
    assert go_on(f"import time; {SAY}; time.sleep(600)", seconds=1)
