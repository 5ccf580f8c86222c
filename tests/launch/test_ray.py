"""What the Ray engine makes of the ways in which a task ends; the cluster itself is in tests/faults/test_ray.py."""

import sys

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

    cancelled = ()
    running = False

    class exceptions:  # noqa: N801
        class RayError(Exception): ...

        class OutOfMemoryError(RayError): ...

        class RayTaskError(RayError): ...

        class WorkerCrashedError(RayError): ...

    def wait(self, references, timeout):
        return ([], references) if self.running else (references, [])

    def cancel(self, reference):
        self.cancelled = [*self.cancelled, reference]

    def get(self, reference):
        if isinstance(reference, int):
            return reference
        raise reference


def test_what_is_lost_is_started_again_and_what_fails_is_not():
    errors = FakeRay.exceptions
    codes = {0: 0, 7: 7, errors.WorkerCrashedError(): 75, errors.OutOfMemoryError(): 137, errors.RayTaskError("no"): 1}
    assert {case: engine._RayJob(FakeRay(), case).poll() for case in codes} == codes


def test_a_task_that_is_stopped_is_asked_again_until_it_ends(monkeypatch):
    """A cancellation that comes while Ray starts the task is lost."""
    now = iter(range(100))
    monkeypatch.setattr(engine.time, "monotonic", lambda: float(next(now)))
    ray = FakeRay()
    ray.running = True
    job = engine._RayJob(ray, 75)
    assert [job.poll(), ray.cancelled] == [None, ()]
    job.stop()
    assert len(ray.cancelled) == 1
    for _ in range(20):
        assert job.poll() is None
    assert 2 <= len(ray.cancelled) <= 5
    ray.running = False
    assert job.poll() == 75
