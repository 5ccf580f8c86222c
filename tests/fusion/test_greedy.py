"""Greedy selection against a loop written the long way round."""

import numpy as np
import pytest
from scipy.special import log_softmax

from bandwise.fusion.greedy import greedy_counts
from bandwise.fusion.temperature import best_temperature


def plain_greedy(logits, labels, rounds):
    """Try every extension of the chosen list, one by one, from scratch."""
    temperature = best_temperature(logits.mean(axis=0), labels)

    def nll(chosen):
        fused = np.mean([logits[branch] for branch in chosen], axis=0) / temperature
        return -np.mean([log_softmax(row)[label] for row, label in zip(fused, labels, strict=True)])

    chosen, history = [], []
    for _ in range(rounds):
        scores = [nll([*chosen, branch]) for branch in range(len(logits))]
        chosen.append(scores.index(min(scores)))
        history.append((min(scores), list(chosen)))
    best = min(history, key=lambda entry: entry[0])[1]
    return np.bincount(best, minlength=len(logits))


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_the_plain_loop(imagine, seed):
    data = imagine(4, 60, 4, seed=seed)
    np.testing.assert_array_equal(
        greedy_counts(data.logits, data.labels, 12), plain_greedy(data.logits, data.labels, 12)
    )


def test_a_branch_can_be_drawn_again(imagine):
    data = imagine(3, 300, 4)
    counts = greedy_counts(data.logits, data.labels)
    assert counts.max() > 1
    assert counts[0] == counts.max()


def test_one_branch_that_is_always_right_is_enough():
    """It is drawn first; a second draw of it changes nothing, so the first round stays the best."""
    labels = np.array([0, 1, 2, 0])
    right = 5 * np.eye(3)[labels]
    np.testing.assert_array_equal(greedy_counts(np.stack([-right, right]), labels), [0, 1])
