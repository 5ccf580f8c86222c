"""What each branch adds: what the fusion loses without it.

How often two branches answer differently is `bandwise.evaluation.metrics.pairwise_disagreement`.
"""

from dataclasses import dataclass

import numpy as np

from bandwise.errors import IncompatibleError
from bandwise.fusion.combination import Fusion
from bandwise.fusion.convex import FloatArray
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.temperature import negative_log_likelihood


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The value of one branch: the fused result with it minus the result without it."""

    branch: int
    top1_gain: float | None
    """Accuracy that the branch adds, a fraction; None where nothing with a weight is left without it."""
    nll_gain: float | None
    """NLL in nats that the branch takes away; positive is good."""


def leave_one_out(fusion: Fusion, data: BranchLogits) -> list[LeftOut]:
    """Leave out each branch in turn, with the weights of the others divided by their sum.

    Raises:
        IncompatibleError: `data` holds other branches than the fusion, or in another order.
    """
    if data.branches != fusion.branches:
        raise IncompatibleError(
            f"the logits are of the branches {list(data.branches)}, the fusion of {list(fusion.branches)}; "
            "load those of the fusion, in its order"
        )
    top1, nll = _score(fusion, data.logits, data)
    values = []
    for place, branch in enumerate(fusion.branches):
        others = [other for other in fusion.branches if other != branch]
        if fusion.weights[place] >= 1.0:
            values.append(LeftOut(branch, None, None))
            continue
        top1_without, nll_without = _score(fusion.restrict(others), np.delete(data.logits, place, axis=0), data)
        values.append(LeftOut(branch, top1 - top1_without, nll_without - nll))
    return values


def _score(fusion: Fusion, logits: FloatArray, data: BranchLogits) -> tuple[float, float]:
    fused = fusion.apply(logits)
    top1 = float((fused.argmax(axis=1) == data.labels).mean())
    return top1, negative_log_likelihood(fused, data.labels)
