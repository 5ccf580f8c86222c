"""`launch --on ray` on a cluster of this machine: which addresses it listens on, how it stops, and how it goes on."""

import importlib.util
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.helpers.holding import Holding
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.launch.engines import ray as engine
from bandwise.runs.run import create_run

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="no Ray here: pip install 'bandwise[ray]'")
pytestmark = pytest.mark.timeout(1200)


def descendants(process: int) -> set[int]:
    """Return a process and all that it has started, and those that these have started."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, size = {process}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def listening(processes: set[int]) -> set[str]:
    """Return the addresses, as the kernel writes them, on which some processes wait for connections."""
    sockets = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):
                sockets.add(os.fspath(link.readlink()))
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1].partition(":")[0])
    return found


@needs_ray
def test_it_listens_on_this_machine_only_stops_with_75_and_goes_on_with_the_same_bits(finished, tmp_path):
    run = create_run(tmp_path / "run", CONFIG, finished / "store")
    holding = Holding(tmp_path / "holding")
    command = [sys.executable, "-m", "bandwise", "launch", str(run.path), "--on", "ray", "--slots", "1"]
    environment = {**os.environ, "PYTHONPATH": holding.path, "HOME": str(tmp_path)}
    holding.hold("step")
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        holding.wait("step")
        addresses = listening(descendants(launcher.pid))
        launcher.send_signal(signal.SIGTERM)
        _, said = launcher.communicate(timeout=600)
    finally:
        launcher.kill()
    assert addresses
    assert addresses <= {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert launcher.returncode == 75, said
    assert "every branch is saved" in said
    assert list(run.branch_folder(0).glob("step-*"))
    holding.let_go()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for branch in range(2):
        ours, theirs = run.branch_folder(branch), finished / f"branch-{branch:02d}"
        assert weights_digest(ours) == weights_digest(theirs)
    assert (run.path / "report.html").exists()


def test_without_ray_it_says_what_to_install(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["launch", str(run), "--on", "ray"]) == 2
    assert "pip install 'bandwise[ray]'" in capsys.readouterr().err
    assert main(["launch", str(run), "--address", "auto"]) == 2
    assert "--address is for --on ray, and this is --on processes" in capsys.readouterr().err


class FakeRay:
    """Stands for ray, whose tasks end as a test says."""

    class exceptions:  # noqa: N801
        class RayError(Exception): ...

        class OutOfMemoryError(RayError): ...

        class RayTaskError(RayError): ...

        class WorkerCrashedError(RayError): ...

    def wait(self, references, timeout):
        return references, []

    def get(self, reference):
        if isinstance(reference, int):
            return reference
        raise reference


def test_what_is_lost_is_started_again_and_what_fails_is_not():
    errors = FakeRay.exceptions
    codes = {0: 0, 7: 7, errors.WorkerCrashedError(): 75, errors.OutOfMemoryError(): 137, errors.RayTaskError("no"): 1}
    assert {case: engine._RayJob(FakeRay(), case).poll() for case in codes} == codes
