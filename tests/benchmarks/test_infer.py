"""The infer bench runs and says what it must."""

import os

import pytest
import torch
from benchmarks import infer
from benchmarks.figures import Options
from tests.pictures import make_folder


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("infer")
    data = os.fspath(make_folder(scratch / "pictures", classes=3, train=12, val=4, side=40))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {figure.name: figure for figure in infer.measure(Options(data, True, scratch))}
    finally:
        torch.set_num_threads(threads)


def test_every_promise_has_a_figure(figures):
    promised = figures["infer/batch 2/sequential over sum of the networks"]
    assert promised.reach is not None
    assert (promised.reach.op, promised.reach.value) == ("<=", 1.05)
    assert promised.ratio
    lean, stacked = (figures[f"infer/batch 2/memory, {mode}"] for mode in ("sequential", "stacked"))
    peers = [value for value in lean.peers.values() if value]
    assert lean.ours
    assert stacked.ours
    assert lean.ours < sum(peers) < stacked.ours
    if not torch.cuda.is_available():
        assert figures["infer/batch 2/stacked/accelerator"].ratio is None


def test_the_cascade_says_what_it_keeps_what_it_saves_and_what_that_takes(figures):
    kept, saved = (figures[f"infer/cascade 1/{name}"] for name in ("accuracy", "MACs"))
    assert 0 <= kept.ours <= 100
    assert 0 < saved.ratio <= 1
    assert "scored on val" in kept.note
    # resnet8-slim at 32 px has 12,945,304 / 4 multiply-adds with 14 classes; the few classes here are 704 fewer.
    branches = saved.peers["all branches"] * 1e6 / 3.236e6
    assert branches == pytest.approx(round(branches), rel=1e-2)
    assert figures["infer/cascade 0.97/CPU time, batch 1"].ratio > 0


def test_a_point_of_the_curve_is_told_against_all_branches_that_are_fused():
    report = {
        "threshold": 0.7,
        "order": [2, 0],
        "costs": [5.0, 5.0, 5.0, 5.0],
        "chosen": {"val": {"accuracy": 0.72, "cost": 0.6, "stopped": [0.8, 0.2]}},
        "curves": {"val": [{"accuracy": 0.5}, {"accuracy": 0.75}]},
    }
    accuracy, work = infer._kept_and_saved(report, "val", 0.97, 20e6)
    assert (accuracy.ours, accuracy.peers["all branches"]) == (72, 75)
    assert accuracy.ratio == pytest.approx(0.96)
    assert (work.ours, work.peers["all branches"]) == (6, 10)
    assert work.ratio == pytest.approx(0.6)
    assert "80%, 20%" in work.note


def test_the_ensembles_of_the_bench_answer_alike():
    images = torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8)
    with torch.inference_mode():
        plain, stacked = (infer.ensemble(mode)(images) for mode in ("sequential", "stacked"))
    torch.testing.assert_close(stacked, plain, rtol=0, atol=1e-4 * plain.abs().max().item())
