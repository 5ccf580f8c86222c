"""Rows of the catalogue of bad inputs that are about `bandwise split`."""

import pytest
from tests.bad_inputs import rows_archives, rows_folders, rows_pictures, rows_split
from tests.bad_inputs.bench import check

ROWS = {**rows_archives.ROWS, **rows_pictures.ROWS, **rows_folders.ROWS, **rows_split.ROWS}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", sorted(ROWS))
def test_row(row, tmp_path):
    check(ROWS[row], tmp_path)
