"""The fusion rules. All work on logits in float64, and all are fitted on the holdout, never on the reported set.

| rule | weights | temperature |
|---|---|---|
| mean | equal | least NLL |
| geometric | `p (1-p)^rank`, rank by holdout accuracy | least NLL |
| learned | least NLL over the simplex, jointly with the temperature | jointly |
| greedy | how often a greedy selection draws each branch | least NLL |
"""

from collections.abc import Iterator

import numpy as np

from bandwise.config.training import TAKES_TOP_LOGITS
from bandwise.errors import UsageError
from bandwise.evaluation.blocks import FloatArray, Fused, Logits
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.combination import Fusion, judge
from bandwise.fusion.convex import MAX_TEMPERATURE, PULL, RIDGE, IntArray, Problem, best_temperature, minimise

RULES = ("mean", "geometric", "learned", "greedy")

GREEDY_ROUNDS = 50
"""Branches that the greedy rule draws, with replacement; so its weights are multiples of at least 1/50."""


def fit(rule: str, data: BranchLogits, *, p: float = 0.3) -> Fusion:
    """Fit one rule.

    Args:
        rule: one of `RULES`.
        data: holdout logits of the branches to fuse.
        p: ratio of the geometric rule, above 0 and at most 1; others ignore it.
    """
    if rule not in RULES:
        raise UsageError(f"fusion rule {rule!r} is unknown; choose one of {', '.join(RULES)}")
    if data.split != "holdout":
        raise UsageError(
            f"a fusion cannot be fitted on the split {data.split!r}: fitting on reported images makes their accuracy "
            "meaningless; pass the holdout logits"
        )
    if not takes(rule, data):
        raise UsageError(
            f"fusion rule {rule} needs all logits, and those of the {data.split} are kept as {data.keep}; choose one "
            f"of {', '.join(TAKES_TOP_LOGITS)}, or remove the logits and evaluate with keep_logits full or float16"
        )
    if not 0 < p <= 1:
        raise UsageError(f"p is {p!r}; it must be above 0 and at most 1")
    if rule == "learned":
        weights, temperature = learned_weights(data.logits, data.labels)
    else:
        if rule == "geometric":
            weights = geometric_weights(data.logits, data.labels, p)
        else:
            counts = greedy_counts(data.logits, data.labels) if rule == "greedy" else np.ones(len(data.branches))
            weights = counts / counts.sum()
        temperature = best_temperature(
            Fused(data.logits, lambda block: np.tensordot(weights, block, axes=1)), data.labels
        )
    return Fusion(
        rule=rule,
        branches=data.branches,
        weights=tuple(map(float, weights)),
        temperature=temperature,
        fitted_on=data.split,
        n_holdout=int(data.labels.size),
        p=p if rule == "geometric" else None,
    )


def takes(rule: str, data: BranchLogits) -> bool:
    """Say whether a rule can be fitted on what is kept of some logits."""
    return data.keep != "top-64" or rule in TAKES_TOP_LOGITS


def needs_holdout(rule: str, branches: int) -> bool:
    """Say whether a rule of so many branches has anything to fit but a temperature; a head has, of a single one too."""
    return rule == "head" or (rule != "mean" and branches > 1)


def unfitted(rule: str, branches: tuple[int, ...]) -> Fusion:
    """Return the mean, or a rule of a single branch, at temperature 1: what can be had without a holdout."""
    assert not needs_holdout(rule, len(branches))
    return Fusion(rule=rule, branches=branches, weights=(1 / len(branches),) * len(branches))


def geometric_weights(logits: Logits, labels: IntArray, p: float) -> FloatArray:
    """Return weights (n,) `p (1-p)^rank` divided by their sum; the most accurate branch has rank 0.

    Equal accuracies are ordered by NLL, then by position. With p = 1 only the best branch counts.
    """
    found = judge(logits, labels, logits.shape[0], lambda block: ((own, 1.0) for own in block))
    order = sorted(range(len(found)), key=lambda place: (-found[place].top1, found[place].nll, place))
    weights = np.zeros(len(found))
    for rank, place in enumerate(order):
        weights[place] = p * (1 - p) ** rank
    return weights / weights.sum()


def learned_weights(
    logits: Logits, labels: IntArray, *, pull: float = PULL, ridge: float = RIDGE
) -> tuple[FloatArray, float]:
    """Return the simplex weights (n,) and the temperature that together give the least NLL.

    Logits are (n, N, K), labels (N,); `pull` and `ridge` are those of `convex.Problem`. Where no branch says anything
    about the labels, the weights are equal and the temperature is 1000.
    """
    multipliers = minimise(Problem(logits, labels, pull=pull, ridge=ridge)).multipliers
    total = float(multipliers.sum())
    if total < 1 / MAX_TEMPERATURE:
        return np.full(logits.shape[0], 1 / logits.shape[0]), MAX_TEMPERATURE
    return multipliers / total, 1 / total


def greedy_counts(logits: Logits, labels: IntArray, rounds: int = GREEDY_ROUNDS) -> IntArray:
    """Add, round after round, the branch that gives the mean of the chosen logits the least NLL; keep the best round.

    Candidates are judged at the temperature that suits the mean of all branches. At temperature 1, over-confident
    branches would be preferred in crowds only because their mean is less confident (measured in docs/fusion.md).
    Returned is (n,) how often each was drawn up to the best round. Ties go to the first branch and round.

    Source: Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble selection from libraries of models, ICML 2004.
    """
    count = logits.shape[0]
    temperature = best_temperature(Fused(logits, lambda block: block.mean(axis=0)), labels)
    drawn: list[int] = []
    best_value, best_drawn = np.inf, drawn

    def candidates(block: FloatArray) -> Iterator[tuple[FloatArray, float]]:
        total = np.zeros_like(block[0])
        for place in drawn:
            total += block[place]
        return ((total + own, (len(drawn) + 1) * temperature) for own in block)

    for _ in range(rounds):
        values = [own.nll for own in judge(logits, labels, count, candidates)]
        winner = int(np.argmin(values))
        drawn.append(winner)
        if values[winner] < best_value:
            best_value, best_drawn = values[winner], list(drawn)
    return np.bincount(best_drawn, minlength=count)
