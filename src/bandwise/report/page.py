"""The content of a report before it has a form, and its form as Markdown; pictures are in the HTML only."""

import re
from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "bad", "plain"]

# Signs that mean something only at the start of a line or behind a bracket stay readable inside a cell.
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")


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


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of the verdict, computed from the numbers."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Card:
    """One figure to see first."""

    label: str
    value: str
    detail: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture as a data URI."""

    uri: str
    alt: str
    """What a reader who cannot see it should know."""
    caption: str
    width: int
    """Pixels."""
    height: int


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures of one sample side by side."""

    caption: str
    tiles: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """A part that opens on request."""

    title: str
    table: Table | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page; in this order: paragraphs, tables, figures, galleries, folds."""

    key: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    galleries: tuple[Gallery, ...] = ()
    folds: tuple[Fold, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    statements: tuple[Statement, ...]
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    footer: str


def page_to_markdown(page: Page) -> str:
    """Write a page as Markdown."""
    parts = [f"# {escape_markdown(page.title)}", escape_markdown(page.subtitle)]
    if page.statements:
        parts.append("\n".join(f"- {escape_markdown(statement.text)}" for statement in page.statements))
    for section in page.sections:
        parts += _section(section)
    parts.append(escape_markdown(page.footer))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    content = [escape_markdown(text) for text in section.paragraphs]
    content += [to_markdown(table).rstrip("\n") for table in section.tables]
    for fold in section.folds:
        content += _fold(fold)
    # A section that holds only pictures is left out.
    return [f"## {escape_markdown(section.title)}", *content] if content else []


def _fold(fold: Fold) -> list[str]:
    if fold.table is not None:
        return [to_markdown(fold.table).rstrip("\n")]
    indented = "\n".join(f"    {line}" for line in fold.text.splitlines())
    return [f"### {escape_markdown(fold.title)}", indented]


def escape_markdown(text: str) -> str:
    """Make any text harmless in a Markdown table or paragraph: no markup, no HTML, no new row, no link."""
    flat = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", flat).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
