"""The page of promises names tests that exist, and every promise has one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(\w+)`")


def functions(file: Path) -> set[str]:
    """Return the names of the test functions of a file; empty where there is no such file."""
    if not file.is_file():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def missing(text: str) -> list[str]:
    return [f"{file}::{name}" for file, name in NAMED.findall(text) if name not in functions(ROOT / file)]


def test_every_test_that_the_page_names_exists():
    text = PAGE.read_text(encoding="utf-8")
    assert missing(text) == []
    listed = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(listed) == len(NAMED.findall(text)) == len(set(listed)) > 60


def test_every_promise_is_held_by_a_test():
    paragraphs = PAGE.read_text(encoding="utf-8").split("\n\n")
    promises = [index for index, text in enumerate(paragraphs) if text.startswith("**")]
    assert len(promises) > 12
    for index in promises:
        assert NAMED.match(paragraphs[index + 1].removeprefix("- ")), paragraphs[index]


def test_a_test_that_does_not_exist_is_noticed():
    text = (
        "- `tests/test_promises.py::test_nothing`\n- `tests/test_nothing.py::test_it`\n- `tests/test_cli.py::test_no`"
    )
    assert len(missing(text)) == 3
