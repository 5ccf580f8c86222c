"""The command line: help, wrong words, wrong flags, JSON errors. Nothing is written by a command that fails."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bandwise.cli import VERBS, main
from bandwise.commands.verb import Outcome

RESULT = Path(__file__).parents[1] / "results" / "cifar10-baseline-slim-seed0.json"


def test_help_names_every_verb(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert verb in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"bandwise {verb}" in text
    assert "--json" in text


def test_a_wrong_verb_suggests_the_nearest(capsys):
    assert main(["spilt"]) == 2
    assert "did you mean split?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "photos-sub5", "--out", "{tmp}/r"], "did you mean photos-sub4"),
        (["run"], "name a recipe"),
        (["run", "photos-sub4"], "--out is missing"),
        (["run", "photos-sub4", "--out", "{tmp}/r", "--jobs", "0"], "jobs is 0"),
        (["run", "{tmp}/no.yaml", "--out", "{tmp}/r"], "cannot read the configuration"),
        (["split", "--data", "no-such-set", "--out", "{tmp}/s"], "no-such-set"),
        (["split", "--data", "photos"], "--out is missing"),
        (["train", "--out", "{tmp}/r", "--branch", "9"], "branch 9 does not exist"),
        (["verify", "{tmp}/nothing"], "nothing"),
        (["fuse", "{tmp}/nothing"], "is no run"),
        (["evaluate", "{tmp}/nothing"], "is no run"),
        (["report"], "name at least one run"),
        (["data", "get"], "name the set"),
        (["data", "get", "nope"], "nope"),
    ],
)
def test_errors_for_the_user(argv, message, tmp_path, capsys):
    code = main([part.replace("{tmp}", str(tmp_path)) for part in argv])
    captured = capsys.readouterr()
    assert code in (2, 4)
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "photos-sub4", "--out", "x", "--epocs", "3"], "epocs"),
        (["run", "photos-sub4", "--out", "x", "--epochs", "three"], "epochs"),
        (["run", "photos-sub4", "--out", "x", "--epochs", "-1"], "epochs"),
        (["run", "photos-sub4", "--out", "x", "--lr", "nan"], "lr"),
        (["split", "--stride", "7", "--out", "x"], "canvas"),
        (["split", "--codec", "jpeg", "--out", "x"], "codec"),
        (["evaluate", "x", "--crops", "5"], "crops"),
    ],
)
def test_wrong_flags_exit_with_2(argv, message, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert message in (captured.err + captured.out)


def test_errors_are_json_too(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "UsageError"
    assert error["exit_code"] == 2


def test_recipes_as_json(capsys):
    assert main(["recipes", "--json"]) == 0
    recipes = json.loads(capsys.readouterr().out)["recipes"]
    sub4 = next(recipe for recipe in recipes if recipe["name"] == "photos-sub4")
    assert sub4["bands"] == [[0], [1], [2], [3]]
    assert sub4["input_px"] == 112


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "photos-sub4", "--out", "x", "--epochs", "-1"], "epochs is -1"),
        (["split", "--nope"], "--nope"),
        (["fuse"], "fuse"),
        (["spilt"], "did you mean split?"),
    ],
)
def test_wrong_words_and_flags_are_json_too(argv, message, capsys):
    assert main([*argv, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 2
    assert message in error["message"]
    assert "│" not in error["message"]


def test_a_report_of_no_run_writes_nothing(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "is no run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 6), (errno.EROFS, 2), (errno.EIO, 1)])
def test_an_error_of_the_system_has_the_code_of_its_kind(monkeypatch, capsys, number, code):
    def fail(_):
        raise OSError(number, "the system says no")

    monkeypatch.setattr("bandwise.commands.recipes.main", fail)
    assert main(["recipes"]) == code
    assert "the system says no" in capsys.readouterr().err


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


@pytest.fixture(name="closed_pipe")
def closed_pipe_():
    """The writing end of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("argv", [["recipes"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(closed_pipe, argv):
    done = subprocess.run([sys.executable, "-m", "bandwise", *argv], stdout=closed_pipe, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_goes_away_stops_no_work(closed_pipe, tmp_path):
    """As in `bandwise split ... 2>&1 | true`: what is printed is lost, and nothing else."""
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "in" / name / f"{number}.png")
    command = [sys.executable, "-m", "bandwise", "split", "--data", tmp_path / "in", "--out", tmp_path / "store"]
    done = subprocess.run([*command, "--canvas", "16", "--workers", "1"], stdout=closed_pipe, stderr=closed_pipe)
    assert done.returncode == 0
    assert (tmp_path / "store" / "MANIFEST.json").exists()


def test_a_failure_keeps_its_code_where_nobody_reads(closed_pipe, tmp_path):
    command = [sys.executable, "-m", "bandwise", "evaluate", tmp_path]
    assert subprocess.run(command, stdout=closed_pipe, stderr=closed_pipe).returncode == 2


def test_a_pipe_that_breaks_in_the_work_is_no_success(monkeypatch, capsys):
    def fail(_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("bandwise.commands.recipes.main", fail)
    assert main(["recipes"]) == 1
    assert "Broken pipe" in capsys.readouterr().err


def test_an_error_that_is_none_of_ours_is_not_taken_for_a_wrong_usage(monkeypatch):
    def fail(_):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("bandwise.commands.recipes.main", fail)
    with pytest.raises(ValueError, match="broadcast"):
        main(["recipes"])
