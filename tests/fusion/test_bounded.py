"""Fusion of more logits than memory holds: the same bits, and no more memory than some blocks take."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fusion.bounded import measure

from bandwise.config import FusionConfig
from bandwise.errors import UsageError
from bandwise.evaluation import blocks
from bandwise.fusion.cascade import cascade_curve, fit_cascade
from bandwise.fusion.combination import leave_one_out
from bandwise.fusion.head import _moments
from bandwise.fusion.rules import RULES, fit, takes


class Read:
    """Logits that are read some images at a time, and how many at once."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits, self.shape, self.most = logits, logits.shape, 0

    def __getitem__(self, key):
        self.most = max(self.most, self.logits[key].shape[1])
        return self.logits[key]


def test_rules_leaving_out_and_cascade_have_the_bits_of_all_at_once(imagine, monkeypatch):
    held = imagine(count=3, samples=1001, classes=7)
    for module in ("evaluation.blocks", "fusion.convex"):
        monkeypatch.setattr(f"bandwise.{module}.BLOCK_VALUES", 3 * 7 * 100)
    monkeypatch.setattr(blocks, "HELD_VALUES", 0)
    # The solver adds up block by block, as it always did; so its blocks are the same for both.
    expected = [fit(rule, held) for rule in RULES]
    read = Read(held.logits)
    data = replace(held, logits=read)
    assert [fit(rule, data) for rule in RULES] == expected
    for fusion in expected:
        if min(fusion.weights):
            assert leave_one_out(fusion, data) == leave_one_out(fusion, held)
    cascade = fit_cascade(expected[0], data, 0.99)
    assert cascade == fit_cascade(expected[0], held, 0.99)
    assert cascade_curve(cascade, data) == cascade_curve(cascade, held)
    assert read.most < 400


def test_moments_of_features_have_the_bits_of_all_at_once(monkeypatch):
    features = np.random.default_rng(0).normal(size=(2, 501, 9)).astype(np.float16)
    flat = features.reshape(-1, 9).astype(np.float64)
    monkeypatch.setattr("bandwise.fusion.head.BLOCK_VALUES", 9 * 64)
    mean, std = _moments(features)
    assert np.array_equal(mean, flat.mean(axis=0))
    assert np.array_equal(std, flat.std(axis=0))


def test_rules_say_what_they_take(imagine):
    data = replace(imagine(), keep="top-64")
    assert [rule for rule in (*RULES, "head") if takes(rule, data)] == ["mean", "geometric", "head"]
    assert fit("geometric", data) == fit("geometric", imagine())
    with pytest.raises(UsageError, match=r"rule learned needs all logits.*kept as top-64; choose one of mean, geom"):
        fit("learned", data)
    with pytest.raises(UsageError, match="a cascade needs all logits"):
        fit_cascade(fit("mean", data), data, 0.99)
    assert fit("learned", replace(data, keep="float16")) == fit("learned", imagine())
    with pytest.raises(UsageError, match="fusion is 'learned'; it must be one of mean, geometric, head with keep_logi"):
        FusionConfig(keep_logits="top-64")
    assert FusionConfig(rule="mean", keep_logits="top-64").keep_logits == "top-64"


@pytest.mark.timeout(1200)
def test_memory_is_that_of_some_blocks(tmp_path):
    """77 MB in float64; held at once, as the control, that shows."""
    found = measure(tmp_path, 1200, 2000, "full", 0)
    held = measure(tmp_path, 1200, 2000, "full", 1 << 40)
    assert {**found, "peak": 0} == {**held, "peak": 0}
    assert found["peak"] < 125e6
    assert held["peak"] > found["peak"] + 40e6
