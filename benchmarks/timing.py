"""Times several pieces of code against each other: warmed up, taking turns, in the CPU seconds of this process.

CPU seconds and ratios inside one round are what other work on the machine disturbs least.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
