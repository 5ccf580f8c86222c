"""The chart of the recorded accuracies: drawn from the results and from nowhere else."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests.tools.test_evidence import BASELINE, SUB4, fake, record
from tools.blocks import read_results
from tools.chart import evidence_svg

from bandwise.cli import main
from bandwise.errors import UsageError

ROOT = Path(__file__).parents[2]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NAME = re.compile(r"[a-z][0-9a-f]{10}\b")


def same(first: str, second: str) -> bool:
    """Compare two pictures; another kind of processor may round the last digits otherwise, and name shapes by them."""
    (text, numbers), (other_text, other_numbers) = (
        (_NUMBER.split(svg), np.array([float(number) for number in _NUMBER.findall(svg)]))
        for svg in (_NAME.sub("shape", first), _NAME.sub("shape", second))
    )
    return text == other_text and bool(np.abs(numbers - other_numbers).max() < 0.01)


def heights(svg: str) -> dict[str, float]:
    """Return where each text stands, from the top."""
    found = re.findall(r'<text [^>]*?\by="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    return {text: float(height) for height, text in found}


def test_the_chart_is_what_the_results_say():
    kept = (ROOT / "docs" / "accuracy.svg").read_text(encoding="utf-8")
    drawn = evidence_svg(read_results(ROOT / "results"))
    assert same(kept, drawn), "run `make tables`"


def test_another_result_gives_another_chart(tmp_path):
    first = evidence_svg(record(tmp_path, fake(SUB4, 0, 0.70, [0.6, 0.5]), fake(SUB4, 1, 0.72, [0.6, 0.5])))
    assert same(first, evidence_svg(read_results(tmp_path)))
    assert not same(first, evidence_svg(record(tmp_path, fake(SUB4, 1, 0.73, [0.6, 0.5]))))


def test_systems_stand_under_their_cost(tmp_path):
    dear = {**fake("x", 0, 0, [0])["cost"], "macs_total": 5e7}
    found = record(
        tmp_path,
        fake(BASELINE, 0, 0.7, [0.7], cost=dear),
        fake(SUB4, 0, 0.6, [0.5, 0.6]),
        fake("cifar10-own", 0, 0.9, [0.9]),
    )
    said = heights(evidence_svg(found))
    assert "own" not in said, "a system that the README does not name"
    cheap, dear_ones = (next(text for text in said if f" {macs} M" in text) for macs in ("4.00", "100"))
    order = [cheap, "sub4", dear_ones, "baseline"]
    assert sorted(order, key=said.__getitem__) == order


def test_nothing_to_draw(tmp_path, capsys):
    with pytest.raises(UsageError, match="no result of cifar10 to draw"):
        evidence_svg(record(tmp_path, fake("own", 0, 0.5, [0.5])))
    out = tmp_path / "x.svg"
    assert main(["report", "--chart", str(out)]) == 2
    assert main(["report", "--results", str(tmp_path), "--table", "evidence", "--chart", str(out)]) == 2
    assert main(["report", "--results", str(tmp_path), "--chart", str(out)]) == 2
    assert "no result of cifar10" in capsys.readouterr().err
    assert not out.exists()
