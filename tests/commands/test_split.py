"""`bandwise split`: the command that it names next works as it stands."""

import shlex

import pytest
from tests.pictures import make_folder

from bandwise.cli import main


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--stride", "4", "--canvas", "64"], "--stride 4 --canvas 64 --crop 56"),
        (
            ["--canvas", "36", "--transform", "hadamard", "--bands", "3"],
            "--transform hadamard --canvas 36 --crop 30 --branch 3",
        ),
        (["tiny.yaml", "--holdout", "0.25"], "--holdout 0.25"),
    ],
)
def test_what_is_named_next_trains(flags, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "pictures", classes=2, train=40, val=3, side=24)
    (tmp_path / "tiny.yaml").write_text("split: {canvas: 24}\ntraining: {crop: 20}")
    argv = [*flags[: not flags[0].startswith("-")], "--data", "pictures", "--out", "a store", "--workers", "1"]
    assert main(["split", *argv, *flags[not flags[0].startswith("-") :]]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    command = last.partition("; next: bandwise ")[2]
    assert command.endswith(f"--out RUN --store 'a store' {expected}")
    light = ["--model", "resnet8-slim", "--stem", "dense", "--epochs", "1", "--device", "cpu"]
    branch = [] if "--branch" in command else ["--branch", "0"]
    assert main([*shlex.split(command), *light, *branch]) == 0
