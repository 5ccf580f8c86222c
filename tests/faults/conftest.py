"""The children, and the undisturbed results that everything is compared with; do not change them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import material
from tests.faults.processes import ROOT, Server
from tests.faults.targets import Target, finish_target, split_target, train_target
from tests.training import tiny

from bandwise.store.writing.split import split_dataset


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Server:
    """Children that start in milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
        running = Server(tmp_path_factory.mktemp("logs"))
        # The imports take seconds, which no test may take for the time of its own work.
        assert running.run("nothing").code == 0
    return running


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """A store of 700 random pictures in four groups."""
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(material.SOURCE, material.SPLIT, out)
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A store of nine pictures and two bands."""
    out = tmp_path_factory.mktemp("small") / "store"
    material.split_small(out)
    return out


@pytest.fixture(scope="session")
def train_store(tmp_path_factory) -> Path:
    """What the tiny network is trained on: four bands of 12 px, 36 images."""
    return tiny.make_store(tmp_path_factory.mktemp("train-store"))


@pytest.fixture(scope="session")
def run_folder(server, tmp_path_factory) -> Path:
    """A finished run of two branches, made in a process of its own."""
    root = tmp_path_factory.mktemp("finished")
    ended = server.run("make_run", root=root)
    assert ended.code == 0, ended.log
    return root / "run"


class Targets(dict[str, Target]):
    """The kinds of work that are disturbed, each made when it is first asked for."""

    def __init__(self, makers: dict[str, Callable[[], Target]]) -> None:
        super().__init__()
        self._makers = makers

    def __missing__(self, name: str) -> Target:
        self[name] = self._makers[name]()
        return self[name]


@pytest.fixture(scope="session")
def targets(server, request, tmp_path_factory) -> Targets:
    """The kinds of work that are disturbed."""
    made, folder = request.getfixturevalue, tmp_path_factory.mktemp("targets")
    return Targets(
        {
            "split": lambda: split_target(made("whole")),
            "small split": lambda: split_target(made("small"), small="yes"),
            "training": lambda: train_target(server, made("train_store"), folder / "training", "every_step"),
            "training by time": lambda: train_target(server, made("train_store"), folder / "by-time", "by_time"),
            "half a training by time": lambda: train_target(
                server, made("train_store"), folder / "half-by-time", "one_epoch_by_time", done=4
            ),
            "half a training": lambda: train_target(server, made("train_store"), folder / "half", "one_epoch", done=4),
            "results": lambda: finish_target(made("run_folder")),
        }
    )
