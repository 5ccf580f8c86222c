"""`bandwise completion bash|zsh|fish`: what a shell needs to complete commands, options and recipes."""

import contextlib
import importlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import tyro

from bandwise.commands import flags
from bandwise.commands.help import HELP
from bandwise.commands.verb import Outcome, parse
from bandwise.recipes.catalog import all_recipes

Shell = Literal["bash", "zsh", "fish"]
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_SHELLS = {
    "bash": """\
_bandwise() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words=
  if [ "$COMP_CWORD" -eq 1 ]; then words="{verbs}"
  elif [[ $word == -* ]]; then
    case ${{COMP_WORDS[1]}} in
{options}
    esac
  elif [ "$COMP_CWORD" -eq 2 ]; then
    case ${{COMP_WORDS[1]}} in {with_recipe}) words="{recipes}" ;; completion) words="{shells}" ;; esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -o bashdefault -F _bandwise bandwise""",
    "zsh": """\
#compdef bandwise
_bandwise() {{
  if (( CURRENT == 2 )); then compadd -- {verbs}; return; fi
  if [[ $PREFIX == -* ]]; then
    local words_of=
    case $words[2] in
{options}
    esac
    compadd -- ${{=words_of}}; return
  fi
  if (( CURRENT == 3 )); then
    case $words[2] in {with_recipe}) compadd -- {recipes} ;; completion) compadd -- {shells}; return ;; esac
  fi
  _files
}}
if [ "$funcstack[1]" = "_bandwise" ]; then _bandwise "$@"; else compdef _bandwise bandwise; fi""",
    "fish": """\
complete -c bandwise -n __fish_use_subcommand -f -a '{verbs}'
complete -c bandwise -n '__fish_seen_subcommand_from {with_recipe}' -a '{recipes}'
complete -c bandwise -n '__fish_seen_subcommand_from completion' -f -a '{shells}'
{options}""",
}
_OPTIONS = {
    "bash": '      {verb}) words="{options}" ;;',
    "zsh": '      {verb}) words_of="{options}" ;;',
    "fish": "complete -c bandwise -n '__fish_seen_subcommand_from {verb}' -a '{options}'",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Print a script that completes commands, options and recipes."""

    shell: Annotated[Shell, tyro.conf.Positional]
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    shell = parse(Arguments, argv, "completion").shell
    options = [_OPTIONS[shell].format(verb=verb, options=" ".join(options_of(verb))) for verb in HELP]
    with_recipe = [verb for verb, shown in HELP.items() if shown.takes.lstrip("[").startswith("RECIPE")]
    script = _SHELLS[shell].format(
        verbs=" ".join(HELP),
        options="\n".join(options),
        with_recipe=(" " if shell == "fish" else "|").join([*with_recipe, "recipes"]),
        recipes=" ".join(all_recipes()),
        shells=" ".join(get_args(Shell)),
    )
    return Outcome({"shell": shell, "script": script}, script)


def options_of(verb: str) -> list[str]:
    """Return all options of a command, in the order of `--help-all`, which is the only list of them that tyro gives."""
    # Its encoding decides how tyro draws the table.
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        importlib.import_module(f"bandwise.commands.{verb}").main(["--help"])
    shown.seek(0)
    heads = (line[2:] for line in shown if line.startswith("│ -"))
    found = (option for line in heads for option in _OPTION.findall(line.split("  ")[0]))
    return [*dict.fromkeys(found), "--help-all", "--quiet"]
