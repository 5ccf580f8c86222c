"""What the Ray engine makes of the ways in which a task ends; the cluster itself is in tests/faults/test_ray.py."""

import _thread
import signal
import sys
import threading

from tests.helpers.waiting import wait_for

from bandwise.cli import main
from bandwise.launch.engines import ray as engine


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


def test_a_cancellation_reaches_the_command_also_where_interrupts_are_ignored(tmp_path):
    """As in the workers of daemons that a shell has put into the background."""
    ready = tmp_path / "ready"
    command = (
        "import signal, sys, pathlib; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
        f"pathlib.Path({str(ready)!r}).touch(); sys.stdin.read()"
    )

    def cancel() -> None:
        assert wait_for(ready.exists)
        # As Ray does it.
        _thread.interrupt_main()

    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        assert engine._run([sys.executable, "-c", command], 1) == 75
    finally:
        thread.join()
        signal.signal(signal.SIGINT, ours)
