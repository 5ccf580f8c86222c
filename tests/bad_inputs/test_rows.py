"""Rows of the catalogue of bad inputs that start from a finished run: configuration, training and evaluation."""

import pytest
from tests.bad_inputs import rows_config, rows_evaluate, rows_train, test_split_rows
from tests.bad_inputs.bench import check

ROWS = {**rows_train.ROWS, **rows_evaluate.ROWS, **rows_config.ROWS}
COUNTS = {"S": 40, "T": 20, "E": 14, "C": 6}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", ROWS)
def test_row(row, finished, tmp_path):
    check(ROWS[row], tmp_path, finished)


def test_the_rows_are_those_of_the_catalogue():
    held = {**test_split_rows.ROWS, **ROWS}
    assert set(held) == {f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)}
    assert all(held.values()), "a row without a case would pass without a look"
