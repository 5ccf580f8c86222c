"""The command line: wrong words, wrong flags, JSON errors. Nothing is written by a command that fails."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.commands.verb import Outcome

RESULT = Path(__file__).parents[1] / "results" / "cifar10-baseline-slim-seed0.json"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("spilt", "did you mean split?"),
        ("run photos-sub5 --out {tmp}/r", "did you mean photos-sub4"),
        ("run", "name a recipe"),
        ("run photos-sub4", "--out is missing"),
        ("run photos-sub4 --out {tmp}/r --jobs 0", "jobs is 0"),
        ("run photos-sub4 --out {tmp}/r --epocs 3", "epocs"),
        ("run photos-sub4 --out {tmp}/r --epochs three", "epochs"),
        ("run photos-sub4 --out {tmp}/r --epochs -1", "epochs is -1"),
        ("run {tmp}/no.yaml --out {tmp}/r", "cannot read the configuration"),
        ("split --data no-such-set --out {tmp}/s", "no-such-set"),
        ("split --data photos", "--out is missing"),
        ("split --stride 7 --out {tmp}/s", "canvas"),
        ("train --out {tmp}/r --branch 9", "branch 9 does not exist"),
        ("verify {tmp}/nothing", "nothing"),
        ("fuse", "fuse"),
        ("fuse {tmp}/nothing", "is no run"),
        ("evaluate {tmp}/nothing", "is no run"),
        ("evaluate {tmp}/nothing --crops 5", "crops"),
        ("report", "name at least one run"),
        ("report {tmp}/nothing", "is no run"),
        ("data get", "name the set"),
        ("data get nope", "nope"),
    ],
)
def test_errors_for_the_user_in_words_and_as_json(command, message, tmp_path, capsys):
    argv = command.replace("{tmp}", str(tmp_path)).split()
    code = main(argv)
    said = capsys.readouterr()
    assert code in (2, 4)
    assert message in said.err + said.out
    assert "Traceback" not in said.err
    assert main([*argv, "--json"]) == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == code
    assert message in error["message"]
    assert "│" not in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_recipes_as_json(capsys):
    assert main(["recipes", "--json"]) == 0
    recipes = json.loads(capsys.readouterr().out)["recipes"]
    sub4 = next(recipe for recipe in recipes if recipe["name"] == "photos-sub4")
    assert sub4["bands"] == [[0], [1], [2], [3]]
    assert sub4["input_px"] == 112


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "the system says no"), 6),
        (OSError(errno.EROFS, "the system says no"), 2),
        (OSError(errno.EIO, "the system says no"), 1),
        # In the work itself, unlike where only printing fails.
        (BrokenPipeError(errno.EPIPE, "the system says no"), 1),
    ],
)
def test_an_error_of_the_system_has_the_code_of_its_kind(monkeypatch, capsys, error, code):
    def fail(_):
        raise error

    monkeypatch.setattr("bandwise.commands.recipes.main", fail)
    assert main(["recipes"]) == code
    assert "the system says no" in capsys.readouterr().err


def test_an_error_that_is_none_of_ours_is_not_taken_for_a_wrong_usage(monkeypatch):
    def fail(_):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("bandwise.commands.recipes.main", fail)
    with pytest.raises(ValueError, match="broadcast"):
        main(["recipes"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["reproduce", str(RESULT), "--out", "file"], "a part of this path is a file and not a folder"),
        (["report", "file"], "file is no run"),
    ],
)
def test_a_wrong_path_is_named_and_explained(argv, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Errno" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_that_the_terminal_cannot_show_is_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("bandwise.commands.recipes.main", lambda _: Outcome({}, "caf\u00e9 \udcff"))
    assert main(["recipes"]) == 0
    assert stream.buffer.getvalue() == b"caf\\xe9 \\udcff\n"


@pytest.mark.parametrize(("command", "code"), [("--help", 0), ("split --data nowhere", 2), ("split", 0)])
def test_a_reader_that_goes_away_changes_nothing_but_what_is_printed(command, code, tmp_path):
    """As in `bandwise split ... 2>&1 | true`."""
    make_folder(tmp_path / "photographs", classes=2, train=4, val=1, side=16)
    argv = [sys.executable, "-m", "bandwise", *command.split()]
    if command == "split":
        argv += ["--data", "photographs", "--out", "store", "--canvas", "16", "--workers", "1"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert subprocess.run(argv, cwd=tmp_path, stdout=writer, stderr=writer).returncode == code
    finally:
        os.close(writer)
    assert (tmp_path / "store" / "MANIFEST.json").exists() == (command == "split")
