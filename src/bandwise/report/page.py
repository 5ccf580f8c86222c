"""The content of a report before it has a form: the same page becomes HTML and Markdown."""

from dataclasses import dataclass
from typing import Literal

from bandwise.report.tables import Table

Tone = Literal["good", "bad", "plain"]


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
