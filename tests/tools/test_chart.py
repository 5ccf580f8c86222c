"""The chart of the recorded accuracies: drawn from the results and from nowhere else."""

import re
from dataclasses import replace

import pytest
from tests.helpers.results import COST, made_results
from tests.tools.test_blocks import same_picture
from tools.chart import evidence_svg

from bandwise.errors import UsageError

SUB4, BASELINE = "cifar10-sub4", "cifar10-baseline"


def heights(svg: str) -> dict[str, float]:
    """Return how far each text is from the top."""
    found = re.findall(r'<text [^>]*?\by="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    return {text: float(height) for height, text in found}


def test_another_result_gives_another_chart():
    def drawn(second: float) -> str:
        return evidence_svg({SUB4: [made_results(SUB4, seed, top1, [0.6]) for seed, top1 in ((0, 0.7), (1, second))]})

    assert same_picture(drawn(0.72), drawn(0.72))
    assert not same_picture(drawn(0.72), drawn(0.73))


def test_systems_are_listed_under_their_cost():
    found = {
        BASELINE: [made_results(BASELINE, 0, 0.7, [0.7], cost=replace(COST, macs_total=50_000_000))],
        SUB4: [made_results(SUB4, 0, 0.6, [0.5, 0.6])],
        "cifar10-own": [made_results("cifar10-own", 0, 0.9, [0.9])],
    }
    places = heights(evidence_svg(found))
    assert "own" not in places, "a system that the README does not name"
    cheap, dear = (next(text for text in places if f" {macs} M" in text) for macs in ("4.00", "100"))
    order = [cheap, "sub4", dear, "baseline"]
    assert sorted(order, key=places.__getitem__) == order


def test_nothing_to_draw():
    with pytest.raises(UsageError, match="no result of cifar10 to draw"):
        evidence_svg({"own": [made_results("own", 0, 0.5, [0.5])]})
