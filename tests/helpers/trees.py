"""What lies in a folder, for comparing stores byte by byte."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def temporaries(folder: Path) -> list[str]:
    return [name for name in tree(folder) if "/.tmp-" in f"/{name}"]


def start_python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a program that can import `tests.helpers.arrays`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_python(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with start_python(code, *arguments) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
