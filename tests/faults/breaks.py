"""Lines of ours that are broken on purpose, for the negative controls; each is for a process of its own.

A fault test that still passes with its line broken tests nothing.
"""

import contextlib
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.processes import NOT_BROKEN

from bandwise.checkpoints import folder as checkpoint_folder
from bandwise.checkpoints import tensors
from bandwise.files import arrays as arrayfile
from bandwise.files import atomic, regular
from bandwise.files import documents as sealing
from bandwise.files.documents import json_bytes
from bandwise.files.schema import plain
from bandwise.store import verify
from bandwise.store.writing import conversion
from bandwise.store.writing import group as groups
from bandwise.store.writing.commits import Commits
from bandwise.training import loop

_setter: list[Callable[[Any, str, Any], None]] = [setattr]


def _put(owner: Any, name: str, value: Any) -> None:
    """Replace what is there, and only what is there."""
    getattr(owner, name)
    _setter[0](owner, name, value)


@contextlib.contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    path.unlink(missing_ok=True)
    yield path
    atomic.fsync_file(path)
    atomic.fsync_folder(path.parent)


def _folder_in_place(folder: Path, write: Callable[[Path], None]) -> None:
    folder.mkdir()
    write(folder)
    for path in folder.iterdir():
        atomic.fsync_file(path)
    atomic.fsync_folder(folder)
    atomic.fsync_folder(folder.parent)


def no_temporary_name() -> None:
    """Write under the final name."""
    for module in (atomic, conversion, groups):
        _put(module, "replacing", _in_place)
    _put(checkpoint_folder, "commit_folder", _folder_in_place)


def no_fsync() -> None:
    """Believe that what is written is on the disk."""
    _put(atomic, "fsync_file", lambda path: None)


def no_fsync_of_folders() -> None:
    """Believe that a name is on the disk once it is renamed."""
    for module in (atomic, conversion, checkpoint_folder):
        _put(module, "fsync_folder", lambda path: None)


def fsync_tried_again() -> None:
    """Take the second fsync for a proof after the first has failed."""

    def stubborn(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    _put(atomic, "fsync_file", stubborn)


def no_position() -> None:
    """Start the epoch again, with the weights of its middle."""
    real = loop.BranchLoop.resume

    def resume(self: loop.BranchLoop, checkpoint: Any) -> None:
        real(self, checkpoint)
        self._position.batches = 0

    _put(loop.BranchLoop, "resume", resume)


def index_on_exception() -> None:
    """Write the manifest also when the work has failed, as several writers of shards do when they are closed."""
    real = conversion.Conversion._write_groups

    def careless(self: conversion.Conversion, commits: Commits, *rest: Any, **named: Any) -> None:
        try:
            real(self, commits, *rest, **named)
        finally:
            facts = {name: plain(record.files) for name, record in commits.records()}
            content = sealing.seal({**plain(self.identity), "bands": [], "files": facts})
            (self.out / "MANIFEST.json").write_bytes(json_bytes(content))

    _put(conversion.Conversion, "_write_groups", careless)


def process_in_record() -> None:
    """Let something of the process into what is committed."""
    real = groups.write_document
    _put(groups, "write_document", lambda path, content: real(path, {**content, "pid": os.getpid()}))


def full_disk_hidden() -> None:
    """Pass on whatever words a library has for a full disk."""

    @contextlib.contextmanager
    def silent(what: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RuntimeError("unexpected pos 640 vs 598") from error

    for module in (atomic, conversion):
        _put(module, "explain_full_disk", silent)


class _Anything(str):
    """A text that equals every other one."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def no_checksum() -> None:
    """Believe every byte that is read."""
    _put(verify, "sha256_file", lambda path: _Anything())
    _put(regular, "sha256_bytes", lambda content: _Anything())
    _put(arrayfile, "_hash", lambda stream, places, start, meta: _Anything())
    _put(sealing, "seal", lambda content: {**content, sealing.SEAL: _Anything()})
    _put(sealing, "_line", lambda row, seal_of_line: _Anything())


def errors_untranslated() -> None:
    """Let the errors of a library out."""

    class Unheard(Exception):
        pass

    _put(tensors, "SafetensorError", Unheard)


def pickles_welcome() -> None:
    """Read weights with pickle, as many loaders do."""
    _put(checkpoint_folder, "from_bytes", lambda content, path: pickle.loads(content))
    _put(checkpoint_folder, "read_listed", lambda file, facts, record: file.read_bytes())


def apply(name: str | None, put: Callable[[Any, str, Any], None] | None = None) -> None:
    """Break the line that a function of this file is named after; None breaks nothing.

    `put` replaces an attribute, for example `monkeypatch.setattr`; without it the process stays broken, and ends with
    `NOT_BROKEN` where the line is not there any more.
    """
    if name is None:
        return
    if put is not None:
        _setter[0] = put
        try:
            globals()[name]()
        finally:
            _setter[0] = setattr
        return
    try:
        globals()[name]()
    except Exception:
        traceback.print_exc()
        os._exit(NOT_BROKEN)
