"""The command line: help, wrong words, wrong flags, JSON errors. Nothing is written by a command that fails."""

import json

import pytest

from bandwise.cli import VERBS, main


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
