"""Turns files, folders and `-` into one list of things to classify, without opening any of them."""

import codecs
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bandwise.errors import UsageError
from bandwise.sources.decoding.sniff import ARRAY_EXTENSIONS, PICTURE_EXTENSIONS, SUPPORTED_EXTENSIONS, extension

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """One path, and what is known of it before it is opened."""

    path: bytes
    status: str = "ok"
    """`ok`; `skipped` for a file that merely lies in a folder of pictures; `error` for a path that cannot be read."""
    reason: str = ""
    """A short code where the status is not ok."""
    detail: str = ""
    """The same in words."""


def list_inputs(inputs: Iterable[str | bytes | os.PathLike[str]], stdin: BinaryIO | None = None) -> list[Input]:
    """Expand the inputs of a prediction, in the order given; a path that is named twice is listed twice.

    A file is taken whatever its name is. A folder is searched to its bottom, in the order of the bytes of the names;
    files whose extension is no picture's are listed as skipped (arrays of NumPy are pictures where a folder has no
    others), hidden names are not listed, links to folders are not followed. `-` stands for the paths on the standard
    input: one a line, with either line end and with or without a byte-order mark, or separated by NUL if there is one.
    Nothing to classify among them is a `UsageError`.
    """
    given = [os.fsencode(path) for path in inputs]
    if given.count(STDIN.encode()) > 1:
        raise UsageError("- is named twice; the standard input can be read once")
    found: list[Input] = []
    for path in given:
        named = _read_list(stdin or sys.stdin.buffer) if path == STDIN.encode() else [path]
        for each in named:
            found.extend(_expand(each))
    if not any(item.status != "skipped" for item in found):
        shown = ", ".join(repr(os.fsdecode(path)) for path in given[:5]) or "no input"
        names = ", ".join(f".{name.decode()}" for name in SUPPORTED_EXTENSIONS)
        raise UsageError(f"there are no pictures in {shown}; name files, or folders that hold {names}")
    return found


def _read_list(stream: BinaryIO) -> list[bytes]:
    content = stream.read()
    if b"\0" in content:
        return [name for name in content.split(b"\0") if name]
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [name for line in lines if (name := line.removesuffix(b"\r"))]


def _expand(path: bytes) -> Iterator[Input]:
    try:
        mode = Path(os.fsdecode(path)).stat().st_mode
    except (OSError, ValueError) as error:
        yield Input(path, "error", *_why(error))
        return
    if stat.S_ISDIR(mode):
        yield from _walk(path)
    elif stat.S_ISREG(mode):
        yield Input(path)
    else:
        yield Input(path, "error", "not a file", "it is a device, pipe or socket")


def _walk(folder: bytes) -> Iterator[Input]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if not entry.name.startswith(b".")), key=lambda e: e.name)
    except OSError as error:
        yield Input(folder, "error", *_why(error))
        return
    kinds = (
        PICTURE_EXTENSIONS
        if any(extension(entry.name) in PICTURE_EXTENSIONS for entry in entries)
        else ARRAY_EXTENSIONS
    )
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_symlink() and entry.is_dir():
            yield Input(entry.path, "skipped", "link to a folder", "name the folder itself to classify its pictures")
        elif extension(entry.name) not in kinds:
            yield Input(entry.path, "skipped", "no picture by name", "name the file itself to classify it all the same")
        else:
            yield from _expand(entry.path)


def _why(error: Exception) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing", "there is no such file"
    if isinstance(error, PermissionError):
        return "no permission", "it may not be read; change its mode or owner"
    return "unreadable", str(error.strerror if isinstance(error, OSError) else error)
