"""Logits of imagined branches: each knows something of the label, errs in part like the others, has its own scale."""

from collections.abc import Callable

import numpy as np
import pytest

from bandwise.fusion.answers import BranchLogits


@pytest.fixture
def imagine() -> Callable[..., BranchLogits]:
    def build(count=4, samples=200, classes=5, seed=0, split="holdout", shared=0.7) -> BranchLogits:
        generator = np.random.default_rng(seed)
        labels = generator.integers(classes, size=samples)
        common = generator.normal(size=(samples, classes)) * shared
        skill = np.linspace(2.5, 0.5, count)
        scale = generator.uniform(0.5, 3.0, size=count)
        own = generator.normal(size=(count, samples, classes))
        logits = (np.eye(classes)[labels] * skill[:, None, None] + common + own) * scale[:, None, None]
        return BranchLogits(
            branches=tuple(range(count)), ids=np.arange(samples), labels=labels, logits=logits, split=split
        )

    return build
