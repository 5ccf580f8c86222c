"""The quick cases of the golden record, in every test run; `python tests/golden/record.py` compares all of it."""

from pathlib import Path

import pytest
from tests.golden import cases, record
from tests.golden.cases import CASES, case, register
from tests.golden.work import Work

import bandwise

register()
QUICK = [name for name, each in CASES.items() if each.quick]
MADE_WITH, BEFORE = record.recorded()
OTHER_PROCESSOR = MADE_WITH["processor"] != record.processor()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> record.Digests:
    """Record the quick cases, without those whose digests hold for another processor alone."""
    made_with = {**MADE_WITH, "processor": record.processor()}
    if other := record.other_environment(made_with):
        pytest.skip(f"digests.json is of another environment: {', '.join(other)}")
    names = [name for name in QUICK if not (CASES[name].floats and OTHER_PROCESSOR)]
    source = Path(bandwise.__file__).parents[1]
    return record.record(names, tmp_path_factory.mktemp("golden"), source, tell=False)


@pytest.mark.parametrize("name", QUICK)
def test_nothing_that_users_see_has_changed(name: str, found: record.Digests) -> None:
    if name not in found:
        pytest.skip(f"floating-point results of {MADE_WITH['processor']}; this is {record.processor()}")
    assert found[name] == BEFORE[name], (
        f"to see what has changed: python tests/golden/record.py --only '{name}' --base-src OLD/src"
    )


def test_every_case_is_recorded() -> None:
    assert set(BEFORE) == set(CASES)


def test_a_changed_a_lost_and_a_new_piece_are_noticed_and_so_is_an_error(tmp_path, monkeypatch) -> None:
    pieces = {"a": b"1", "b": b"2"}
    others = ({"a": b"1", "b": b"3"}, {"a": b"1"}, {**pieces, "c": b""}, {"a": b"2", "b": b"1"})
    assert len({record.digest(each) for each in (pieces, *others)}) == 5
    assert record.digest(dict(reversed(pieces.items()))) == record.digest(pieces)

    monkeypatch.setattr("tests.golden.cases.CASES", {})
    monkeypatch.setattr("tests.golden.work.CASES", cases.CASES)
    monkeypatch.setattr("traceback.print_exc", lambda: None)

    @case("fails")
    def fails(work: Work) -> None:
        raise ValueError("in the middle")

    assert record.record(["fails"], tmp_path, tmp_path, tell=False) == {"fails": "error: ValueError: in the middle"}


def test_what_has_changed_is_named(tmp_path) -> None:
    for side, pieces in (("before", {"a": "1", "b": "2", "c": "3"}), ("after", {"b": "2", "c": "4", "d": "5"})):
        for name, content in pieces.items():
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / name).write_text(content)
    lines = ["only before: a", "only now: d", "different: c"]
    assert record.changed(tmp_path / "before", tmp_path / "after") == lines
    assert record.changed(tmp_path / "before", tmp_path / "before") == []
