"""A folder of pictures and a table of their labels: CSV, TSV or JSON lines, one picture a row."""

import csv
import io
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS, extension
from bandwise.sources.naming import SPLIT_WORDS, Reported, choose_reported, examples, require_distinct, require_same
from bandwise.sources.reading import read_file, read_text
from bandwise.sources.source import Listing, ListingBuilder

FOUND_BY_NAME = ("metadata.csv", "metadata.jsonl", "labels.csv")
"""Tables that are read without being named; the first two are those of `datasets`."""

_USUAL = {
    "name": ("file_name", "filename", "file", "path", "image", "image_id", "image_name", "id"),
    "label": ("label", "labels", "class", "class_name", "category", "target"),
    "split": ("split", "subset", "set"),
}
"""What columns are called, in small letters."""


class Columns(NamedTuple):
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
    channels: int = 3

    def entries(self) -> Listing:
        """List every picture that the tables name, sorted by name."""
        label_of = {name: label for label, name in enumerate(self.classes)}
        found, files = ListingBuilder(), _files(self.root, self.follow_symlinks)
        matched = _matched(self.root, self.tables, self.columns, files)
        rows = [row for row in matched if row.split in ("train", self.reported)]
        found.add(
            [row.path for row in rows],
            labels=[label_of[row.label] for row in rows],
            sizes=[files.sizes[row.path] for row in rows],
            val=[row.split != "train" for row in rows],
        )
        if left := sorted(files.sizes.keys() - {row.path for row in rows}):
            say(f"note: {len(left)} pictures of {self.root} are not in the table, or not read: {examples(left)}")
        return found.listing()

    def read(self, path: bytes) -> bytes:
        """Return the bytes of one picture; `reading.read_file` says what it raises."""
        return read_file(os.fsencode(self.root) + b"/" + path)


class _Row(NamedTuple):
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
    root: Path, tables: Sequence[Path], columns: Columns, reported: Reported, *, follow_symlinks: bool
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
    chosen = choose_reported(
        [split for split in ("val", "test") if split in splits],
        reported,
        lacks=f"--reported {reported}: {tables[0]} has no pictures of that split",
        has_both=f"{tables[0]} has pictures of both val and test; name the reported set with --reported val or test",
    )
    labels = {split: {row.label for row in rows if row.split == split} for split in ("train", chosen)}
    require_distinct(str(tables[0]), labels["train"])
    if chosen is not None:
        require_same(str(tables[0]), labels["train"], chosen, labels[chosen])
    numbers = all(label.isascii() and label.isdigit() and len(label) < 10 for label in labels["train"])
    table = tables[0].resolve()
    place = table.relative_to(root).as_posix() if table.is_relative_to(root) else tables[0].name
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
            "labels": "" if len(tables) > 1 else place,
            "columns": columns._asdict(),
        },
    )


class _Files(NamedTuple):
    """The pictures below a folder by their paths, and the names of links that lead out of it and are not followed."""

    sizes: dict[bytes, int]
    links: set[bytes]


def _files(root: Path, follow_symlinks: bool) -> _Files:
    """Find every picture below a folder; names that begin with a dot are left out, and links that lead out of it."""
    sizes, links, top = {}, set(), os.fsencode(root)
    read: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(top, followlinks=follow_symlinks):
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in read:
            # A link to what is read already, maybe to a folder around it.
            folders.clear()
            continue
        read.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(b"."))
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118
            if extension(name) not in PICTURE_EXTENSIONS or name.startswith(b"."):
                continue
            is_link = os.path.islink(path)  # noqa: PTH114
            if is_link and not follow_symlinks and os.path.commonpath([top, os.path.realpath(path)]) != top:
                links.add(name)
            elif os.path.isfile(path):  # noqa: PTH113
                sizes[os.path.relpath(path, top)] = os.path.getsize(path)  # noqa: PTH202
    return _Files(sizes, links)


def _matched(root: Path, tables: Sequence[Path], columns: Columns, files: _Files) -> Iterator[_Row]:
    """Yield the rows of all tables with the picture that each is about."""
    by_name: dict[bytes, list[bytes]] = defaultdict(list)
    for path in files.sizes:
        base = path.rpartition(b"/")[2]
        for key in {path, base, base.rpartition(b".")[0]}:
            by_name[key].append(path)
    seen: dict[bytes, str] = {}
    for table in tables:
        inside = os.path.relpath(os.fsencode(table.resolve().parent), os.fsencode(root))
        for where, row, names in _table_rows(table, columns):
            name = _encoded(row.name.replace("\\", "/").removeprefix("./")).removeprefix(os.fsencode(root) + b"/")
            beside = name if inside in (b".", b"..") or inside.startswith(b"../") else inside + b"/" + name
            found = [beside] if beside in files.sizes else by_name.get(name) or by_name.get(name.strip(), [])
            if not found and (why := _out_of_reach(name, root, files)):
                raise UsageError(f"{where}: {row.name!r} {why}")
            if len(found) != 1:
                what = "there is no picture" if not found else f"{len(found)} pictures have the name"
                raise UsageError(
                    f"{where}: {what} {row.name!r} in {root}; give the folder that the names of the column "
                    f"{names.name!r} are about with --data, or another column with --name-column"
                )
            if found[0] in seen:
                raise UsageError(f"{where}: {row.name!r} is labelled already in {seen[found[0]]}; remove one row")
            seen[found[0]] = where
            if not row.label.strip():
                raise UsageError(f"{where}: {row.name!r} has no label in the column {names.label!r}")
            yield _Row(found[0], row.label.strip(), _split_of(where, found[0], row.split))


def _out_of_reach(name: bytes, root: Path, files: _Files) -> str:
    """Say what to do about a picture that lies elsewhere; empty where nothing says so."""
    if re.match(rb"[a-z0-9]+://", name):
        return "is an address, and nothing is fetched; download the pictures, and name their files in the table"
    if name.rpartition(b"/")[2] in files.links:
        return f"is a link that leads out of {root}; copy what it names, or follow it with --follow-symlinks"
    return ""


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


def _table_rows(table: Path, given: Columns) -> Iterator[tuple[str, Columns, Columns]]:
    """Yield where each row stands, its values in the columns that count, and what these are called."""
    if not table.is_file():
        raise UsageError(f"the table of labels {table} does not exist, or is no file")
    text = read_text(table)
    names: Columns | None = None
    for line, row in _of_json_lines(table, text) if table.suffix == ".jsonl" else _of_csv(table, text):
        names = names or _choose(table, given, list(row))
        where = f"{table}, line {line}"
        if missing := [name for name in names if name and row.get(name) is None]:
            raise UsageError(f"{where}: there is nothing in the column {missing[0]!r}")
        if not names.split and (late := next((name for name in row if name.lower() in _USUAL["split"]), "")):
            raise UsageError(f"{where}: {late!r} is not in the rows before; give it in every row")
        yield where, Columns(*(_as_text(where, name, row[name]) if name else "" for name in names)), names


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
                raise UsageError(f"{table}, line {reader.line_num}: more values than the {len(present)} columns")
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
    for name, (what, usual) in zip(given, _USUAL.items(), strict=True):
        found = name or next((each for like in usual for each in present if each.lower() == like), "")
        if (found or what != "split") and found not in present:
            raise UsageError(
                f"{table} has the columns {', '.join(present)}; say which one holds the {what} with --{what}-column"
            )
        chosen.append(found)
    return Columns(*chosen)
