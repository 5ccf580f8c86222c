"""`bandwise status RUN`: where the branches of a run stand."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, command, parse, percent
from bandwise.errors import CorruptionError, UsageError
from bandwise.launch.status import BranchStatus, run_status, train_next
from bandwise.progress import show
from bandwise.report.units import points
from bandwise.runs.documents import Results, read_results
from bandwise.runs.run import Run, open_run
from bandwise.signals import stop_requested

_PAUSE_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Show where the branches of a run stand, from its files alone: on any machine that sees them."""

    run: flags.RunFolder
    watch: bool = False
    """Show it again and again, until every branch is finished."""
    every: float = 10.0
    """Seconds from one look to the next."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "status")
    if arguments.every <= 0:
        raise UsageError(f"every is {arguments.every:g}; it must be more than 0 seconds")
    run = open_run(arguments.run)
    found = run_status(run)
    with stop_requested() as received:
        while arguments.watch and received() is None and any(each.state != "finished" for each in found):
            show(
                f"{time.strftime('%H:%M:%S')}  {_text(run, found, train_next(run, found), _results(run))}\n", sys.stderr
            )
            looked = time.monotonic()
            while time.monotonic() < looked + arguments.every and received() is None:
                time.sleep(_PAUSE_S)
            found = run_status(run)
    following, results = train_next(run, found), _results(run)
    result = {"run": str(run.path), "branches": [asdict(each) for each in found], "train_next": following}
    return Outcome({**result, "top1_gain": _gains(results)}, _text(run, found, following, results))


def _text(run: Run, found: list[BranchStatus], following: int | None, results: Results | None) -> str:
    counts = [f"{sum(each.state == state for each in found)} {state}" for state in _states(found)]
    lines = [f"{run.config.name}: {len(found)} branches, {', '.join(counts)}", _HEAD, *map(_line, found)]
    arrived = [each.branch for each in found if each.state == "finished"]
    if results is not None and {own.branch for own in results.branches} == set(arrived):
        lines.append(f"fused, {results.fusion.rule}: {percent(results.fused.top1)} of {results.n_eval} reported images")
        if gains := _gains(results):
            added = ", ".join(f"{branch}: {points(gain)}" for branch, gain in gains.items())
            lines.append(f"of which in points each branch adds, {added}")
    elif len(arrived) == len(found):
        lines.append(f"all are trained: {command('fuse', run.path)}; {command('evaluate', run.path)}")
    elif arrived:
        lines.append(f"arrived so far: {command('fuse', run.path, '--use', ','.join(map(str, arrived)))}")
    if following is not None:
        lines.append(f"to train next: {command('train', '--out', run.path, '--branch', following)}")
    return "\n".join(lines)


def _results(run: Run) -> Results | None:
    """Return how good the fusion of some branches was found to be; None where that is not known."""
    path = run.results_path()
    with suppress(CorruptionError):
        return read_results(path) if path.exists() else None
    return None


def _gains(results: Results | None) -> dict[int, float]:
    """Return the accuracy that each branch adds to the others, where there are others."""
    left_out = () if results is None else results.leave_one_out or ()
    return {own.branch: own.top1_gain for own in left_out if own.top1_gain is not None}


def _states(found: list[BranchStatus]) -> list[str]:
    return list(dict.fromkeys(each.state for each in found))


_COLUMNS = "{:>6}  {:<9} {:>15} {:>7} {:>8} {:>9} {:>9} {:>9}  {}"
_HEAD = _COLUMNS.format("branch", "state", "step", "epochs", "holdout", "images/s", "left", "last sign", "machine")


def _line(each: BranchStatus) -> str:
    step = f"{each.step}/{each.total_steps}" if each.total_steps is not None else "-"
    cells = [
        "-" if each.holdout_top1 is None else percent(each.holdout_top1),
        "-" if each.images_per_s is None else f"{each.images_per_s:g}",
        _time(each.left_s),
        _time(each.last_sign_s),
    ]
    return _COLUMNS.format(each.branch, each.state, step, each.epochs, *cells, each.host or "").rstrip()


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
