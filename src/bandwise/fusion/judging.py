"""How often candidates for a fusion are right and how probable they find the labels, in one pass over the logits."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bandwise.evaluation.blocks import FloatArray, Logits, blocks
from bandwise.fusion.convex import IntArray, negative_log_likelihoods

Candidates = Callable[[FloatArray], Iterable[tuple[FloatArray, float]]]
"""From the logits (n, rows, K) of some images to those (rows, K) of each candidate, and its temperature."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one candidate reaches."""

    top1: float
    """Share of right answers."""
    nll: float
    """Mean negative log-likelihood in nats, at its temperature."""


def judge(logits: Logits, labels: IntArray, count: int, candidates: Candidates) -> list[Judged]:
    """Judge `count` candidates; means are over all images at once, so the blocks change no bit."""
    return judge_rows(blocks(logits), labels, count, lambda rows: candidates(logits[:, rows]))


def judge_rows(
    pieces: Iterable[slice],
    labels: IntArray,
    count: int,
    answers: Callable[[slice], Iterable[tuple[FloatArray, float]]],
) -> list[Judged]:
    """Judge as `judge` what answers for some rows at a time; `pieces` are all of them."""
    right = np.empty((count, labels.size), bool)
    nll = np.empty(right.shape)
    for rows in pieces:
        for place, (own, temperature) in enumerate(answers(rows)):
            right[place, rows] = own.argmax(axis=1) == labels[rows]
            nll[place, rows] = negative_log_likelihoods(own / temperature, labels[rows])
    return [Judged(float(hits.mean()), float(values.mean())) for hits, values in zip(right, nll, strict=True)]
