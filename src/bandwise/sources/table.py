"""A folder of pictures and a table of their labels: CSV, TSV or JSON lines, one picture a row."""

import csv
import dataclasses
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.columns import TableBuilder
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS, extension
from bandwise.sources.folder import Reported
from bandwise.sources.naming import SPLIT_WORDS, examples, require_distinct, require_same
from bandwise.sources.reading import read_file, read_text
from bandwise.sources.source import Listing

FOUND_BY_NAME = ("metadata.csv", "metadata.jsonl", "labels.csv")
"""Tables that are read without being named; the first two are those of `datasets`."""

_NAMES = ("file_name", "filename", "file", "path", "image", "image_id", "image_name", "id")
_LABELS = ("label", "labels", "class", "class_name", "category", "target")
_SPLITS = ("split", "subset", "set")


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are called; an empty name is found out, and a split column need not be there."""

    name: str = ""
    label: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class TableSource:
    """Pictures anywhere below a folder, with labels from tables; as `open_table` found them."""

    root: Path
    name: str
    classes: tuple[str, ...]
    tables: tuple[Path, ...]
    columns: Columns
    reported: Literal["val", "test"] | None
    follow_symlinks: bool
    fingerprint: dict[str, Any]
    channels: Literal[1, 3] = 3

    def entries(self) -> Listing:
        """List every picture that the tables name, sorted by name."""
        label_of = {name: label for label, name in enumerate(self.classes)}
        found = TableBuilder({"labels": np.int32, "sizes": np.int32, "val": np.bool_})
        files = _files(self.root, self.follow_symlinks)
        rows = [row for row in _matched(self.root, self.tables, self.columns, files) if _is_read(row, self.reported)]
        found.add(
            [row.path for row in rows],
            labels=np.array([label_of[row.label] for row in rows], np.int32),
            sizes=np.array([files[row.path] for row in rows], np.int64),
            val=np.array([row.split != "train" for row in rows], bool),
        )
        if left := sorted(files.keys() - {row.path for row in rows}):
            say(f"note: {len(left)} pictures of {self.root} are not in the table, or not read: {examples(left)}")
        names, columns = found.sorted_by_name()
        return Listing(names, **columns)

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; `reading.read_file` says what it raises."""
        return read_file(os.fsencode(self.root) + b"/" + path)


@dataclass(frozen=True, slots=True)
class _Row:
    path: bytes
    label: str
    split: str


def find_tables(root: Path) -> tuple[Path, ...]:
    """Return the tables of a folder, or those of its folders of splits."""
    try:
        of_splits = sorted(path for path in root.iterdir() if path.name.lower() in SPLIT_WORDS)
    except OSError:
        return ()
    for folders in ([root], of_splits):
        if found := [folder / name for folder in folders for name in FOUND_BY_NAME if (folder / name).is_file()]:
            return tuple(found)
    return ()


def open_table(
    root: Path,
    tables: Sequence[Path],
    columns: Columns,
    reported: Reported = "auto",
    *,
    follow_symlinks: bool = False,
) -> TableSource:
    """Read tables of labels; what is wrong with one is a `UsageError` with the number of its line.

    The split of a picture is that of the split column, or else the first folder of its path that is called like one, or
    else `train`.
    """
    root = root.expanduser().resolve()
    rows = list(_matched(root, tables, columns, _files(root, follow_symlinks)))
    splits = {row.split for row in rows}
    if "train" not in splits:
        instead = f"only pictures of {' and '.join(sorted(splits))}" if splits else "for it has no rows below its head"
        raise UsageError(f"{tables[0]} names no training pictures, {instead}")
    present = [] if reported == "none" else [split for split in ("val", "test") if split in splits]
    if reported == "auto" and len(present) == 2:
        raise UsageError(
            f"{tables[0]} has pictures of both val and test; name the reported set with --reported val or test"
        )
    if reported not in ("auto", "none", *present):
        raise UsageError(f"--reported {reported}: {tables[0]} has no pictures of that split")
    chosen = None if not present else "test" if reported == "test" or present == ["test"] else "val"
    labels = {split: {row.label for row in rows if row.split == split} for split in ("train", chosen)}
    require_distinct(str(tables[0]), labels["train"])
    if chosen is not None:
        require_same(str(tables[0]), labels["train"], chosen, labels[chosen])
    numbers = all(label.isascii() and label.isdigit() and len(label) < 10 for label in labels["train"])
    return TableSource(
        root=root,
        name=root.name,
        classes=tuple(sorted(labels["train"], key=int if numbers else None)),
        tables=tuple(tables),
        columns=columns,
        reported=chosen,
        follow_symlinks=follow_symlinks,
        fingerprint={
            "kind": "table",
            "name": root.name,
            "reported": chosen,
            # What `--labels` and the columns must be to read the folder like this again.
            "labels": "" if len(tables) > 1 else _place_of(tables[0], root),
            "columns": dataclasses.asdict(columns),
        },
    )


def _place_of(table: Path, root: Path) -> str:
    """Return where a table lies in the folder of the pictures, or else its name."""
    resolved = table.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else table.name


def _is_read(row: _Row, reported: str | None) -> bool:
    return row.split in ("train", reported)


def _files(root: Path, follow_symlinks: bool) -> dict[bytes, int]:
    """Return the size of every picture below a folder, by its path there; names that begin with a dot are left out."""
    found = {}
    for folder, folders, names in os.walk(os.fsencode(root), followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(b"."))
        with os.scandir(folder) as listing:
            entries = {entry.name: entry for entry in listing}
        for name in names:
            if extension(name) in PICTURE_EXTENSIONS and not name.startswith(b"."):
                entry = entries[name]
                if entry.is_file(follow_symlinks=follow_symlinks):
                    path = os.path.relpath(entry.path, os.fsencode(root))
                    found[path] = entry.stat().st_size
    return found


def _matched(root: Path, tables: Sequence[Path], columns: Columns, files: Mapping[bytes, int]) -> Iterator[_Row]:
    """Yield the rows of all tables with the picture that each is about."""
    by_name: dict[bytes, list[bytes]] = defaultdict(list)
    for path in files:
        base = path.rpartition(b"/")[2]
        for key in {path, base, base.rpartition(b".")[0]}:
            by_name[key].append(path)
    seen: dict[bytes, str] = {}
    for table in tables:
        inside = os.path.relpath(os.fsencode(table.resolve().parent), os.fsencode(root))
        for line, row, names in _rows(table, columns):
            where = f"{table}, line {line}"
            name = _encoded(row[names.name].replace("\\", "/").removeprefix("./")).removeprefix(
                os.fsencode(root) + b"/"
            )
            beside = name if inside in (b".", b"..") or inside.startswith(b"../") else inside + b"/" + name
            found = [beside] if beside in files else by_name.get(name) or by_name.get(name.strip(), [])
            if len(found) != 1:
                what = "there is no picture" if not found else f"{len(found)} pictures have the name"
                raise UsageError(
                    f"{where}: {what} {row[names.name]!r} in {root}; give the folder that the names of the column "
                    f"{names.name!r} are about with --data, or another column with --name-column"
                )
            if found[0] in seen:
                raise UsageError(
                    f"{where}: {row[names.name]!r} is labelled already in {seen[found[0]]}; remove one row"
                )
            seen[found[0]] = where
            label = row[names.label].strip()
            if not label:
                raise UsageError(f"{where}: {row[names.name]!r} has no label in the column {names.label!r}")
            yield _Row(found[0], label, _split_of(where, found[0], row[names.split] if names.split else ""))


def _encoded(name: str) -> bytes:
    """Return the bytes of a name; JSON may hold halves of letters, which are in the name of no file."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode(errors="surrogatepass")


def _split_of(where: str, path: bytes, value: str) -> str:
    if value:
        if value.strip().lower() not in SPLIT_WORDS:
            raise UsageError(f"{where}: the split is {value!r}; it must be one of {', '.join(SPLIT_WORDS)}")
        return SPLIT_WORDS[value.strip().lower()]
    folders = (os.fsdecode(part).lower() for part in path.split(b"/")[:-1])
    return next((SPLIT_WORDS[part] for part in folders if part in SPLIT_WORDS), "train")


def _rows(table: Path, columns: Columns) -> Iterator[tuple[int, dict[str, str], Columns]]:
    """Yield line, values by column and the names of the columns that count."""
    if not table.is_file():
        raise UsageError(f"the table of labels {table} does not exist, or is no file")
    text = read_text(table)
    names: Columns | None = None
    for line, row in _of_json_lines(table, text) if table.suffix == ".jsonl" else _of_csv(table, text):
        names = names or _choose(table, columns, list(row))
        if missing := [name for name in (names.name, names.label, names.split) if name and row.get(name) is None]:
            raise UsageError(f"{table}, line {line}: there is nothing in the column {missing[0]!r}")
        if not names.split and (late := next((name for name in row if name.lower() in _SPLITS), "")):
            raise UsageError(f"{table}, line {line}: {late!r} is not in the rows before; give it in every row")
        yield line, row, names


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


def _of_json_lines(table: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
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
        yield line, {key: str(value) for key, value in row.items() if isinstance(value, str | int)}


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
