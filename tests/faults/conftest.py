"""The fork server, the undisturbed results that everything is compared with, and the figures at the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults import figures, material
from tests.faults.forkserver import ForkServer, fork_server
from tests.training import tiny

from bandwise.store.writing.split import split_dataset


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[ForkServer]:
    """Children that start in milliseconds."""
    with fork_server(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """A store of 700 random pictures in four groups, never disturbed; do not change it."""
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(material.SOURCE, material.SPLIT, out)
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A store of nine pictures and two bands; do not change it."""
    out = tmp_path_factory.mktemp("small") / "store"
    material.split_small(out)
    return out


@pytest.fixture(scope="session")
def train_store(tmp_path_factory) -> Path:
    """What the tiny network is trained on: four bands of 12 px, 36 images; do not change it."""
    return tiny.make_store(tmp_path_factory.mktemp("train-store"))


@pytest.fixture(scope="session")
def run_folder(server, tmp_path_factory) -> Path:
    """A finished run of two branches, made in a process of its own; do not change it."""
    root = tmp_path_factory.mktemp("finished")
    ended = server.run("make_run", root=root)
    assert ended.code == 0, ended.log
    return root / "run"


@pytest.fixture
def figure(record_property) -> figures.Record:
    """Record that `passed` of `total` of something came out as they must."""

    def record(what: str, passed: int, total: int, note: str = "") -> None:
        record_property(figures.KEY, [what, passed, total, note])

    return record


@pytest.fixture
def control(figure) -> figures.Record:
    """Record one negative control that has failed as it must."""

    def record() -> None:
        figure("negative controls that failed as they must", 1, 1)

    return record


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures of the tests that passed."""
    found = figures.lines(terminalreporter.stats.get("passed", []))
    if found:
        terminalreporter.section("faults")
        for line in found:
            terminalreporter.write_line(line)
