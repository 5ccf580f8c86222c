"""Tables as Markdown: aligned by kind, and harmless whatever a class is called."""

import pytest

from bandwise.report.page import Table, escape_markdown, to_markdown


def test_a_table_by_hand():
    table = Table("Two rows", ("name", "top-1"), (("a", "1 %"), ("b", "2 %")), strong=frozenset({1}), note="A note.")
    assert to_markdown(table) == (
        "**Two rows**\n\n| name | top-1 |\n|---|--:|\n| a | 1 % |\n| **b** | **2 %** |\n\nA note.\n"
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<script>", "&lt;script&gt;"),
        ("two\nlines", "two lines"),
        ("[link](http)", r"\[link\](http)"),
        ("*bold* _it_ `code`", r"\*bold\* \_it\_ \`code\`"),
        ("R&D", "R&amp;D"),
        ("ordinary (text), 3.5 % - yes", "ordinary (text), 3.5 % - yes"),
    ],
)
def test_markup_in_names_is_harmless(text, escaped):
    assert escape_markdown(text) == escaped
