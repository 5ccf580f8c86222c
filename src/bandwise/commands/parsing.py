"""Flags in two passes: the recipe and `--config FILE` give the defaults, flags change them."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from bandwise.config import RunConfig
from bandwise.config.configfile import merge, read_config_file
from bandwise.errors import UsageError
from bandwise.recipes.catalog import find_recipe
from bandwise.runs.run import open_run

Arguments = TypeVar("Arguments")

_CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


def parse(arguments: type[Arguments], argv: Sequence[str], verb: str, default: Arguments | None = None) -> Arguments:
    """Read the flags of one verb into its dataclass.

    Nested fields lose their prefix, so `split.stride` is `--stride`. A wrong flag ends the program with exit code 2.

    Raises:
        UsageError: a wrong flag beside `--json`, whose reader expects an object; otherwise tyro shows it and exits.
    """
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    options: dict[str, Any] = {"args": list(argv), "prog": f"bandwise {verb}", "config": markers}
    if default is not None:
        options["default"] = default
    if "--json" not in argv:
        return tyro.cli(arguments, **options)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(arguments, **options)
    except SystemExit as error:
        if not error.code:
            raise
        raise UsageError(_without_box(said.getvalue())) from error


def _without_box(text: str) -> str:
    """Return as one line what tyro draws as a box."""
    lines = (line.strip("╭╮╰╯│─ ") for line in text.splitlines())
    return " ".join(line for line in lines if line)


def take_recipe(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Separate a leading recipe name or file from the flags."""
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    return None, list(argv)


def value_of(flag: str, argv: Sequence[str]) -> str | None:
    """Return what the first pass needs of one flag, given as `--flag value` or `--flag=value`."""
    for index, token in enumerate(argv):
        name, equals, value = token.partition("=")
        # tyro takes `--recipe_set` for `--recipe-set`.
        if name.replace("_", "-") != flag:
            continue
        if equals:
            return value
        if index + 1 < len(argv):
            return argv[index + 1]
    return None


def base_config(recipe: str | None, argv: Sequence[str], *, resume_from: Path | None = None) -> RunConfig:
    """Return the configuration that the flags change: the recipe, else the run that exists, else the defaults.

    `--recipe-set` changes that, and `--config FILE` is merged over both.

    Raises:
        UsageError: no such recipe or recipe set, or the file cannot be read.
    """
    if recipe is not None and recipe.endswith(_CONFIG_SUFFIXES):
        config = merge(RunConfig(name=Path(recipe).stem), read_config_file(Path(recipe)))
    elif recipe is not None:
        config = find_recipe(recipe).config
    elif resume_from is not None and (resume_from / "run.json").exists():
        config = open_run(resume_from).config
    else:
        config = RunConfig()
    name = value_of("--recipe-set", argv)
    if name:
        from bandwise.recipes.sets import find_set

        config = find_set(name).apply(config)
    file = value_of("--config", argv)
    return config if file is None else merge(config, read_config_file(Path(file)))


def require_out(out: Path | None) -> Path:
    """Return the output folder with `~` resolved.

    Raises:
        UsageError: none was given.
    """
    if out is None:
        raise UsageError("--out is missing; name the folder to write to")
    return out.expanduser()
