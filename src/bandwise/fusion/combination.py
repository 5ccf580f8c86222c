"""A fitted fusion: how the logits of some branches become one, as plain numbers that a JSON file can hold."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bandwise.errors import UsageError
from bandwise.fusion.convex import FloatArray

_SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Fusion:
    """Fused logits are `sum_i weights[i] * logits[i] / temperature`."""

    rule: str
    """`mean`, `geometric`, `learned` or `greedy`."""
    branches: tuple[int, ...]
    """The branches that are fused, in the order of the weights."""
    weights: tuple[float, ...]
    """Non-negative, with sum 1."""
    temperature: float = 1.0
    """Positive; dividing by it changes the confidence, never the answer."""
    fitted_on: str = "nothing"
    """The split that the weights and the temperature were fitted on; `nothing` for a plain mean."""
    n_holdout: int = 0
    """Samples they were fitted on."""
    p: float | None = None
    """Ratio of the geometric rule, None for others."""

    def __post_init__(self) -> None:
        """Check that the numbers describe a fusion.

        Raises:
            UsageError: a number is not finite, negative, of the wrong count, or the weights do not add up to 1.
        """
        _require(bool(self.branches), "branches", self.branches, "at least one branch")
        _require(len(set(self.branches)) == len(self.branches), "branches", self.branches, "without repetition")
        _require(min(self.branches) >= 0, "branches", self.branches, "numbers from 0")
        _require(len(self.weights) == len(self.branches), "weights", self.weights, f"{len(self.branches)} numbers")
        _require(all(math.isfinite(w) and w >= 0 for w in self.weights), "weights", self.weights, "finite, at least 0")
        _require(
            abs(math.fsum(self.weights) - 1) <= _SUM_TOLERANCE, "weights", self.weights, "numbers that add up to 1"
        )
        fits = math.isfinite(self.temperature) and self.temperature > 0
        _require(fits, "temperature", self.temperature, "finite and above 0")
        _require(self.n_holdout >= 0, "n_holdout", self.n_holdout, "at least 0")
        _require(self.p is None or 0 < self.p <= 1, "p", self.p, "above 0 and at most 1")

    def apply(self, logits: ArrayLike) -> FloatArray:
        """Fuse logits (n, N, K), in the order of `branches`, to (N, K) float64.

        Raises:
            UsageError: there are not as many branches as weights.
        """
        stacked = np.asarray(logits, dtype=np.float64)
        if stacked.ndim != 3 or len(stacked) != len(self.weights):
            raise UsageError(
                f"logits have the shape {stacked.shape}; this fusion takes {len(self.weights)} branches: "
                f"({len(self.weights)}, samples, classes), in the order {list(self.branches)}"
            )
        return np.tensordot(np.asarray(self.weights), stacked, axes=1) / self.temperature

    def restrict(self, branches: Sequence[int]) -> "Fusion":
        """Return the fusion for when only some branches have arrived: their weights divided by the sum of them.

        The temperature stays, so the total weight of the evidence stays.

        Raises:
            UsageError: a branch is not part of this fusion, or those left have no weight at all.
        """
        weights = dict(zip(self.branches, self.weights, strict=True))
        strangers = [branch for branch in branches if branch not in weights]
        if strangers:
            raise UsageError(f"branches {strangers} are not part of this fusion, which has {list(self.branches)}")
        total = math.fsum(weights[branch] for branch in branches)
        if total <= 0:
            raise UsageError(f"branches {list(branches)} have no weight in this fusion; fit one with them alone")
        left = tuple(weights[branch] / total for branch in branches)
        return dataclasses.replace(self, branches=tuple(branches), weights=left)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {**dataclasses.asdict(self), "branches": list(self.branches), "weights": list(self.weights)}

    @classmethod
    def from_dict(cls, content: Any) -> "Fusion":
        """Read what `to_dict` wrote, and check it.

        Raises:
            UsageError: a key is missing or unknown, a value has the wrong type or is not possible.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            given = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise UsageError(f"a fusion has the keys {sorted(names)}, not {given}")
        for key in ("rule", "fitted_on"):
            _require(isinstance(content[key], str), key, content[key], "a text")
        for key in ("branches", "weights"):
            _require(isinstance(content[key], list), key, content[key], "a list")
        for key, values in (("branches", content["branches"]), ("n_holdout", [content["n_holdout"]])):
            _require(all(type(value) is int for value in values), key, content[key], "whole numbers")
        numbers = [*content["weights"], content["temperature"], *([] if content["p"] is None else [content["p"]])]
        _require(
            all(type(value) in (int, float) for value in numbers), "weights, temperature and p", numbers, "numbers"
        )
        return cls(**{**content, "branches": tuple(content["branches"]), "weights": tuple(content["weights"])})


def _require(condition: bool, key: str, value: Any, allowed: str) -> None:
    if not condition:
        raise UsageError(f"fusion: {key} is {value!r}; it must be {allowed}")
