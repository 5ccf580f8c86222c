"""The command line: `bandwise VERB ...`.

Exit codes: 0 ok, 1 unexpected, 2 usage or configuration, 3 too many bad inputs, 4 corruption of our files, 5 locked,
6 no space, 7 incompatible version or sample list, 75 preempted and resumable.
"""

import contextlib
import errno
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from bandwise.commands.help import help_text
from bandwise.errors import BandwiseError, NoSpaceError, Preempted, UsageError
from bandwise.progress import QUIET, show
from bandwise.signals import exit_resumable
from bandwise.version import __version__

VERBS = {
    "demo": "the main job on the embedded photographs, beside its controls",
    "run": "split, train, fuse, evaluate and report one recipe",
    "launch": "train the branches of a prepared run, on this machine or others",
    "status": "where the branches of a run stand",
    "recipes": "list the recipes, with cost and expected result",
    "plan": "what a recipe needs: memory, batch, bytes, multiply-adds, hours",
    "data": "list or fetch the named data sets",
    "split": "write the sub-datasets of an image set",
    "verify": "check every byte of a run or a store, mend what is damaged",
    "reconstruct": "invert the stored bands and measure the error",
    "train": "train one branch or all of them; resumes by itself",
    "collect": "bring branches from other machines into one run",
    "push": "copy a run or a store to an object store, or publish it",
    "fuse": "fit the fusion rule on the holdout",
    "evaluate": "score every branch and the fusion on the reported set",
    "predict": "classify files and folders",
    "export": "write a model to publish or to use elsewhere",
    "reproduce": "repeat a recorded result and compare every figure",
    "report": "write the HTML and Markdown report of one run or several",
    "doctor": "examine this machine, rehearse a training that is killed",
    "completion": "what a shell needs to complete commands, options and recipes",
}
_LESS_OFTEN = ("data", "verify", "reconstruct", "reproduce", "doctor", "completion")
_EXIT_UNEXPECTED = 1
_LONGEST_PATH = 200
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
# What a wrong path or a wrong permission gives, and what to do; running the same command again cannot help.
_UNUSABLE = {
    errno.EACCES: "this user may not use it; name another path or change its permissions",
    errno.EEXIST: "it exists already and is of another kind; name another path",
    errno.EISDIR: "it is a folder where a file is wanted; name a file",
    errno.ELOOP: "its links lead in a circle; name another path",
    errno.ENAMETOOLONG: "its name is too long for this file system; name a shorter path",
    errno.ENOENT: "it, or the folder that it lies in, does not exist; name one that does, or make the folder",
    errno.ENOTDIR: "a part of this path is a file and not a folder; name another path",
    errno.ENOTEMPTY: "the folder is not empty; name another path",
    errno.EPERM: "this user may not use it; name another path or change its permissions",
    errno.EROFS: "the file system can only be read; name another path",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, that of this process where `argv` is None, and return its exit code."""
    if argv is None:
        exit_resumable()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        show(_usage(), sys.stdout)
        return 0
    if arguments[0] == "--version":
        show(f"bandwise {__version__}", sys.stdout)
        return 0
    if os.environ.get("NO_COLOR"):
        # tyro looks at nothing else, when it is imported.
        os.environ.setdefault("PYTHON_TYRO_ANSI_CODES", "False")
    verb, rest = arguments[0], [word for word in arguments[1:] if word != "--quiet"]
    if verb not in VERBS:
        close = get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the verbs are {', '.join(VERBS)}"
        return _fail("", "UsageError", f"there is no command {verb!r}; {hint}", 2, "--json" in rest)
    if {"-h", "--help"} & set(rest):
        show(help_text(verb), sys.stdout)
        return 0
    # tyro knows all options, and shows them for its own flag.
    with _quiet() if "--quiet" in arguments else contextlib.nullcontext():
        return _execute(verb, ["--help" if word == "--help-all" else word for word in rest])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Print results, warnings and errors only, in this process and in those that it starts."""
    before = os.environ.get(QUIET, "")
    os.environ[QUIET] = "1"
    try:
        yield
    finally:
        os.environ[QUIET] = before


def _execute(verb: str, rest: list[str]) -> int:
    as_json = "--json" in rest
    try:
        outcome = importlib.import_module(f"bandwise.commands.{verb}").main(rest)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    except KeyboardInterrupt:
        return _fail(verb, "Interrupted", "interrupted; the same command resumes", Preempted.exit_code, as_json)
    except BandwiseError as error:
        return _fail(verb, type(error).__name__, str(error), error.exit_code, as_json)
    except OSError as error:
        if os.environ.get("BANDWISE_TRACEBACK"):
            raise
        return _fail(verb, type(error).__name__, _explained(error), _exit_code(error), as_json)
    text = json.dumps(outcome.result, sort_keys=True, allow_nan=False) if as_json else outcome.text
    if text:
        show(text, sys.stdout)
    return outcome.exit_code


def _exit_code(error: OSError) -> int:
    if error.errno in _DISK_FULL:
        return NoSpaceError.exit_code
    return UsageError.exit_code if error.errno in _UNUSABLE else _EXIT_UNEXPECTED


def _explained(error: OSError) -> str:
    """Say which path it was and what to do, where the system's own words say neither."""
    advice = _UNUSABLE.get(error.errno or 0)
    if advice is None or error.filename is None:
        return str(error)
    path = str(error.filename)
    shown = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..."
    return f"{shown}: {advice}"


def _fail(verb: str, kind: str, message: str, code: int, as_json: bool) -> int:
    if as_json:
        show(json.dumps({"error": {"type": kind, "message": message, "exit_code": code}}, sort_keys=True), sys.stdout)
    show(f"bandwise {verb}".rstrip() + f": {message}", sys.stderr)
    return code


def _usage() -> str:
    often = {verb: text for verb, text in VERBS.items() if verb not in _LESS_OFTEN}
    width = max(map(len, often))
    return "\n".join(
        [
            "usage: bandwise COMMAND [...]",
            "",
            "Split images into spectral sub-bands, train one network per band, fuse them.",
            "",
            *(f"  {verb:<{width}}  {text}" for verb, text in often.items()),
            "",
            f"less often: {', '.join(_LESS_OFTEN)}",
            "example: bandwise demo, which shows it all in ten minutes",
            "one command: bandwise COMMAND --help, and all its options: --help-all",
            "any command: --json prints one object, --quiet no progress",
        ]
    )
