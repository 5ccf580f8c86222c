"""The quick cases of the golden record, in every test run; `python tests/golden/record.py` compares all of it."""

import copy
from pathlib import Path

import pytest
from tests.golden import record
from tests.golden.work import CASES

import bandwise

record.register()
QUICK = [name for name, case in CASES.items() if case.quick]
MADE_WITH, BEFORE = record.recorded()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> record.Digests:
    """Record the quick cases."""
    if other := record.other_environment(MADE_WITH):
        pytest.skip(f"digests.json is of another environment: {', '.join(other)}")
    source = Path(bandwise.__file__).parents[1]
    return record.record(QUICK, tmp_path_factory.mktemp("golden"), source, tell=False)


@pytest.mark.parametrize("name", QUICK)
def test_nothing_that_users_see_has_changed(name: str, found: record.Digests) -> None:
    changed = record.differences({name: BEFORE[name]}, {name: found[name]})
    assert not changed, f"run `python tests/golden/record.py --only '{name}' --keep DIR` to see what it is now"


def test_a_change_is_named() -> None:
    after = copy.deepcopy(BEFORE)
    piece, lost = list(after["stores/dct2d-s2"])[:2]
    after["stores/dct2d-s2"][piece] = "0" * 64
    del after["stores/dct2d-s2"][lost]
    after["stores/webp"]["new"] = "0" * 64
    assert record.differences(BEFORE, BEFORE) == {}
    assert record.differences(BEFORE, after) == {
        "stores/dct2d-s2": [f"only before: {lost}", f"different: {piece}"],
        "stores/webp": ["only now: new"],
    }


def test_every_case_is_recorded() -> None:
    assert set(BEFORE) == set(CASES)
