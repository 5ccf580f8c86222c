"""One finished run of two branches, whose reported set has one picture that cannot be read."""

from pathlib import Path

import pytest
from tests.bad_inputs.bench import Bench
from tests.bad_inputs.trained import make_finished


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Return the folder of its pictures, store and run; copy before changing anything."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        make_finished(Bench(root, patch, finished=root))
    return root
