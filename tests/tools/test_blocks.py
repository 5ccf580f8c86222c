"""Every generated part of this repository's pages is what the recorded results say."""

import re

import numpy as np
import pytest
from tools.__main__ import main
from tools.blocks import BLOCKS, ROOT, Block

from bandwise.errors import UsageError

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SHAPE = re.compile(r"[a-z][0-9a-f]{10}\b")


def same_picture(first: str, second: str) -> bool:
    """Compare two SVGs; another kind of processor may round the last digits otherwise, and name shapes by them."""
    (text, numbers), (other_text, other_numbers) = (
        (_NUMBER.split(svg), np.array([float(number) for number in _NUMBER.findall(svg)]))
        for svg in (_SHAPE.sub("shape", first), _SHAPE.sub("shape", second))
    )
    return text == other_text and bool(np.abs(numbers - other_numbers).max() < 0.01)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_pages_are_what_the_results_say(name):
    block = BLOCKS[name]
    made, written = block.make(ROOT / "results"), block.written()
    assert same_picture(made, written) if block.path.endswith(".svg") else made == written, "run `make tables`"


@pytest.mark.parametrize(
    ("block", "before", "after"),
    [
        (Block("page.md", "results", str), "head\n<!-- results -->\nold\n<!-- /results -->\ntail\n", None),
        (Block("whole.json", "", str), "old\n", "new\n"),
    ],
)
def test_only_the_block_is_replaced(tmp_path, block, before, after):
    (tmp_path / block.path).write_text(before)
    assert block.written(tmp_path) == "old\n"
    block.write("new\n", tmp_path)
    assert block.written(tmp_path) == "new\n"
    assert (tmp_path / block.path).read_text() == (after or before.replace("old", "new"))


def test_marks_are_needed(tmp_path):
    block = Block("page.md", "results", str)
    with pytest.raises(UsageError, match="is no Markdown file that is there"):
        block.write("x\n", tmp_path)
    (tmp_path / "page.md").write_text("no marks")
    with pytest.raises(UsageError, match=r"has no <!-- results --> \.\.\. <!-- /results -->"):
        block.write("x\n", tmp_path)


def test_the_command_prints_a_block_and_refuses_unknown_names(capsys):
    assert main(["--print", "sets"]) == 0
    assert capsys.readouterr().out == BLOCKS["sets"].written()
    with pytest.raises(SystemExit):
        main(["set"])
    assert "choose from readme, natural" in capsys.readouterr().err
