"""The one optimisation problem of the fusion: non-negative multipliers of the branches' logits with the least NLL.

With `z_i` the logits of branch i, the fused logits are `sum_i u_i z_i`, `u >= 0`. Simplex weights `w = u / sum(u)` and
one temperature `T = 1 / sum(u)` say the same as `u`, but the negative log-likelihood (NLL) is convex in `u`: it is a
log-sum-exp of a linear map (Boyd and Vandenberghe, Convex Optimization, 2004, section 3.1.5). So the minimum is global,
and the answer depends on no seed and no starting point. A temperature for each branch is already part of it, because
only `u_i = w_i / T_i` enters.

The temperature of a single classifier (Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML
2017) is the case of one branch.

The solver is the projected Newton method (Bertsekas, SIAM J. Control and Optimization 20(2), 1982): Newton steps for
the multipliers that are free, gradient steps for those that rest on zero, and a search along the projected path.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandwise.evaluation.blocks import BLOCK_VALUES, FloatArray, Logits, hold

IntArray = NDArray[np.integer]

PULL = 1.0
"""Default pull of the multipliers towards each other, in observations (measured in docs/fusion.md)."""

RIDGE = 0.1
"""Default pull of the multipliers towards zero, in observations; keeps separable samples from infinite confidence."""

MAX_TEMPERATURE = 1e3
"""Where logits say nothing about the labels, the best temperature is infinite; this one is as good."""

_MAX_ITERATIONS = 200
_MAX_HALVINGS = 60
_SUFFICIENT_DECREASE = 1e-4
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended."""

    multipliers: FloatArray
    """`u`, (n,), non-negative."""
    residual: float
    """Largest violation of the optimality conditions: |gradient| where u > 0, -gradient where u = 0, divided by the
    standard deviation of the logits."""


class Problem:
    """NLL of `sum_i u_i z_i` plus a quadratic penalty, with its derivatives.

    The penalty is `spread / (2 N) * (pull * sum_i (u_i - mean(u))^2 + ridge * sum_i u_i^2)`, where N is the number of
    samples and `spread` the mean variance of the logits of one sample across the classes. Divided by N, it weighs as
    much as a fixed number of observations; times `spread`, it does not depend on the unit of the logits.
    """

    def __init__(self, logits: Logits, labels: IntArray, *, pull: float = PULL, ridge: float = RIDGE) -> None:
        """Take the logits (n, N, K) of n branches, in memory or not, and the labels (N,)."""
        count, samples, classes = logits.shape
        self.count = count
        self._logits = logits
        self._labels = labels
        self._rows = max(1, BLOCK_VALUES // (count * classes))
        # Constant logits have no spread; any positive number then leaves the problem well posed.
        self.spread = self._spread() or 1.0
        centring = np.eye(count) - 1.0 / count
        self._penalty = (pull * centring + ridge * np.eye(count)) * self.spread / samples

    def _spread(self) -> float:
        found = np.empty((self.count, self._labels.size))
        for first in range(0, self._labels.size, self._rows):
            rows = slice(first, first + self._rows)
            for own, block in zip(found, self._logits[:, rows], strict=True):
                own[rows] = block.var(axis=1)
        return float(np.mean([own.mean() for own in found]))

    def _blocks(self) -> Iterator[FloatArray]:
        """Yield the logits minus the logit of the label, some samples at a time: (n, rows, K)."""
        for first in range(0, self._labels.size, self._rows):
            block = self._logits[:, first : first + self._rows]
            labels = self._labels[None, first : first + self._rows, None]
            yield block - np.take_along_axis(block, labels, axis=2)

    def at(self, multipliers: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return what is minimised, mean NLL in nats plus penalty, its gradient (n,) and its Hessian (n, n).

        All three in one pass: reading and fusing the logits takes longer than what is added up here.
        """
        total = 0.0
        gradient = np.zeros(self.count)
        hessian = np.zeros((self.count, self.count))
        for block in self._blocks():
            fused = np.tensordot(multipliers, block, axes=1)
            top = fused.max(axis=1, keepdims=True)
            probability = np.exp(fused - top)
            sums = probability.sum(axis=1, keepdims=True)
            total += float((top + np.log(sums))[:, 0].sum())
            probability /= sums
            weighted = block * probability
            mean = weighted.sum(axis=2)
            gradient += mean.sum(axis=1)
            hessian += weighted.reshape(self.count, -1) @ block.reshape(self.count, -1).T - mean @ mean.T
        samples = self._labels.size
        value = total / samples + 0.5 * float(multipliers @ self._penalty @ multipliers)
        return value, gradient / samples + self._penalty @ multipliers, hessian / samples + self._penalty


def minimise(problem: Problem) -> Minimum:
    """Return the least value of `problem` over all non-negative multipliers."""
    point = np.full(problem.count, 1.0 / problem.count)
    value, gradient, hessian = problem.at(point)
    residual = float("inf")
    for _ in range(_MAX_ITERATIONS):
        violation = np.where(point > 0, np.abs(gradient), np.maximum(-gradient, 0.0))
        residual = float(violation.max()) / problem.spread**0.5
        if residual <= _TOLERANCE:
            break
        moved = _search(problem, point, value, gradient, _direction(point, gradient, hessian))
        if moved is None:
            break
        point, value, gradient, hessian = moved
    return Minimum(point, residual)


def _direction(point: FloatArray, gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    """Newton for the free multipliers, a scaled gradient for those that rest on zero and would go below it."""
    diagonal = np.maximum(np.diag(hessian), np.finfo(float).tiny)
    direction = -gradient / diagonal
    free = np.flatnonzero((point > 0) | (gradient <= 0))
    if free.size:
        # Least squares: equal branches without a penalty make the system singular, and any of its solutions will do.
        direction[free] = -np.linalg.lstsq(hessian[np.ix_(free, free)], gradient[free], rcond=1e-13)[0]
    return direction


def _search(
    problem: Problem, point: FloatArray, value: float, gradient: FloatArray, direction: FloatArray
) -> tuple[FloatArray, float, FloatArray, FloatArray] | None:
    """Halve the step until the projected point is better, and say all of it; None where rounding leaves nothing."""
    step = 1.0
    for _ in range(_MAX_HALVINGS):
        candidate = np.maximum(point + step * direction, 0.0)
        expected = float(gradient @ (point - candidate))
        if expected > 0:
            reached = problem.at(candidate)
            if reached[0] <= value - _SUFFICIENT_DECREASE * expected:
                return candidate, *reached
        step /= 2
    return None


def negative_log_likelihoods(logits: FloatArray, labels: IntArray) -> FloatArray:
    """Return the negative log-likelihood in nats of each sample, (N,), of logits (N, K) and labels (N,)."""
    top = logits.max(axis=1)
    own = logits[np.arange(labels.size), labels]
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - own


def best_temperature(logits: Logits, labels: IntArray) -> float:
    """Return the temperature T, at most 1000, that gives the logits of one classifier, (1, N, K), over T the least NLL.

    The ridge keeps separable samples from making it zero.
    """
    multiplier = float(minimise(Problem(hold(logits), labels)).multipliers[0])
    return 1.0 / max(multiplier, 1.0 / MAX_TEMPERATURE)
