"""The page in a real browser: nothing is requested, nothing is reported, nothing overflows."""

import pytest
from tests.helpers.browser import opened_browser

from bandwise.report.html import page_to_html
from bandwise.report.page import Page, Section, Table

SORTED = (
    "4.91 G",
    "2 h 07 min",
    "4 min 50 s",
    "4 min 05 s",
    "61.27 ± 1.90 %",
    "+2.12",
    "\N{MINUS SIGN}0.50",
    "\N{EN DASH}",
)
CELLS = (SORTED[5], SORTED[7], SORTED[2], SORTED[0], SORTED[6], SORTED[3], SORTED[4], SORTED[1])


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_the_page_in_a_browser(browser, finished_page, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(finished_page.as_uri())
    outside = [url for url in requests if not url.startswith("data:") and url != finished_page.as_uri()]
    assert outside == []
    assert messages == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt)")
    assert broken == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 380) == (scheme == "light")
    page.locator("details summary").first.click()
    assert page.locator("details[open]").count() == 1
    context.close()


def test_a_head_sorts_its_table(browser, finished_page):
    page = browser.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(finished_page.as_uri())
    page.locator("#classes details summary").click()
    table = page.locator("#classes details table")
    accuracy, name = table.locator("thead button").nth(2), table.locator("thead button").nth(0)

    def column(place: int) -> list[str]:
        return table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()

    before = column(1)
    accuracy.click()
    found = [float(cell.removesuffix(" %")) for cell in column(3)]
    assert found == sorted(found, reverse=True)
    assert table.locator("thead th[aria-sort=descending]").count() == 1
    # By the keyboard too, and back.
    accuracy.focus()
    page.keyboard.press("Enter")
    assert [float(cell.removesuffix(" %")) for cell in column(3)] == found[::-1]
    name.click()
    assert sorted(column(1)) == sorted(before)
    assert table.locator("thead th[aria-sort=ascending]").first.inner_text().startswith("class")
    assert messages == []
    page.close()


def test_numbers_are_sorted_by_what_they_say(browser, tmp_path):
    table = Table("Costs", ("what", "value"), tuple((str(place), cell) for place, cell in enumerate(CELLS)))
    page = Page("Costs", "", (), (), (Section("cost", "Cost", tables=(table,)),), "")
    (tmp_path / "page.html").write_text(page_to_html(page))
    shown = browser.new_page()
    shown.goto((tmp_path / "page.html").as_uri())
    shown.locator("thead button").nth(1).click()
    assert shown.locator("tbody td").all_inner_texts() == list(SORTED)
    shown.close()


def test_another_script_does_not_run(browser, tmp_path):
    """Negative control: the page names the only script that may run by its hash."""
    page = page_to_html(Page("Title", "", (), (), (), "")).replace("<script>", "<script>document.title = 'ran';")
    (tmp_path / "page.html").write_text(page)
    shown = browser.new_page()
    shown.goto((tmp_path / "page.html").as_uri())
    assert shown.title() == "Title \N{EN DASH} Bandwise report"
    shown.close()
