"""What a benchmark takes, and what it gives: figures of ours beside peers, as a ratio, with what it should reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Options:
    """How to run one benchmark.

    Attributes:
        data: a set as `--data` of `bandwise split` names it; pictures are taken from it.
        smallest: the least work that shows that everything runs; the numbers then mean nothing.
        scratch: an empty folder, removed afterwards.
    """

    data: str
    smallest: bool
    scratch: Path

    def rounds(self, count: int) -> int:
        """Return the number of rounds to time."""
        return 1 if self.smallest else count

    def amount(self, full: int, least: int) -> int:
        """Return how many items to work on."""
        return least if self.smallest else full


@dataclass(frozen=True, slots=True)
class Reach:
    """What a ratio is meant to be."""

    op: Literal[">=", "<="]
    value: float

    def holds(self, ratio: float) -> bool:
        """Whether a ratio is as meant."""
        return ratio >= self.value if self.op == ">=" else ratio <= self.value


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 10th and 90th percentile of the repeats of one measurement, and how many there were."""

    median: float
    p10: float
    p90: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise at least one value."""
        median, p10, p90 = np.percentile(values, [50, 10, 90]).tolist()
        return cls(median, p10, p90, len(values))

    def scaled(self, factor: float) -> "Spread":
        """Return the same repeats in another unit."""
        return Spread(self.median * factor, self.p10 * factor, self.p90 * factor, self.repeats)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON, four digits each."""
        return {"median": digits(self.median), "p10": digits(self.p10), "p90": digits(self.p90), "n": self.repeats}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured fact.

    Attributes:
        name: for example `transform/s2-224/fast`.
        unit: of `ours` and the peers.
        ours: our median; None where the device or a package is absent.
        peers: the medians of what was measured beside it in the same run; None for a peer that could not run.
        ratio: what `ratio_of` says, the median of the ratios of the rounds; None where it was not measured.
        ratio_of: the ratio in words.
        reach: what the ratio is meant to be; None where nothing is promised.
        spread: of `ours`, of each peer and of `ratio`, by these names.
        note: what a reader has to know.
    """

    name: str
    unit: str
    ours: float | None = None
    peers: Mapping[str, float | None] = field(default_factory=dict)
    ratio: float | None = None
    ratio_of: str = ""
    reach: Reach | None = None
    spread: Mapping[str, Spread] = field(default_factory=dict)
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the reach is kept; None where it was not measured or nothing is promised."""
        return None if self.ratio is None or self.reach is None else self.reach.holds(self.ratio)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": digits(self.ours),
            "peers": {name: digits(value) for name, value in self.peers.items()},
            "ratio": digits(self.ratio),
            "ratio_of": self.ratio_of,
            "reach": None if self.reach is None else {"op": self.reach.op, "value": self.reach.value},
            "holds": self.holds,
            "spread": {name: spread.to_dict() for name, spread in self.spread.items()},
            "note": self.note,
        }


def digits(value: float | None) -> float | None:
    """Keep four significant digits: more would be noise."""
    return None if value is None else float(f"{value:.4g}")
