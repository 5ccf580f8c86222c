"""kill -9 of a launcher with `--jobs 2`: its branches notice, save and stop, and the same command goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.trees import ROOT, tree
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import steps
from bandwise.launch.engines import train_branches
from bandwise.runs.run import create_run

LONG = replace(CONFIG, training=replace(CONFIG.training, epochs=6, checkpoint_steps=1000))
# Steps take long enough to be interrupted, and a checkpoint is only due at the end of an epoch.
SLOW = """
import sys, time
from bandwise.training import loop
real = loop.BranchLoop._stop_if_asked
def slow(self):
    time.sleep({pause})
    real(self)
loop.BranchLoop._stop_if_asked = slow
{extra}
"""
LAUNCH = """
import sys
from pathlib import Path
from bandwise.checkpoints.folder import steps
from bandwise.launch.engines import train_branches
from bandwise.runs.run import open_run
train_branches(open_run(Path(sys.argv[1])), jobs=2)
"""


@pytest.fixture
def slow_branches(tmp_path):
    """A start-up file for every Python below; returns how to make one."""

    def make(*, pause: float, extra: str = "") -> dict[str, str]:
        folder = tmp_path / f"site-{len(extra)}"
        folder.mkdir()
        code = SLOW.format(pause=pause, extra=extra)
        (folder / "sitecustomize.py").write_text(f"import sys\nif 'train' in sys.orig_argv:\n{_indented(code)}")
        return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}

    return make


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())


def branches_of(run: Path) -> list[int]:
    """Return the processes that train a branch of this run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(run) in words and b"--branch" in words:
            found.append(int(folder.name))
    return found


def wait_for(condition, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def start_and_kill(run: Path, environment: dict[str, str], started) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, str(run)], env=environment, stderr=subprocess.DEVNULL)
    assert wait_for(started)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()


def metrics(run: Path) -> list[Path]:
    return [path for path in run.glob("branch-*/metrics.jsonl") if path.exists()]


@pytest.mark.timeout(300)
def test_branches_save_and_stop_and_a_rerun_ends_with_the_same_bits(finished, tmp_path, slow_branches):
    store = finished / "store"
    run = create_run(tmp_path / "run", LONG, store)
    start_and_kill(run.path, slow_branches(pause=0.2), lambda: len(metrics(run.path)) == 2)
    assert wait_for(lambda: not branches_of(run.path))
    assert not list(run.path.glob("branch-*/.lock"))
    for number in range(2):
        # No checkpoint was due: this one was written because the launcher died.
        assert list(run.branch_folder(number).glob("step-*"))
        assert not (run.branch_folder(number) / "summary.json").exists()
    train_branches(run)
    other = create_run(tmp_path / "undisturbed", LONG, store)
    train_branches(other)
    assert tree(run.path / "logits") == tree(other.path / "logits")
    for number in range(2):
        for name in (f"{steps(other.branch_folder(number))[0].name}/model.safetensors", "metrics.jsonl"):
            ours, theirs = run.branch_folder(number) / name, other.branch_folder(number) / name
            assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.timeout(300)
def test_a_launcher_that_dies_before_its_branches_look_is_noticed(finished, tmp_path, slow_branches):
    """The branches are still importing when it dies."""
    run = create_run(tmp_path / "run", LONG, finished / "store")
    start_and_kill(run.path, slow_branches(pause=0.2), lambda: len(branches_of(run.path)) == 2)
    assert wait_for(lambda: not branches_of(run.path))
    assert not list(run.path.glob("branch-*/summary.json"))


@pytest.mark.timeout(300)
def test_branches_that_do_not_follow_go_on_alone(finished, tmp_path, slow_branches):
    """Negative control: without the watch the branches outlive their launcher."""
    run = create_run(tmp_path / "run", LONG, finished / "store")
    blind = "import os\nos.environ.pop('BANDWISE_LAUNCHED', None)"
    environment = slow_branches(pause=0.2, extra=blind)
    start_and_kill(run.path, environment, lambda: len(metrics(run.path)) == 2)
    time.sleep(2)
    left = branches_of(run.path)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert len(left) == 2
    assert wait_for(lambda: not branches_of(run.path))
    shutil.rmtree(run.path)
