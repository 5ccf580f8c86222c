"""How well the confidence of a fusion fits its accuracy, before and after its temperature."""

import dataclasses
from dataclasses import dataclass

import torch

from bandwise.errors import IncompatibleError
from bandwise.evaluation.metrics import classification_metrics
from bandwise.fusion.combination import Fusion
from bandwise.fusion.answers import BranchLogits


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the temperature of a fusion does on one split; the answers are the same before and after."""

    split: str
    temperature: float
    nll_before: float
    """Mean negative log-likelihood at temperature 1, in nats."""
    nll_after: float
    ece_before: float
    """Expected calibration error at temperature 1, a fraction."""
    ece_after: float


def calibration(fusion: Fusion, data: BranchLogits) -> Calibration:
    """Measure a fusion on any split with its own temperature and with temperature 1.

    Raises:
        IncompatibleError: `data` holds other branches than the fusion, or in another order.
    """
    if data.branches != fusion.branches:
        raise IncompatibleError(
            f"the logits are of the branches {list(data.branches)}, the fusion of {list(fusion.branches)}; "
            "load those of the fusion, in its order"
        )
    labels = torch.from_numpy(data.labels)
    plain = dataclasses.replace(fusion, temperature=1.0)
    before = classification_metrics(torch.from_numpy(plain.apply(data.logits)), labels)
    after = classification_metrics(torch.from_numpy(fusion.apply(data.logits)), labels)
    return Calibration(data.split, fusion.temperature, before["nll"], after["nll"], before["ece"], after["ece"])
