"""What `make test` leaves out, and that it covers every file and every promise."""

import ast

import pytest
from tests import tiers
from tests.test_promises import NAMED, PAGE, ROOT, functions


@pytest.mark.parametrize(("count", "wanted", "kept"), [(9, 3, {0, 4, 8}), (2, 6, {0, 1}), (5, 1, {0}), (7, 0, set())])
def test_the_first_the_last_and_some_between_are_kept(count, wanted, kept):
    assert tiers.spread(count, wanted) == kept


def test_parameters_are_left_out_by_function_file_and_folder(monkeypatch):
    wanted = {"tests/a/test_a.py::test_one": 1, "tests/a/test_a.py": tiers.ALL, "tests/b/": 2}
    monkeypatch.setattr(tiers, "PARAMETERS", wanted)
    ids = {name: [f"{name}[{number}]" for number in range(9)] for name in ("a.py::test_one", "a.py::test_two")}
    first, whole = ([f"tests/a/test_{node}" for node in nodes] for nodes in ids.values())
    folder, other = ([f"tests/{place}/test_c.py::test_c[{number}]" for number in range(9)] for place in "bc")
    left = tiers.left_out([*first, *whole, *folder, *other])
    assert left == {*first[1:], *folder[1:-1]} | left.intersection(other)
    assert len(left.intersection(other)) == 9 - tiers.MOST_PARAMETERS


def test_what_is_named_exists_and_every_file_and_promise_is_in_make_test():
    files = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    for key in tiers.PARAMETERS:
        file, _, name = key.partition("::")
        assert any(path.startswith(file) for path in files), key
        assert not name or name in functions(files[file]), key
    never = {key for key, number in tiers.PARAMETERS.items() if number == 0}
    for name, path in files.items():
        found = {
            node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        }
        kept = any(not never & {f"{name}::{function}", name} for function in found)
        assert kept == (name not in tiers.FILES_ONLY_IN_FULL), f"{name} is not in `make test`"
    promised = {f"{file}::{name}" for file, name in NAMED.findall(PAGE.read_text(encoding="utf-8"))}
    assert promised & never == tiers.PROMISES_ONLY_IN_FULL
