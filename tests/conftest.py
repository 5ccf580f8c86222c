"""One thread in every test: results depend on the thread count, and the machine has few cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from hypothesis import settings
from tests import tiers

from bandwise.compat import ensure_torchvision

ensure_torchvision()

# A busy machine is no failure: no test is judged by its time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def one_thread():
    """Undo what a training run did to the number of threads and to determinism."""
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out, and skip what needs a device; tests that are named on the command line run."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and torch sees none here"))
    if not any("::" in argument for argument in config.args):
        beyond = tiers.left_out([item.nodeid for item in items])
        for item in items:
            if item.nodeid in beyond:
                item.add_marker("full")
