"""What every verb has: flags in, an outcome out.

Flags are read in two passes: the recipe and `--config FILE` give the defaults, flags change them.
"""

import contextlib
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from bandwise.config import RunConfig
from bandwise.config.configfile import merge, read_config_file
from bandwise.errors import TooManyBadInputs, UsageError
from bandwise.recipes.catalog import find_recipe
from bandwise.runs.documents import SCORES, Results, Scores
from bandwise.runs.run import RUN_NAME, open_run

Arguments = TypeVar("Arguments")

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


def parse(arguments: type[Arguments], argv: Sequence[str], verb: str, default: Arguments | None = None) -> Arguments:
    """Read the flags of one verb into its dataclass.

    Nested fields lose their prefix, so `split.stride` is `--stride`. A wrong flag ends the program with exit code 2;
    beside `--json`, whose reader expects an object, it is a `UsageError`.
    """
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    if (data := value_of("--data", argv)) is not None and value_of("--source", argv) is None:
        # Here, so that other commands do not wait for the sources.
        from bandwise.sources.resolve import require_one_meaning

        require_one_meaning(data)
    options: dict[str, Any] = {"args": list(argv), "prog": f"bandwise {verb}", "config": markers}
    if default is not None:
        options["default"] = default
    if "--json" not in argv:
        return tyro.cli(arguments, **options)
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(arguments, **options)
    except SystemExit as error:
        if not error.code:
            raise
        raise UsageError(_without_box(captured.getvalue())) from error


def _without_box(text: str) -> str:
    """Return as one line what tyro draws as a box."""
    lines = (line.strip("╭╮╰╯│─ ") for line in text.splitlines())
    return " ".join(line for line in lines if line)


def take_recipe(argv: Sequence[str], *, required: str = "") -> tuple[str | None, list[str]]:
    """Separate a leading recipe name or file from the flags; `required` is how a verb is called that needs one."""
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    if required and not {"-h", "--help"} & set(argv):
        raise UsageError(f"name a recipe (see `bandwise recipes`) or a YAML file first: {required}")
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


def base_config(recipe: str | None, argv: Sequence[str], *, resume: bool = False) -> RunConfig:
    """Return the configuration that the flags change: the recipe, else the run in `--out` to resume, else the defaults.

    `--recipe-set` changes that, and `--config FILE` is merged over both.
    """
    if recipe is not None and recipe.endswith(CONFIG_SUFFIXES):
        config = merge(RunConfig(name=Path(recipe).stem), read_config_file(Path(recipe)))
    elif recipe is not None:
        config = find_recipe(recipe).config
    elif resume and (out := value_of("--out", argv)) and (Path(out).expanduser() / RUN_NAME).exists():
        config = open_run(Path(out).expanduser()).config
    else:
        config = RunConfig()
    if name := value_of("--recipe-set", argv):
        from bandwise.recipes.sets import find_set

        config = find_set(name).apply(config)
    file = value_of("--config", argv)
    return config if file is None else merge(config, read_config_file(Path(file)))


def require_out(out: Path | None) -> Path:
    """Return the output folder with `~` resolved; none is a `UsageError`."""
    if out is None:
        raise UsageError("--out is missing; name the folder to write to")
    return out.expanduser()


def own_store(store: Path | None) -> Path | None:
    """Return the folder of a store that was named, with `~` resolved; None where the run has its own."""
    return None if store is None else store.expanduser()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one command."""

    result: dict[str, Any]
    """Printed as one JSON object with `--json`."""
    text: str
    """Printed otherwise; empty where a command has printed all it had to say."""
    exit_code: int = 0
    """0, or the code of a command that finished its work and still has something to report."""


def command(*words: object) -> str:
    """Return a command of ours as a shell takes it, also where a path has blanks."""
    return shlex.join(["bandwise", *map(str, words)])


def wrote(what: Path, *following: object) -> str:
    """Return the last line of a command that has written something, with the words of the command that comes next."""
    return f"wrote {what}; next: {command(*following)}"


def percent(fraction: float) -> str:
    """Write an accuracy as people read it: `71.23 %`."""
    return f"{100 * fraction:.2f} %"


def evaluation_outcome(results: Results, max_bad: int) -> Outcome:
    """Show results as a table; more unreadable images than allowed give exit code 3."""
    code = TooManyBadInputs.exit_code if results.n_total - results.n_eval > max_bad else 0
    return Outcome(results.to_dict(), results_text(results), code)


def results_text(results: Results) -> str:
    """Lay out the figures of one run for a terminal."""
    crops = "centre crop" if results.crops == 1 else f"{results.crops} crops (from {results.views})"
    lines = [
        f"{results.name}: {results.n_eval} of {results.n_total} reported images, {len(results.data.classes)} classes, "
        f"{crops}",
        _line(""),
    ]
    for entry in results.branches:
        bands = ",".join(map(str, entry.bands))
        note = "  (low-resolution control)" if results.config["split"]["stride"] > 1 and bands == "0" else ""
        lines.append(_line(f"branch {entry.branch}, bands {bands}", entry) + note)
    for rule, entry in results.rules.items():
        if rule != results.fusion.rule:
            lines.append(_line(f"fused, {rule}", entry))
    lines.append(_line(f"fused, {results.fusion.rule}", results.fused) + "  (the result)")
    best = results.reference.best_branch
    lines.append(
        f"  best branch on the holdout: {best.branch}, {percent(best.top1)} here"
        if best.chosen_on
        else "  without a holdout nothing was fitted, and no branch is the best"
    )
    return "\n".join(lines)


def _line(name: str, scores: Scores | None = None) -> str:
    """Return a line of the table of results; without scores, its head."""
    line = f"  {name:<22}"
    for score in SCORES:
        accuracy = score.kind == "accuracy"
        if scores is None:
            cell = score.name
        else:
            value = getattr(scores, score.key)
            cell = percent(value) if accuracy else f"{value:.3f}"
        line += f"{cell:>{9 if accuracy else 8}}"
    return line
