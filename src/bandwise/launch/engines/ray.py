"""Branches as tasks of a Ray cluster, a command each, with the processors and the accelerator that it needs.

Ray starts commands and says when they have ended. What a lost worker, node or launcher has done is in the run folder,
which every node sees at the same path, and never in the memory of Ray.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from bandwise.config import TrainingConfig
from bandwise.errors import BandwiseError, Preempted, UsageError
from bandwise.machine import CORES
from bandwise.progress import say
from bandwise.signals import launched_environment

_POLL_S = 0.2
# It holds exit codes only; by default Ray takes a third of the memory.
_OBJECT_STORE_BYTES = 100 * 1024 * 1024
_OUT_OF_MEMORY = 128 + signal.SIGKILL
# Ray 2.60 demands a token of clients, but does not look for one itself where an address is given.
_ALWAYS = {"RAY_AUTH_MODE": "token"}
# A cluster that ends with its launcher listens on the loopback interface only, and reports to nobody.
_OWN = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class RayTasks:
    """An engine: one task of a cluster for each command."""

    def __init__(self, slots: int, *, cpus: int, gpus: float) -> None:
        """Ask for so many processors, and for such a share of an accelerator, for every command."""
        import ray

        self.slots, self._cpus = slots, cpus
        self._ray: Any = ray
        # The queue decides about another try. Elsewhere than others is best: a branch shares nothing but the machine.
        options = {"max_retries": 0, "num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
        self._task = self._ray.remote(**options)(_run)

    def start(self, command: list[str]) -> "_RayJob":
        return _RayJob(self._ray, self._task.remote(command, self._cpus))


class _RayJob:
    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def poll(self) -> int | None:
        errors = self._ray.exceptions
        ended, _ = self._ray.wait([self._reference], timeout=0)
        if not ended:
            return None
        try:
            return self._ray.get(self._reference)
        except errors.OutOfMemoryError:
            return _OUT_OF_MEMORY
        except errors.RayTaskError as error:
            say(f"Ray: {error}")
            return BandwiseError.exit_code
        except errors.RayError:
            # The worker or its node is gone, or the task was cancelled. No fault of the branch, which has saved.
            return Preempted.exit_code

    def stop(self) -> None:
        self._ray.cancel(self._reference)


def _run(command: list[str], cpus: int) -> int:
    """Run a command in a worker, on so many cores.

    Should the worker die, the end of the pipe tells the command to save and end.
    """
    # Ray cancels a task by an interrupt. That does nothing in a worker whose daemons were started with interrupts
    # ignored, as a shell starts what it puts into the background, unless there is a handler.
    cancelled: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: cancelled.append(number))
    environment = {**launched_environment(), CORES: str(cpus)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env=environment
    ) as process:
        while (code := process.poll()) is None:
            if cancelled:
                cancelled.clear()
                process.send_signal(signal.SIGTERM)
            time.sleep(_POLL_S)
    return code


@contextlib.contextmanager
def ray_for(
    training: TrainingConfig, branches: int, address: str | None = None, slots: int | None = None, per_device: int = 1
) -> Iterator[RayTasks]:
    """Yield an engine on a cluster, which must be reachable from here; on one of this machine that ends with the block.

    Args:
        training: how a branch is trained; its threads and its device are what a task asks for.
        branches: how many there are.
        address: of a running cluster, as `ray.init` takes it, such as "auto"; a cluster of this machine when None.
        slots: tasks at once at most; as many as the cluster has room for when None.
        per_device: branches at once on an accelerator.
    """
    for name, value in {**_ALWAYS, **(_OWN if address is None else {})}.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError("--on ray needs Ray: pip install 'bandwise[ray]'") from error
    own = {} if address else {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address or "local", log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        total = ray.cluster_resources()
        on_device = training.device == "cuda" or (training.device == "auto" and total.get("GPU", 0) > 0)
        yield RayTasks(slots or branches, cpus=training.threads, gpus=1 / per_device if on_device else 0)
    finally:
        ray.shutdown()
