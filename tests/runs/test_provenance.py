"""The commit that results name: that of the checkout that holds the package, wherever in it the code lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bandwise

ASK = "from bandwise.runs.provenance import source_commit; print(source_commit())"


def _git(folder: Path, *argv: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *argv], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _commit(source: Path) -> str:
    surroundings = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=surroundings)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(Path(bandwise.__file__).parent, project / "src/bandwise", ignore=shutil.ignore_patterns("*.pyc"))
    _git(tmp_path, "init", "-q", "project")
    (project / ".gitignore").write_text("__pycache__\n")
    _git(project, "add", ".")
    _git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    head = _git(project, "rev-parse", "HEAD")
    assert _commit(project / "src") == head
    version = project / "src/bandwise/version.py"
    version.write_text(version.read_text() + "# changed\n")
    assert _commit(project / "src") == f"{head}+"


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_no_commit_of_a_project_that_only_surrounds_the_package(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q", "other")
    site = tmp_path / "other/venv/lib/python/site-packages"
    shutil.copytree(Path(bandwise.__file__).parent, site / "bandwise")
    (tmp_path / "other/file").write_text("theirs")
    _git(tmp_path / "other", "add", "file")
    _git(tmp_path / "other", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    assert _commit(site) == "None"
