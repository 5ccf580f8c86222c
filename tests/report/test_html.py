"""The page: complete, escaped, self-contained, and honest about what is missing."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bandwise.errors import UsageError
from bandwise.report.html import render_report

VOID = {"meta", "link", "img", "br"}


class Reader(HTMLParser):
    """Collects what the tests ask about, and checks that every element is closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture
def runs(tmp_path, two_runs):
    return [Path(shutil.copytree(run, tmp_path / run.name)) for run in two_runs]


def test_it_holds_the_numbers(finished_page, two_runs):
    results = [json.loads((run / "results.json").read_text()) for run in two_runs]
    text = " ".join("".join(read(finished_page).text).split())
    markdown = finished_page.with_suffix(".md").read_text(encoding="utf-8")
    for content in (text, markdown):
        for entry in [*results[0]["branches"], *results[0]["rules"].values(), results[1]["fused"]]:
            assert f"{100 * entry['top1']:.2f} ±" in content
        assert f"{100 * results[0]['chance']:.2f} %" in content
        assert "branch 0, which is the low-resolution control" in content
        assert "400 of 401" in content
        assert "19.6 M (4.00x)" in content
        assert "holdout, n = 120" in content
        assert "exact McNemar p" in content
        assert "carrot &" in content
    assert "| split.stride | 2 | 1 |" in markdown
    assert "| training.lr |" not in markdown, "a setting in which the runs do not differ"


def test_it_loads_nothing(finished_page):
    content = finished_page.read_text(encoding="utf-8")
    assert not re.search(r"https?://", content)
    # The script that sorts tables is in the page.
    assert re.findall("<script[^>]*>", content) == ["<script>"]
    assert "@import" not in content
    assert "url(" not in content
    loaded = [
        attrs.get(key) for _, attrs in read(finished_page).tags for key in ("src", "href", "srcset") if key in attrs
    ]
    assert len(loaded) > 10
    assert all(value.startswith(("data:", "#")) for value in loaded)


def test_it_is_accessible(finished_page):
    tags = read(finished_page).tags
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert len(images) > 10
    assert all(attrs.get("alt") for attrs in images)
    assert ("html", {"lang": "en"}) in tags
    tables = sum(tag == "table" for tag, _ in tags)
    assert sum(tag == "caption" for tag, _ in tags) == tables > 5
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in tags if tag == "th")
    targets = {attrs.get("id") for tag, attrs in tags if tag == "section"}
    links = {attrs["href"].removeprefix("#") for tag, attrs in tags if tag == "a"}
    assert links == targets
    assert sum(tag == "h1" for tag, _ in tags) == 1


def test_a_name_cannot_become_markup(finished_page):
    content = finished_page.read_text(encoding="utf-8")
    assert "&lt;b&gt;date&lt;/b&gt;" in content
    assert "<b>" not in content
    assert "&lt;b&gt;date&lt;/b&gt;" in finished_page.with_suffix(".md").read_text(encoding="utf-8")
    tags = read(finished_page).tags
    assert [attrs for tag, attrs in tags if tag == "script"] == [{}]
    assert not [attrs for _, attrs in tags if "onload" in attrs]


def test_it_is_the_same_bytes_every_time(finished_page, two_runs, tmp_path):
    again = render_report(two_runs, tmp_path / "again.html")
    assert again.read_bytes() == finished_page.read_bytes()
    assert again.with_suffix(".md").read_bytes() == finished_page.with_suffix(".md").read_bytes()


def test_a_missing_run_and_a_missing_branch_are_reported(runs, tmp_path):
    """The run reported is a single network, which has no fusion."""
    (runs[0] / "branch-03" / "summary.json").unlink()
    page = read(render_report([runs[1], runs[0], tmp_path / "never-made"], tmp_path / "report.html"))
    keys = {attrs.get("id") for tag, attrs in page.tags if tag == "section"}
    assert "fusion" not in keys
    assert "result" in keys
    text = "".join(page.text)
    assert "never-made: This run could not be read" in text
    assert "never-made: no results" in text
    assert "photos-sub4: Branch 3 is not trained" in text


def test_a_run_in_training_has_a_page(runs, tmp_path):
    (runs[0] / "results.json").unlink()
    page = render_report(runs[:1], tmp_path / "report.html")
    text = "".join(read(page).text)
    assert "There are no results yet" in text
    assert "Training loss of each branch" in text


def test_wrong_names_are_refused(runs, tmp_path):
    with pytest.raises(UsageError, match="needs at least one run folder"):
        render_report([], tmp_path / "report.html")
    with pytest.raises(UsageError, match=r"its name must end in \.html"):
        render_report(runs, tmp_path / "report.md")


def test_a_page_is_replaced_whole_or_not_at_all(runs, tmp_path, monkeypatch):
    """A failure while filling the template leaves the old page and no temporary file."""
    page = tmp_path / "report.html"
    page.write_bytes(b"old")
    monkeypatch.setattr("bandwise.report.html.page_to_html", None)
    with pytest.raises(TypeError):
        render_report(runs[:1], page)
    assert page.read_bytes() == b"old"
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_report_does_not_replace_a_pipe(runs, tmp_path):
    os.mkfifo(tmp_path / "report.html")
    with pytest.raises(UsageError, match="is no regular file"):
        render_report(runs[:1], tmp_path / "report.html")
    assert (tmp_path / "report.html").is_fifo()
    assert not (tmp_path / "report.md").exists()
