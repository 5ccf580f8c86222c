"""Every row of the catalogue has its test, and there is no other."""

from tests.bad_inputs import (
    rows_config,
    rows_evaluate,
    rows_train,
    test_config_rows,
    test_evaluate_rows,
    test_split_rows,
    test_train_rows,
)

COUNTS = {"S": 40, "T": 20, "E": 14, "C": 6}


def test_the_rows_are_those_of_the_catalogue(trained):
    tested = [*test_split_rows.ROWS, *test_train_rows.IDS, *test_evaluate_rows.IDS, *test_config_rows.IDS]
    assert len(tested) == 80
    assert set(tested) == {f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)}
    held = {**rows_train.rows(trained), **rows_evaluate.rows(trained), **rows_config.rows(trained)}
    held |= test_split_rows.ROWS
    assert set(held) == set(tested)
    assert all(held.values()), "a row without a case would pass without a look"
