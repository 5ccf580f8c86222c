"""Times pieces of code against each other in turns, and a function in a process of its own, in CPU seconds.

CPU seconds and ratios inside one round are what other work on the machine disturbs least.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Reach, Spread


@dataclass(frozen=True, slots=True)
class Race:
    """The seconds of every contestant in every round.

    Attributes:
        seconds: by contestant, one number a round, in the order of the rounds.
    """

    seconds: dict[str, list[float]]

    def spread(self, name: str, factor: float = 1.0) -> Spread:
        """Summarise one contestant, in seconds times `factor`."""
        return Spread.of(self.seconds[name]).scaled(factor)

    def ratio(self, over: str, under: str) -> Spread:
        """Summarise the ratios of two contestants, taken round by round."""
        return Spread.of([a / max(b, 1e-9) for a, b in zip(self.seconds[over], self.seconds[under], strict=True)])


def race(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> Race:
    """Run every contestant once a round; who begins changes from round to round.

    Args:
        contestants: what to run, by name.
        rounds: how often.
        warm_up: rounds before the ones that count.
        clock: returns seconds; CPU seconds of all threads of this process by default.
    """
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = clock()
            contestants[name]()
            if number >= 0:
                seconds[name].append(clock() - started)
    return Race(seconds)


def compare(
    found: Race,
    name: str,
    *,
    unit: str,
    factor: float,
    ours: str,
    over: str,
    under: str,
    peers: tuple[str, ...],
    reach: Reach | None,
    ratio_of: str,
    note: str = "",
) -> Figure:
    """Make a figure of a race: ours and the peers as seconds times `factor`, the ratio as `over` / `under`."""
    spreads = {each: found.spread(each, factor) for each in (ours, *peers)}
    ratio = found.ratio(over, under)
    return Figure(
        name,
        unit,
        ours=spreads[ours].median,
        peers={each: spreads[each].median for each in peers},
        ratio=ratio.median,
        ratio_of=ratio_of,
        reach=reach,
        spread={"ours": spreads[ours], **{each: spreads[each] for each in peers}, "ratio": ratio},
        note=note,
    )


_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call cost.

    Attributes:
        seconds: CPU seconds of the call, without the start of the process and its imports.
        grown_bytes: peak of the resident memory above that after the imports; pages of mapped files count.
        own_bytes: the same without mapped files, which the system can drop at any time; sampled every 10 ms.
    """

    seconds: float
    grown_bytes: int
    own_bytes: int


def in_own_process(function: Callable[..., object], *arguments: Any, ready: Callable[[], object] | None = None) -> Cost:
    """Call a function of a module in a fresh process; its result is dropped.

    Args:
        function: what is measured.
        arguments: its arguments.
        ready: called before, and not measured: imports what the module of `function` leaves for later.

    Raises:
        RuntimeError: the process ended without an answer; what went wrong is on the standard error.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, ready, function, arguments))
    process.start()
    theirs.close()
    try:
        before = ours.recv()
        path, most = Path(f"/proc/{process.pid}/status"), 0
        while not ours.poll(_POLL_S):
            most = max(most, _resident(path, "RssAnon"))
        seconds, peak = ours.recv()
    except EOFError as error:
        raise RuntimeError(f"{function.__name__} ended without an answer") from error
    finally:
        ours.close()
        process.join()
    return Cost(seconds, peak - before["VmRSS"], max(0, most - before["RssAnon"]))


def _serve(
    connection: Connection,
    ready: Callable[[], object] | None,
    function: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    if ready is not None:
        ready()
    status = Path("/proc/self/status")
    connection.send({name: _resident(status, name) for name in ("VmRSS", "RssAnon")})
    started = time.process_time()
    function(*arguments)
    seconds = time.process_time() - started
    connection.send((seconds, _resident(status, "VmHWM")))


def _resident(path: Path, name: str) -> int:
    """Return a line of a status file in bytes; 0 where it is not there, as for a process that has ended."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
