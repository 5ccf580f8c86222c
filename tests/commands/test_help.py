"""`--help` of every command fits a screen, names options that exist, and shows an example that runs."""

import re
import shlex
from dataclasses import replace

import pytest
from tests.pictures import make_folder

from bandwise.cli import VERBS, main
from bandwise.commands import demo, verb
from bandwise.commands.help import HELP
from bandwise.config import AugmentConfig, DataConfig, FusionConfig, NetworkConfig, SplitConfig, TrainingConfig
from bandwise.recipes.catalog import find_recipe


def screen(capsys, *argv: str) -> str:
    """Return what a command prints, which must fit a terminal."""
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    return text


@pytest.mark.parametrize("name", VERBS)
def test_it_fits_a_screen_and_names_options_that_exist(name, capsys):
    assert name in screen(capsys, "--help").replace(",", " ").split()
    text = screen(capsys, name, "--help")
    assert text.startswith(f"usage: bandwise {name} ")
    assert f"\nexample: bandwise {name} " in text
    assert screen(capsys, name, "-h") == text
    assert main([name, "--help-all"]) == 0
    options = capsys.readouterr().out.replace(",", " ").split()
    missing = {flag.split()[0] for flag in (*HELP[name].flags, "--json")} - set(options)
    assert not missing


# Each after those whose output it needs; a run is repeated before it is fused in another way.
ORDER = ("demo", "data", "recipes", "plan", "run", "launch", "status", "train", "collect", "reproduce")
ORDER += (
    "fuse",
    "evaluate",
    "predict",
    "verify",
    "split",
    "push",
    "reconstruct",
    "report",
    "export",
    "doctor",
    "completion",
)

WRITING = {"demo", "run", "train", "reproduce", "fuse", "evaluate", "split", "push", "report", "export"}
"""Whose last line says what was written, and the command that comes next."""


def tiny(name: str):
    """Return a recipe; of one of the photographs only the split and the branches are left as they are."""
    recipe = find_recipe(name)
    if not name.startswith("photos"):
        return recipe
    split = recipe.config.split
    config = replace(
        recipe.config,
        data=DataConfig(data="pictures"),
        split=SplitConfig(stride=split.stride, transform=split.transform, canvas=16, holdout=0.2),
        network=NetworkConfig(model="resnet8-slim", stem="dense"),
        training=TrainingConfig(crop=16, epochs=1, batch_size=8),
        augment=AugmentConfig(),
        fusion=FusionConfig(),
    )
    return replace(recipe, config=config)


def test_every_example_runs(tmp_path, monkeypatch, capsys):
    """One after another, in a folder with some pictures, as a user would; recipes of photographs are made small."""
    assert set(ORDER) == set(HELP) == set(VERBS)
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "pictures", classes=2, train=12, val=3, side=16)
    # On one core nothing starts processes, which takes longer than the work.
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    for module in (verb, demo):
        monkeypatch.setattr(module, "find_recipe", tiny)
    for name in ORDER:
        example = HELP[name].example
        assert example.startswith(name)
        code = main(shlex.split(example))
        said = capsys.readouterr()
        assert code == 0, said.err
        assert said.out
        if name in WRITING:
            last = said.out.splitlines()[-1]
            assert re.search(r"wrote .*; next: bandwise [a-z]+ |^next: |bytes sent; use: bandwise ", last), last
