"""What leaves a machine: a split names none, and the training of a branch opens no socket."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers.trees import ROOT, tree
from tests.launch.conftest import CONFIG
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.files.locks import folder_lock
from bandwise.runs.run import create_run

# For every Python that is started: each event of a socket is written down.
AUDIT = """
import pathlib, sys
_log = open(pathlib.Path(__file__).with_name("events"), "a", buffering=1)
sys.addaudithook(lambda event, args: event.startswith("socket.") and _log.write(event + "\\n"))
"""
# The lock of a folder names its holder by it; nothing is sent or asked.
ALLOWED = {"socket.gethostname"}


@pytest.fixture
def audited(tmp_path):
    """Return what runs a command and returns the events of sockets in it and in what it started."""
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "sitecustomize.py").write_text(AUDIT)

    def run(*command: str) -> set[str]:
        path = f"{tmp_path / 'audit'}{os.pathsep}{ROOT / 'src'}"
        done = subprocess.run(
            [sys.executable, *command], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return set((tmp_path / "audit" / "events").read_text().split())

    return run


def test_a_branch_opens_no_socket(audited, finished, tmp_path):
    run = create_run(tmp_path / "run", CONFIG, finished / "store")
    events = audited("-m", "bandwise", "train", "--out", str(run.path), "--branch", "1")
    assert (run.branch_folder(1) / "summary.json").exists()
    assert len(list(run.path.glob("logits/*/branch-01.safetensors"))) == 2
    assert events <= ALLOWED


@pytest.mark.parametrize("what", ["socket.socket()", "socket.getaddrinfo('localhost', 80)", "socket.socketpair()"])
def test_a_socket_would_be_seen(audited, what):
    assert audited("-c", f"import socket; {what}") - ALLOWED


@pytest.mark.parametrize("codec", ["zstd", "webp"])
def test_a_split_prints_and_stores_nothing_that_names_a_machine(tmp_path, monkeypatch, capfd, codec):
    stores = {}
    for number, name in enumerate(("lonely-harbour", "quiet-orchard")):
        folder = tmp_path / name
        make_folder(folder / "pictures", classes=2, train=8, val=2, side=24)
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        monkeypatch.setattr(os, "uname", lambda name=name: os.uname_result(("Linux", name, "6", "1", "x86_64")))
        for variable in ("USER", "LOGNAME", "HOSTNAME"):
            monkeypatch.setenv(variable, name)
        monkeypatch.chdir(folder)
        flags = ["--canvas", "24", "--stride", "2", "--codec", codec, "--workers", str(number + 1)]
        assert main(["split", "--data", "pictures", "--out", "store", *flags]) == 0
        said = capfd.readouterr()
        assert name not in said.out + said.err
        content = b"".join(path.read_bytes() for path in Path("store").rglob("*") if path.is_file())
        assert name.encode() not in content
        stores[name] = tree(Path("store"))
    first, second = stores.values()
    assert first == second
    assert "MANIFEST.json" in first


def test_a_lock_names_its_machine_while_it_is_held(tmp_path, monkeypatch):
    """Negative control: the name that is looked for is one that a file of ours would have."""
    monkeypatch.setattr(socket, "gethostname", lambda: "lonely-harbour")
    with folder_lock(tmp_path):
        assert b"lonely-harbour" in (tmp_path / ".lock").read_bytes()
    assert not list(tmp_path.iterdir())
