"""Rows of a table of labels: CSV, TSV or JSON lines, as programs and spreadsheets write them."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.sources.reading import read_text

_NAMES = ("file_name", "filename", "file", "path", "image", "image_id", "image_name", "id")
_LABELS = ("label", "labels", "class", "class_name", "category", "target")
_SPLITS = ("split", "subset", "set")


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are called; an empty name is found out, and a split column need not be there."""

    name: str = ""
    label: str = ""
    split: str = ""


def table_rows(table: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str], Columns]]:
    """Yield line, the values of the columns that count by their names, and these names."""
    if not table.is_file():
        raise UsageError(f"the table of labels {table} does not exist, or is no file")
    text = read_text(table)
    names: Columns | None = None
    for line, row in _of_json_lines(table, text) if table.suffix == ".jsonl" else _of_csv(table, text):
        names = names or _choose(table, columns, list(row))
        where = f"{table}, line {line}"
        wanted = [name for name in (names.name, names.label, names.split) if name]
        if missing := [name for name in wanted if row.get(name) is None]:
            raise UsageError(f"{where}: there is nothing in the column {missing[0]!r}")
        if not names.split and (late := next((name for name in row if name.lower() in _SPLITS), "")):
            raise UsageError(f"{where}: {late!r} is not in the rows before; give it in every row")
        yield line, {name: _as_text(where, name, row[name]) for name in wanted}, names


def _as_text(where: str, column: str, value: str | float) -> str:
    """Return what a table of text holds: 1.0, as programs write numbers of which some may be missing, is 1."""
    if not isinstance(value, float):
        return str(value)
    if not value.is_integer():
        raise UsageError(f"{where}: the column {column!r} holds {value}; whole numbers or words are needed")
    return str(int(value))


def _of_csv(table: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    head = text.partition("\n")[0]
    delimiter = max(",\t;", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        reader.fieldnames = present = [name.strip() for name in reader.fieldnames or ()]
        if twice := next((name for name in present if name and present.count(name) > 1), ""):
            raise UsageError(f"{table} has two columns that are called {twice!r}; rename one of them")
        for row in reader:
            # Spreadsheets write the empty rows below a table too.
            if not any(row.values()):
                continue
            if None in row:
                raise UsageError(
                    f"{table}, line {reader.line_num}: more values than the {len(reader.fieldnames or ())} columns"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise UsageError(f"{table}, line {reader.line_num}: {error}") from error


def _of_json_lines(table: Path, text: str) -> Iterator[tuple[int, dict[str, str | float]]]:
    # Not splitlines: a text in JSON may hold other ends of lines than this one.
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{table}, line {line}: no JSON: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(f"{table}, line {line}: no object with keys")
        yield line, {key: value for key, value in row.items() if isinstance(value, str | int | float)}


def _choose(table: Path, given: Columns, present: Sequence[str]) -> Columns:
    """Return the columns that are given, or those of the usual names that are there."""
    chosen = []
    for what, name, usual in (
        ("name", given.name, _NAMES),
        ("label", given.label, _LABELS),
        ("split", given.split, _SPLITS),
    ):
        found = name or next((each for like in usual for each in present if each.lower() == like), "")
        if (found or what != "split") and found not in present:
            raise UsageError(
                f"{table} has the columns {', '.join(present)}; say which one holds the {what} with --{what}-column"
            )
        chosen.append(found)
    return Columns(*chosen)
