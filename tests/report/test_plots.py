"""Charts: the same bytes for the same numbers, readable in both themes, and calm about strange names."""

import base64
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from bandwise.report.plots import (
    Bar,
    Line,
    Priced,
    accuracy_chart,
    curve_chart,
    disagreement_chart,
    price_chart,
    weights_chart,
)

BARS = [
    Bar("the result", 0.61, 661, "result"),
    Bar("baseline", 0.63, 661, "control"),
    Bar("branch 0", 0.5, 661, "branch"),
]
LINES = [Line("branch 0", [1, 2, 3], [2.5, 2.0, 1.5]), Line("baseline", [1, 2, 3], [2.0, 1.5, 1.0], is_control=True)]


def svg(figure):
    return base64.b64decode(figure.uri.removeprefix("data:image/svg+xml;base64,")).decode("utf-8")


@pytest.fixture(scope="module", name="charts")
def charts_():
    return every_chart()


def every_chart():
    weights = np.array([[0.25, 0.75], [0.5, 0.5]])
    return [
        accuracy_chart(BARS, 0.1),
        price_chart([Priced("fused", 4e8, 0.61, "result"), Priced("branch 0", 1e8, 0.5, "branch")]),
        curve_chart(LINES, what="loss", unit="nats", caption="Loss."),
        weights_chart(["mean", "learned"], weights, ["branch 0", "branch 1"]),
        disagreement_chart(np.array([[0.0, 0.4], [0.4, 0.0]]), ["0", "1"]),
    ]


def test_charts_are_the_same_bytes_every_time_and_leave_no_global_state_behind(charts):
    before = mpl.rcParams.copy()
    assert [figure.uri for figure in every_chart()] == [figure.uri for figure in charts]
    assert plt.get_fignums() == []
    assert mpl.rcParams == before


def test_charts_are_valid_xml_with_no_date_and_no_address_to_load(charts):
    for figure in charts:
        text = svg(figure)
        assert ET.fromstring(text).tag.endswith("svg")
        assert figure.alt
        assert figure.caption
        assert figure.width > 200
        assert "<metadata" not in text
        assert "matplotlib.org" not in text
        assert not [line for line in text.splitlines() if "href" in line and not re.search('href="(#|data:)', line)]


def test_ink_follows_the_theme(charts):
    text = svg(charts[0])
    assert "prefers-color-scheme:dark" in text
    assert "fill: var(--ink)" in text
    assert text.count("#24292f") == 1


def test_strange_names_and_scores_are_drawn():
    bars = [Bar(name, 0.5, 10, "control") for name in ("<b>&amp;</b>", "$x^$", "名前", "a\nb", "\N{PEAR}")]
    bars += [Bar("all", 1.0, 5, "result"), Bar("none", 0.0, 5, "branch")]
    ET.fromstring(svg(accuracy_chart(bars, 0.1)))


def test_the_alternative_text_holds_the_numbers(charts):
    assert "the result 61.00 %" in charts[0].alt
    assert "chance 10.00 %" in charts[0].alt
    assert "branch 0 1.5" in charts[2].alt


def test_many_branches_stay_readable(charts):
    bars = [
        Bar("fused", 0.7, 661, "result"),
        *[Bar(f"branch {k}", 0.3, 661, "branch") for k in range(64)],
    ]
    assert accuracy_chart(bars, 0.1).height < 500
    shares = np.full((64, 64), 0.5)
    assert disagreement_chart(shares, [str(k) for k in range(64)]).height < 600
    assert weights_chart(["mean"], np.full((1, 64), 1 / 64), [f"branch {k}" for k in range(64)]).height < 500
    lines = [Line(f"branch {k}", [1, 2], [2.0, 1.0]) for k in range(64)]
    assert "legend" not in svg(curve_chart(lines, what="loss", unit="nats", caption="Loss."))
    assert "legend" in svg(charts[2])


def test_one_epoch_is_a_point():
    chart = curve_chart([Line("branch 0", [1], [2.0])], what="loss", unit="nats", caption="Loss.")
    assert "<use" in svg(chart)
