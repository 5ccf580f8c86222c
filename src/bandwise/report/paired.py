"""Two classifiers on the same images: the images on which exactly one of them is right decide."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Paired:
    """How two classifiers compare, image by image."""

    n: int
    """Images that both were asked about."""
    only_first: int
    """Images on which only the first is right."""
    only_second: int

    @property
    def difference(self) -> float:
        """Accuracy of the first minus accuracy of the second, a fraction."""
        return (self.only_first - self.only_second) / self.n

    @property
    def standard_error(self) -> float:
        """Standard error of the difference of two paired proportions, a fraction."""
        discordant = self.only_first + self.only_second
        return math.sqrt(max(0.0, discordant - (self.only_first - self.only_second) ** 2 / self.n)) / self.n

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar test: how likely a split at least as uneven is when both are equally good.

        Source: McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
        Psychometrika 12, 1947; exact form: a binomial test with probability one half.
        """
        discordant = self.only_first + self.only_second
        fewer = min(self.only_first, self.only_second)
        log_half = discordant * math.log(2)
        tail = math.fsum(math.exp(_log_choose(discordant, k) - log_half) for k in range(fewer + 1))
        return min(1.0, 2 * tail)

    @property
    def is_clear(self) -> bool:
        """Whether the p-value is below 0.05."""
        return self.p_value < SIGNIFICANT


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compare two classifiers by whether each is right, (N,) and (N,), on the same images in the same order."""
    assert first.shape == second.shape
    assert first.size
    return Paired(first.size, int((first & ~second).sum()), int((second & ~first).sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
