"""What every benchmark is told."""

from dataclasses import dataclass
from pathlib import Path


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
