"""Timing, figures and the generated table; nothing here is judged by time."""

import itertools
from pathlib import Path

import pytest
from benchmarks.documents import MARKS, benchmarks_markdown, read_documents, record
from benchmarks.figures import Figure, Reach, Spread
from benchmarks.measuring import Race, compare, race

from bandwise.errors import CorruptionError, UsageError

ROOT = Path(__file__).parent.parent.parent


def test_contestants_take_turns_and_the_warm_up_is_not_counted():
    order: list[str] = []
    clock = itertools.count()
    found = race(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b"), "c": lambda: order.append("c")},
        rounds=3,
        warm_up=1,
        clock=lambda: float(next(clock)),
    )
    assert [order[i : i + 3] for i in range(0, 12, 3)] == [list("cab"), list("abc"), list("bca"), list("cab")]
    assert found.seconds == {name: [1.0] * 3 for name in "abc"}


def test_the_ratio_is_taken_round_by_round():
    """A disturbance that slows a whole round down leaves the ratio alone, unlike the ratio of the medians."""
    found = Race({"peer": [2.0, 2.0, 20.0, 22.0, 24.0], "ours": [1.0, 1.0, 10.0, 11.0, 12.0]})
    assert found.ratio("peer", "ours") == Spread(2.0, 2.0, 2.0, 5)
    figure = compare(
        found,
        "x",
        unit="ms",
        factor=1e3,
        ours="ours",
        over="peer",
        under="ours",
        peers=("peer",),
        reach=Reach(">=", 2.0),
        ratio_of="peer / ours",
    )
    assert (figure.ours, figure.peers, figure.ratio, figure.holds) == (10_000.0, {"peer": 20_000.0}, 2.0, True)


def test_a_reach_is_kept_missed_or_not_measured():
    for op, ratio, holds in ((">=", 1.9, False), (">=", 2.0, True), ("<=", 2.1, False)):
        assert Figure("x", "s", ours=1.0, ratio=ratio, reach=Reach(op, 2.0)).holds is holds
    found = Figure("x", "GB/s", reach=Reach(">=", 0.6)).to_dict()
    assert [found[key] for key in ("ours", "ratio", "holds")] == [None, None, None]
    assert found["reach"] == {"op": ">=", "value": 0.6}


def content(**changes):
    figure = Figure("a|b/<i>", "ms", ours=1.23456, peers={"peer": 4.0}, ratio=3.24, reach=Reach(">=", 3.0))
    document = {
        "format": "bandwise-bench",
        "bench": "transform",
        "data": "photos",
        "smallest": False,
        "figures": [figure.to_dict(), Figure("gone", "GB/s", reach=Reach(">=", 0.6)).to_dict()],
        "environment": {
            "versions": dict.fromkeys(("torch", "numpy", "pyarrow", "pillow", "numba"), "1"),
            "hardware": {"accelerator": None, "processor": "a processor"},
            "commit": "0123456789abcdef",
        },
    }
    return {**document, **changes}


def test_records_come_back_and_become_a_table(tmp_path):
    path = record(tmp_path, content())
    assert path.name == "transform.json"
    assert read_documents(tmp_path) == [content()]
    text = benchmarks_markdown(read_documents(tmp_path))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| a\\|b/&lt;i&gt; | 1.24 ms | peer 4 | 3.24 |  | &gt;= 3 | yes |",
        "| gone |  |  |  |  | &gt;= 0.6 |  |",
    ]
    assert "one core of a processor" in text


def test_only_figures_that_mean_something_are_recorded(tmp_path):
    with pytest.raises(UsageError, match="--smallest measures is no figure"):
        record(tmp_path, content(smallest=True))
    with pytest.raises(UsageError, match="holds no benchmarks"):
        read_documents(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(CorruptionError, match="is no recorded benchmark"):
        read_documents(tmp_path)


@pytest.mark.parametrize(("page", "brief"), [("benchmarks/README.md", False), ("docs/performance.md", True)])
def test_the_published_table_is_that_of_the_recorded_figures(page, brief):
    text = (ROOT / page).read_text(encoding="utf-8")
    begin, end = MARKS
    assert text.count(begin) == text.count(end) == 1
    between = text.partition(f"{begin}\n")[2].partition(end)[0]
    documents = read_documents(ROOT / "benchmarks")
    assert between == benchmarks_markdown(documents, brief=brief)
    assert not any(document["smallest"] for document in documents)


def test_the_brief_table_has_what_is_meant_to_reach_something():
    text = benchmarks_markdown([content()], brief=True)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:] == ["| a\\|b/&lt;i&gt; | 3.24 |  | &gt;= 3 | 1 of 1 |"]
    assert "1 of 1 hold. Measured on: a processor." in text


def test_figures_that_differ_in_size_only_share_a_row_of_the_brief_table():
    def figure(name: str, ratio: float, reach: float) -> dict:
        found = {"name": name, "ours": 1.0, "peers": {}, "unit": "ms", "ratio": ratio, "ratio_of": "ours / theirs"}
        return {**found, "note": "", "reach": {"op": "<=", "value": reach}, "holds": ratio <= reach}

    figures = [figure("split/56px/zstd", 1.5, 1.6), figure("split/112px/zstd", 2.0, 1.9), figure("split/rate", 1, 2)]
    text = benchmarks_markdown([content(figures=figures)], brief=True)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| split/zstd | 1.5 to 2 | ours / theirs | &lt;= 1.6 to 1.9 | 1 of 2 |",
        "| split/rate | 1 | ours / theirs | &lt;= 2 | 1 of 1 |",
    ]
    assert "2 of 3 hold." in text


def test_many_peers_are_cut_short_in_a_row_and_kept_in_the_file():
    figure = Figure("x", "ms", ours=1.0, peers={f"band {n}": float(n) for n in range(36)})
    text = benchmarks_markdown([content(figures=[figure.to_dict()])])
    assert "band 7 7, ..., band 35 35 |" in text
    assert "band 8" not in text
