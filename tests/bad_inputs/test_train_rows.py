"""Rows of the catalogue of bad inputs that are about `bandwise train`."""

import pytest
from tests.bad_inputs.bench import check
from tests.bad_inputs.rows_train import rows

IDS = [f"T{number}" for number in range(1, 21)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", IDS)
def test_row(row, trained, tmp_path):
    check(rows(trained)[row], tmp_path)
