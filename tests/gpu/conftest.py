"""The device of these tests: that of BANDWISE_TEST_DEVICE, else CUDA where there is one, else the CPU with itself."""

import os

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    wanted = os.environ.get("BANDWISE_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    assert wanted != "cuda" or torch.cuda.is_available(), "torch sees no CUDA device here"
    return torch.device("cuda", 0) if wanted == "cuda" else torch.device("cpu")
