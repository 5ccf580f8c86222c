"""What may be left on the disk after a power cut, for a piece of work that was watched.

The model is the pessimistic one of file systems that promise only what POSIX does: the content of a file is safe since
its last fsync, the names in a folder since the last fsync of the folder, and of everything later any part may have
reached the disk, in any order. A rename within a folder is one step.
"""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Change = tuple[tuple[str, int | None], ...]
"""Names of one folder that change in one step: the node that each then stands for, or None when it is gone."""
_ALL_UP_TO = 6


@dataclass
class Moment:
    """The state at one point of the work: what is safe, and what is not yet."""

    safe_names: dict[int, dict[str, int]]
    pending: dict[int, list[Change]]
    safe_content: dict[int, bytes]
    content: dict[int, bytes]
    folders: frozenset[int]
    promised: frozenset[str]


@dataclass
class Watch:
    """Follows the syncs, renames and deletions of this process below one folder; use `install` on a monkeypatch.

    A node is a number for a file or folder that is never given twice: file systems reuse the inodes of what is deleted.
    """

    root: Path
    moments: list[Moment] = field(default_factory=list)
    promised: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take what is there as safe."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._nodes: dict[int, int] = {}
        self._count = itertools.count()
        self._top = self._node(self.root.stat().st_ino)
        self._names: dict[int, dict[str, int]] = {self._top: {}}
        self._content: dict[int, bytes] = {}
        self._folders: set[int] = {self._top}
        self._safe_names: dict[int, dict[str, int]] = {self._top: {}}
        self._pending: dict[int, list[Change]] = {}
        self._safe_content: dict[int, bytes] = {}

    def install(self, put: Callable[[object, str, object], None]) -> None:
        """Replace the functions of `os` by ones that are watched."""
        for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
            put(os, name, self._watched(getattr(os, name)))
        real = os.fsync

        def fsync(descriptor: int) -> None:
            self._look()
            self._note()
            real(descriptor)
            self._synced(self._nodes.get(os.fstat(descriptor).st_ino))
            self._note()

        put(os, "fsync", fsync)

    def _watched(self, real: Callable[..., None]) -> Callable[..., None]:
        def operation(*arguments: object, **named: object) -> None:
            self._look()
            self._note()
            real(*arguments, **named)
            self._look()
            self._note()

        return operation

    def promise(self, name: str) -> None:
        """Note that the work has told its caller that this file is there for good."""
        self.promised.add(name)
        self._look()
        self._note()

    def _node(self, inode: int) -> int:
        return self._nodes.setdefault(inode, next(self._count))

    def _synced(self, node: int | None) -> None:
        if node in self._names:
            self._safe_names[node] = dict(self._names[node])
            self._pending[node] = []
        elif node in self._content:
            self._safe_content[node] = self._content[node]

    def _look(self) -> None:
        """Compare the folder with what it was; new names and new contents are not safe yet."""
        names: dict[int, dict[str, int]] = {}
        inodes: set[int] = set()
        for place, folders, files in os.walk(self.root):
            found = {name: Path(place, name).lstat().st_ino for name in (".", *folders, *files)}
            inodes.update(found.values())
            here = self._node(found.pop("."))
            names[here] = {name: self._node(inode) for name, inode in found.items()}
            self._folders |= {here, *(names[here][name] for name in folders)}
            for name in files:
                self._content[names[here][name]] = Path(place, name).read_bytes()
        for folder, entries in names.items():
            before = self._names.get(folder, {})
            changed = [
                (name, entries.get(name)) for name in {*before, *entries} if before.get(name) != entries.get(name)
            ]
            if changed:
                self._safe_names.setdefault(folder, {})
                self._pending.setdefault(folder, []).append(tuple(sorted(changed, key=lambda change: change[0])))
        self._names = names
        self._nodes = {inode: node for inode, node in self._nodes.items() if inode in inodes}

    def _note(self) -> None:
        self.moments.append(
            Moment(
                {folder: dict(entries) for folder, entries in self._safe_names.items()},
                {folder: list(changes) for folder, changes in self._pending.items()},
                dict(self._safe_content),
                dict(self._content),
                frozenset(self._folders),
                frozenset(self.promised),
            )
        )

    def states(self, rng: random.Random, most: int) -> Iterator[tuple[Moment, dict[str, bytes | None]]]:
        """Yield what may be found after a power cut at each moment: contents by name, None for a folder.

        All combinations where they are few, else `most` random ones, each moment's least and most lucky one included.
        """
        for moment in self.moments:
            for luck in _lucks(moment, rng, most):
                yield moment, _disk(moment, self._top, luck)


def _lucks(moment: Moment, rng: random.Random, most: int) -> Iterator[Callable[[object], int]]:
    open_names = [(folder, index) for folder, changes in moment.pending.items() for index in range(len(changes))]
    open_files = [node for node in moment.content if moment.content[node] != moment.safe_content.get(node)]
    choices: list[object] = [*open_names, *open_files]
    if len(choices) <= _ALL_UP_TO and 2 ** len(choices) <= most:
        for values in itertools.product((0, 1), repeat=len(choices)):
            yield dict(zip(choices, values, strict=True)).__getitem__
        return
    yield lambda choice: 0
    yield lambda choice: 1
    for _ in range(most - 2):
        drawn = {choice: rng.randrange(3) for choice in choices}
        yield drawn.__getitem__


def _disk(moment: Moment, top: int, luck: Callable[[object], int]) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}

    def fill(folder: int, prefix: str) -> None:
        entries = dict(moment.safe_names.get(folder, {}))
        for index, change in enumerate(moment.pending.get(folder, [])):
            if luck((folder, index)):
                for name, node in change:
                    if node is None:
                        entries.pop(name, None)
                    else:
                        entries[name] = node
        for name, node in entries.items():
            if node in moment.folders:
                found[prefix + name] = None
                fill(node, f"{prefix}{name}/")
            else:
                found[prefix + name] = _content(moment, node, luck)

    fill(top, "")
    return found


def _content(moment: Moment, node: int, luck: Callable[[object], int]) -> bytes:
    now, safe = moment.content[node], moment.safe_content.get(node)
    if now == safe:
        return now
    fate = luck(node)
    if fate == 1:
        return now
    # Half of it, the rest zeros, is what a file looks like whose length reached the disk before its blocks.
    return (safe or b"") if fate == 0 else now[: len(now) // 2] + bytes(len(now) - len(now) // 2)


def build(disk: dict[str, bytes | None], folder: Path) -> Path:
    """Lay out such a disk below a new folder."""
    folder.mkdir()
    for name, content in sorted(disk.items()):
        path = folder / name
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)
    return folder
