"""Greedy selection of branches, with replacement.

Source: Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble selection from libraries of models, ICML 2004.
"""

import numpy as np

from bandwise.fusion.convex import FloatArray, IntArray
from bandwise.fusion.temperature import best_temperature, negative_log_likelihood

ROUNDS = 50
"""Branches drawn, with replacement; so weights are multiples of at least 1/50."""


def greedy_counts(logits: FloatArray, labels: IntArray, rounds: int = ROUNDS) -> IntArray:
    """Add, round after round, the branch that gives the mean of the chosen logits the least NLL; keep the best round.

    Candidates are judged at the temperature that suits the mean of all branches. At temperature 1, over-confident
    branches would be preferred in crowds only because their mean is less confident (measured in docs/fusion.md).

    Args:
        logits: (n, N, K).
        labels: (N,).
        rounds: how many branches to draw, at least 1.

    Returns:
        (n,) how often each branch was drawn, up to the round with the least NLL. Ties go to the first branch and round.
    """
    temperature = best_temperature(logits.mean(axis=0), labels)
    chosen = np.zeros(len(logits), dtype=np.int64)
    total = np.zeros_like(logits[0])
    best_value, best_chosen = np.inf, chosen
    for drawn in range(1, rounds + 1):
        values = [negative_log_likelihood((total + own) / (drawn * temperature), labels) for own in logits]
        winner = int(np.argmin(values))
        chosen[winner] += 1
        total += logits[winner]
        if values[winner] < best_value:
            best_value, best_chosen = values[winner], chosen.copy()
    return best_chosen
