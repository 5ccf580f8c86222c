"""The largest row: 100,000 images of ImageNet-21K's 10,450 classes and four branches, 33 GB in float64."""

import os

import pytest
from tests.fusion.bounded import measure


@pytest.mark.skipif(os.environ.get("BANDWISE_FAULTS") != "full", reason="takes minutes and 9 GB of disk: make faults")
@pytest.mark.timeout(7200)
def test_fusing_and_scoring_stay_within_a_gigabyte_above_the_imports(tmp_path):
    found = measure(tmp_path, 100_000, 10_450, "float16")
    for path in tmp_path.iterdir():
        path.unlink()
    assert found["peak"] < 1e9
