"""A table as plain text cells: one content for the page and for Markdown."""

import re
from dataclasses import dataclass

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")
_ORDINARY = re.compile(r"\\([()+#!-])")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a head; the first column names the row."""

    caption: str
    """What the table shows, in a few words."""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    """Rows that are the result, by position."""
    text_columns: frozenset[int] = frozenset({0})
    """Columns that hold words and are aligned to the left; others hold numbers."""
    note: str = ""
    """A sentence under the table: what was measured how."""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.head) for row in self.rows), self.caption


def escape_markdown(text: str) -> str:
    """Make any text harmless in a Markdown table or paragraph: no markup, no HTML, no new row, no link."""
    flat = " ".join(text.split())
    escaped = _SPECIAL.sub(r"\\\1", flat).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Signs that mean something only at the start of a line or behind a bracket stay readable inside a cell.
    return _ORDINARY.sub(r"\1", escaped)


def to_markdown(table: Table) -> str:
    """Write a table in the Markdown that GitHub and Sphinx read."""
    columns = range(len(table.head))
    lines = [
        "| " + " | ".join(escape_markdown(cell) for cell in table.head) + " |",
        "|" + "|".join("---" if column in table.text_columns else "--:" for column in columns) + "|",
    ]
    for place, row in enumerate(table.rows):
        cells = [escape_markdown(cell) for cell in row]
        if place in table.strong:
            cells = [f"**{cell}**" if cell else cell for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    text = f"**{escape_markdown(table.caption)}**\n\n" + "\n".join(lines) + "\n"
    return text + (f"\n{escape_markdown(table.note)}\n" if table.note else "")
