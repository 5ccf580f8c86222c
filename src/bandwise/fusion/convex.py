"""The one optimisation problem of the fusion: non-negative multipliers of the branches' logits with the least NLL.

With `z_i` the logits of branch i, the fused logits are `sum_i u_i z_i`, `u >= 0`. Simplex weights `w = u / sum(u)` and
one temperature `T = 1 / sum(u)` say the same as `u`, but the NLL is convex in `u`: it is a log-sum-exp of a linear map
(Boyd and Vandenberghe, Convex Optimization, 2004, section 3.1.5). So the minimum is global, and the answer depends on no seed
and no starting point. A temperature for each branch is part of it: only `u_i = w_i / T_i` enters.

The solver is the projected Newton method (Bertsekas, SIAM J. Control and Optimization 20(2), 1982): Newton steps on the
multipliers that are free, gradient steps on those that rest on zero, and a search along the projected path.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ELEMENTS_A_BLOCK = 1 << 21
_MOST_ITERATIONS = 200
_MOST_HALVINGS = 60
_SUFFICIENT = 1e-4
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended."""

    multipliers: Array
    """`u`, (n,), non-negative."""

    nll: float
    """Mean negative log-likelihood there, in nats, without the penalty."""

    residual: float
    """Largest violation of the optimality conditions: |gradient| where u > 0, -gradient where u = 0, in nats of NLL
    for a step of one in `u` times the spread of the logits."""


class Problem:
    """NLL of `sum_i u_i z_i` plus a quadratic penalty, with its derivatives.

    The penalty is `spread / (2 N) * (pull * sum_i (u_i - mean(u))^2 + ridge * sum_i u_i^2)` with N the number of samples
    and `spread` the mean variance of the logits of one sample across classes. Divided by N, it stands for a fixed number of
    observations; multiplied by `spread`, it does not depend on the unit of the logits.
    """

    def __init__(self, logits: Array, labels: NDArray[np.integer], *, pull: float, ridge: float) -> None:
        """Take logits (n, N, K) of n branches and labels (N,)."""
        self._logits = logits
        self._labels = labels
        count, samples, classes = logits.shape
        self._rows = max(1, _ELEMENTS_A_BLOCK // (count * classes))
        self.spread = float(logits.var(axis=2).mean()) or 1.0
        centring = np.eye(count) - 1.0 / count
        self._penalty = (pull * centring + ridge * np.eye(count)) * self.spread / samples

    def _blocks(self):
        """Yield the logits minus the logit of the label, a block of samples at a time: (n, rows, K)."""
        for first in range(0, self._labels.size, self._rows):
            part = slice(first, first + self._rows)
            block = self._logits[:, part]
            own = np.take_along_axis(block, self._labels[None, part, None], axis=2)
            yield block - own

    def nll(self, multipliers: Array) -> float:
        """Mean NLL in nats, without the penalty."""
        total = 0.0
        for block in self._blocks():
            fused = np.tensordot(multipliers, block, axes=1)
            top = fused.max(axis=1)
            total += float((top + np.log(np.exp(fused - top[:, None]).sum(axis=1))).sum())
        return total / self._labels.size

    def value(self, multipliers: Array) -> float:
        """Mean NLL plus the penalty."""
        return self.nll(multipliers) + 0.5 * float(multipliers @ self._penalty @ multipliers)

    def derivatives(self, multipliers: Array) -> tuple[Array, Array]:
        """Return the gradient (n,) and the Hessian (n, n) of `value`."""
        count = multipliers.size
        gradient = np.zeros(count)
        hessian = np.zeros((count, count))
        for block in self._blocks():
            fused = np.tensordot(multipliers, block, axes=1)
            probability = np.exp(fused - fused.max(axis=1, keepdims=True))
            probability /= probability.sum(axis=1, keepdims=True)
            weighted = block * probability
            mean = weighted.sum(axis=2)
            gradient += mean.sum(axis=1)
            hessian += weighted.reshape(count, -1) @ block.reshape(count, -1).T - mean @ mean.T
        samples = self._labels.size
        return gradient / samples + self._penalty @ multipliers, hessian / samples + self._penalty


def minimise(problem: Problem, start: Array) -> Minimum:
    """Find the least value of `problem` over non-negative multipliers, from `start` (n,)."""
    point, value = start, problem.value(start)
    unit = np.sqrt(problem.spread)
    residual = np.inf
    for _ in range(_MOST_ITERATIONS):
        gradient, hessian = problem.derivatives(point)
        residual = float(np.where(point > 0, np.abs(gradient), np.maximum(-gradient, 0)).max()) / unit
        if residual <= _TOLERANCE:
            break
        direction = _direction(point, gradient, hessian)
        moved = _search(problem, point, value, gradient, direction)
        if moved is None:
            break
        point, value = moved
    return Minimum(point, problem.nll(point), residual)


def _direction(point: Array, gradient: Array, hessian: Array) -> Array:
    """Newton on the free multipliers, scaled gradient on those that rest on zero and would go below."""
    resting = (point <= 0) & (gradient > 0)
    diagonal = np.diag(hessian).copy()
    # Identical branches make the Hessian singular; this much damping only chooses among equally good answers.
    damping = 1e-12 * max(float(diagonal.max()), 1e-300)
    direction = -gradient / (diagonal + damping)
    free = np.flatnonzero(~resting)
    if free.size:
        system = hessian[np.ix_(free, free)] + damping * np.eye(free.size)
        direction[free] = -np.linalg.lstsq(system, gradient[free], rcond=1e-13)[0]
    return direction


def _search(
    problem: Problem, point: Array, value: float, gradient: Array, direction: Array
) -> tuple[Array, float] | None:
    """Halve the step until the projected point is better; None where rounding leaves nothing to gain."""
    step = 1.0
    for _ in range(_MOST_HALVINGS):
        candidate = np.maximum(point + step * direction, 0.0)
        gain = float(gradient @ (point - candidate))
        reached = problem.value(candidate)
        if gain > 0 and reached <= value - _SUFFICIENT * gain:
            return candidate, reached
        step /= 2
    return None
