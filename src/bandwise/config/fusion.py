"""How the predictions of the branches become one."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from bandwise.config.checks import require_number

FusionRule = Literal["mean", "geometric", "learned", "greedy", "head"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionConfig:
    """How the branches' predictions become one; fitted on the holdout only."""

    rule: Annotated[FusionRule, tyro.conf.arg(name="fusion")] = "learned"
    """mean, geometric (weights p*(1-p)^rank), learned (convex weights and a temperature), greedy, or head (a small
    network on the features of the branches, trained on the training images and stopped on the holdout)."""

    p: Annotated[float, tyro.conf.arg(name="fusion-p")] = 0.3
    """Ratio of the geometric rule."""

    def __post_init__(self) -> None:
        require_number("fusion-p", self.p, 0, 1, open_low=True)
