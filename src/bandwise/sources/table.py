"""A folder of pictures and a table of their labels: CSV, TSV or JSON lines, one picture a row."""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
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
from bandwise.sources.reading import read_file
from bandwise.sources.source import Listing
from bandwise.sources.tablerows import Columns, table_rows

FOUND_BY_NAME = ("metadata.csv", "metadata.jsonl", "labels.csv")
"""Tables that are read without being named; the first two are those of `datasets`."""


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
        found = TableBuilder({"labels": np.int32, "sizes": np.int32, "val": np.bool_})
        files = _files(self.root, self.follow_symlinks)
        rows = [row for row in _matched(self.root, self.tables, self.columns, files) if _is_read(row, self.reported)]
        found.add(
            [row.path for row in rows],
            labels=np.array([label_of[row.label] for row in rows], np.int32),
            sizes=np.array([files.sizes[row.path] for row in rows], np.int64),
            val=np.array([row.split != "train" for row in rows], bool),
        )
        if left := sorted(files.sizes.keys() - {row.path for row in rows}):
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


@dataclass(frozen=True, slots=True)
class _Files:
    """The pictures below a folder."""

    sizes: dict[bytes, int]
    """By the path there."""
    links: frozenset[bytes]
    """Names of links that lead out of the folder and are not followed."""


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
    return _Files(sizes, frozenset(links))


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
        for line, row, names in table_rows(table, columns):
            where = f"{table}, line {line}"
            name = _encoded(row[names.name].replace("\\", "/").removeprefix("./")).removeprefix(
                os.fsencode(root) + b"/"
            )
            beside = name if inside in (b".", b"..") or inside.startswith(b"../") else inside + b"/" + name
            found = [beside] if beside in files.sizes else by_name.get(name) or by_name.get(name.strip(), [])
            if not found and (why := _out_of_reach(name, root, files)):
                raise UsageError(f"{where}: {row[names.name]!r} {why}")
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
