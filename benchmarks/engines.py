"""`python -m benchmarks engines`: what an engine costs beside the trainings that it runs.

SLURM is not here: it keeps the queue itself, and what it costs is up to the cluster.
"""

import importlib.util
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from bandwise.config import AugmentConfig, DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.launch.engines.processes import Processes
from bandwise.launch.engines.ray import ray_for
from bandwise.launch.pipeline import train_branches
from bandwise.launch.queue import Engine, Job
from bandwise.machine import usable_cores
from bandwise.runs.documents import read_summary
from bandwise.runs.run import create_run
from bandwise.sources.resolve import open_source
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure, Options, Reach

_BRANCHES = 4
_TRAINING_S = 75.0
_REACH = Reach("<=", 1.05)


@dataclass
class _Timed:
    """An engine that notes how long each of its commands took."""

    engine: Engine
    seconds: list[float] = field(default_factory=list)

    @property
    def slots(self) -> int:
        return self.engine.slots

    def start(self, command: list[str]) -> "_TimedJob":
        return _TimedJob(self.engine.start(command), self.seconds)


class _TimedJob:
    def __init__(self, job: Job, seconds: list[float]) -> None:
        self._job, self._seconds, self._started = job, seconds, time.monotonic()

    def poll(self) -> int | None:
        if (code := self._job.poll()) is not None:
            self._seconds.append(time.monotonic() - self._started)
        return code

    def stop(self) -> None:
        self._job.stop()


def measure(options: Options) -> list[Figure]:
    """Train four branches on each engine; at the smallest on processes only, two branches for an epoch."""
    slots = min(2, usable_cores())
    config = _config(options)
    store = options.scratch / "store"
    split_dataset(open_source(config.data), config.split, store)
    if not options.smallest:
        first = create_run(options.scratch / "first", replace(config, branches="0"), store)
        train_branches(first)
        epochs = math.ceil(_TRAINING_S / read_summary(first.branch_folder(0)).wall_s)
        config = replace(config, training=replace(config.training, epochs=epochs))
    engines: dict[str, Callable[[], AbstractContextManager[Engine]]] = {
        "processes": lambda: nullcontext(Processes(slots))
    }
    if not options.smallest and importlib.util.find_spec("ray") is not None:
        engines["ray"] = lambda: ray_for(config.training, _BRANCHES, slots=slots)
    return [figure for name, make in engines.items() for figure in _figures(name, make, config, store, options.scratch)]


def _config(options: Options) -> RunConfig:
    return RunConfig(
        data=DataConfig(data=options.data),
        split=SplitConfig(stride=2, canvas=64),
        branches="each" if not options.smallest else "0;1",
        network=NetworkConfig(model="resnet8-slim", stem="dense"),
        training=TrainingConfig(crop=64, epochs=1, batch_size=options.amount(32, 4), device="cpu"),
        augment=AugmentConfig(),
    )


def _figures(
    name: str, make: Callable[[], AbstractContextManager[Engine]], config: RunConfig, store: Path, scratch: Path
) -> list[Figure]:
    run = create_run(scratch / name, config, store)
    begun = time.monotonic()
    with make() as engine:
        ready, timed = time.monotonic(), _Timed(engine)
        train_branches(run, engine=timed)
        wall = time.monotonic() - ready
    trainings = [read_summary(run.branch_folder(branch)).wall_s for branch in range(len(run.groups))]
    slots = engine.slots
    share, start_up = sum(trainings) / slots, (sum(timed.seconds) - sum(trainings)) / slots
    note = f"{len(trainings)} branches of {min(trainings):.0f} to {max(trainings):.0f} s, {slots} at a time"
    return [
        Figure(
            f"engines/{name}",
            "s",
            wall - start_up,
            {"trainings over slots": share},
            (wall - start_up) / share,
            "wall time without start-up over the sum of the trainings divided by the slots",
            _REACH,
            note=note,
        ),
        Figure(
            f"engines/{name}/start-up",
            "s",
            start_up * slots / len(trainings),
            {"engine": ready - begun},
            note="of a command, with imports and the answers to the holdout; engine: once, before the first",
        ),
    ]
