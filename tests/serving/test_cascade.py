"""A cascade against a plain loop over the images, on made-up logits, and on a trained run."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.serving.test_ensemble import canvases

from bandwise.cli import main
from bandwise.errors import IncompatibleError, UsageError
from bandwise.fusion.answers import BranchLogits, load_branches
from bandwise.fusion.cascade import NEVER, Cascade, cascade_curve, cascade_report, fit_cascade, fitted_cascade
from bandwise.fusion.combination import Fusion
from bandwise.fusion.rules import fit
from bandwise.fusion.saved import read_fusion
from bandwise.runs.run import open_run
from bandwise.serving.cascaded import CascadedEnsemble
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.predict import predict_paths

SKILLS = (0.4, 2.0, 1.0, 0.0)


def synthetic(seed: int, split: str = "holdout", count: int = 400) -> BranchLogits:
    """Four branches of different skill: branch 1 is the best, branch 3 knows nothing."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 6, count)
    logits = random.normal(0, 1, (len(SKILLS), count, 6))
    for branch, skill in enumerate(SKILLS):
        logits[branch, np.arange(count), labels] += skill
    return BranchLogits((0, 1, 2, 3), np.arange(count), labels, logits, split)


def by_hand(cascade: Cascade, data: BranchLogits, threshold: float, costs) -> tuple[float, float]:
    """One image after the other: accuracy, and the mean of the costs that were spent."""
    right, spent = 0, 0.0
    for image in range(len(data.labels)):
        fused = np.zeros(data.logits.shape[2])
        for stage in cascade.stages:
            fused = np.zeros(data.logits.shape[2])
            for branch, weight in zip(stage.branches, stage.weights, strict=True):
                fused += weight * data.logits[data.branches.index(branch), image]
            odds = np.exp(fused / stage.temperature)
            spent += costs[stage.branches[-1]]
            if odds.max() / odds.sum() > threshold:
                break
        right += fused.argmax() == data.labels[image]
    return right / len(data.labels), spent / len(data.labels) / sum(costs)


def test_the_curve_is_that_of_a_plain_loop():
    holdout, reported = synthetic(0), synthetic(1, "val")
    fusion = fit("learned", holdout)
    costs = (1.0, 2.0, 3.0, 4.0)
    cascade = fit_cascade(replace(fusion, weights=(0.2, 0.4, 0.3, 0.1)), holdout, 0.98, costs)
    assert sorted(cascade.order) == [0, 1, 2, 3]
    in_order = [costs[branch] for branch in cascade.order]
    for point in cascade_curve(cascade, reported, in_order, [0.3, 0.6, 0.9, cascade.threshold]):
        accuracy, cost = by_hand(cascade, reported, point.threshold, costs)
        assert point.accuracy == pytest.approx(accuracy, abs=1e-12)
        assert point.cost == pytest.approx(cost, abs=1e-12)
        assert sum(point.stopped) == pytest.approx(1)


def test_the_best_branch_comes_first_and_the_rest_adds_most():
    holdout = synthetic(2)
    fusion = Fusion(rule="mean", branches=(0, 1, 2, 3), weights=(0.25,) * 4, temperature=0.7)
    order = fit_cascade(fusion, holdout, 1.0).order
    rights = [(holdout.logits[branch].argmax(1) == holdout.labels).sum() for branch in range(4)]
    assert order[0] == int(np.argmax(rights)) == 1
    seconds = {branch: (holdout.logits[[1, branch]].sum(0).argmax(1) == holdout.labels).sum() for branch in (0, 2, 3)}
    assert seconds[order[1]] == max(seconds.values())
    assert fit_cascade(fusion, holdout, 1.0).stages[-1].temperature == 0.7


def test_the_threshold_keeps_the_target_and_saves_work():
    holdout = synthetic(3, count=2000)
    fusion = fit("learned", holdout)
    costs = []
    for target in (1.0, 0.97, 0.9):
        cascade = fit_cascade(fusion, holdout, target)
        curve = cascade_curve(cascade, holdout)
        chosen = next(point for point in curve if point.threshold == cascade.threshold)
        assert curve[-1].threshold == NEVER
        assert chosen.accuracy >= target * curve[-1].accuracy
        cheaper = [point for point in curve if point.cost < chosen.cost]
        assert all(point.accuracy < target * curve[-1].accuracy for point in cheaper)
        costs.append(chosen.cost)
    assert 1 > costs[0] > costs[1] > costs[2] > 0.2


def test_the_reported_set_changes_nothing():
    """Order and threshold follow from the holdout: other logits elsewhere leave them as they are."""
    holdout = synthetic(4)
    fusion = fit("learned", holdout)
    assert fit_cascade(fusion, holdout, 0.97) == fit_cascade(fusion, holdout, 0.97)
    with pytest.raises(UsageError, match="cannot be fitted on the split 'val'"):
        fit_cascade(fusion, synthetic(5, "val"), 0.97)
    for target in (0.0, 1.01, float("nan")):
        with pytest.raises(UsageError, match="it must be above 0 and at most 1"):
            fit_cascade(fusion, holdout, target)
    with pytest.raises(IncompatibleError, match=r"\[7\] are needed too"):
        fit_cascade(Fusion(rule="mean", branches=(0, 7), weights=(0.5, 0.5)), holdout, 0.97)


@pytest.fixture(scope="module")
def served(finished):
    """A cascade of the run whose threshold some pictures pass and others do not."""
    cascade = fitted_cascade(open_run(finished), 1.0)
    first = CascadedEnsemble(SpectralEnsemble.from_run(finished), replace(cascade, threshold=0.0))
    with torch.inference_mode():
        sure = first(canvases(finished)).softmax(1).amax(1).sort().values
    # Between two pictures, so that rounding cannot decide.
    place = int(sure.diff().argmax())
    middle = sure[place : place + 2].mean().item()
    return CascadedEnsemble(SpectralEnsemble.from_run(finished), replace(cascade, threshold=middle))


def test_a_served_cascade_is_a_plain_loop_over_the_pictures(finished, served):
    pictures = canvases(finished)
    with torch.inference_mode():
        found, used = served.logits_and_branches(pictures)
        each = SpectralEnsemble.from_run(finished).branch_logits(pictures).double()
    held = served.ensemble.fusion.branches
    assert len(set(used.tolist())) > 1
    for image in range(len(pictures)):
        count, fused = 0, torch.zeros(())
        for stage in served.cascade.stages:
            count += 1
            pairs = zip(stage.branches, stage.weights, strict=True)
            fused = sum(weight * each[held.index(branch), image] for branch, weight in pairs) / stage.temperature
            if fused.softmax(0).max() > served.cascade.threshold:
                break
        assert used[image] == count
        torch.testing.assert_close(found[image].double(), fused, rtol=0, atol=1e-4)


def test_a_cascade_that_never_stops_is_the_ensemble(finished, served):
    pictures = canvases(finished)
    ensemble = SpectralEnsemble.from_run(finished)
    with torch.inference_mode():
        found, used = CascadedEnsemble(ensemble, replace(served.cascade, threshold=NEVER)).logits_and_branches(pictures)
        torch.testing.assert_close(found, ensemble(pictures), rtol=0, atol=1e-5)
    assert used.tolist() == [len(ensemble.fusion.branches)] * len(pictures)


def test_a_report_needs_the_logits_files_only(finished, tmp_path):
    run = open_run(finished)
    report = json.loads(json.dumps(cascade_report(run, 0.9)))
    fusion = read_fusion(run.fusion_path())
    assert isinstance(fusion, Fusion)
    data = load_branches([run.logits_path("val", branch) for branch in fusion.branches])
    whole = (fusion.apply(data.logits).argmax(1) == data.labels).mean()
    assert report["curves"]["val"][-1]["accuracy"] == pytest.approx(whole)
    assert [point["threshold"] for point in report["curves"]["val"]] == [
        point["threshold"] for point in report["curves"]["holdout"]
    ]
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("store", "branch-0[0-9]", "val"))
    alone = cascade_report(open_run(tmp_path / "run"), 0.9)
    assert alone["threshold"] == report["threshold"]
    assert set(alone["curves"]) == {"holdout"}
    shutil.rmtree(tmp_path / "run" / "logits")
    with pytest.raises(UsageError, match="has no holdout logits of the branches"):
        cascade_report(open_run(tmp_path / "run"), 0.9)


def test_only_a_sequential_ensemble_can_stop(finished, served):
    with pytest.raises(UsageError, match="leave the mode at sequential"):
        CascadedEnsemble(SpectralEnsemble.from_run(finished, mode="concurrent"), served.cascade)
    other = replace(served.cascade, stages=served.cascade.stages[:1])
    with pytest.raises(UsageError, match="the cascade has the branches"):
        CascadedEnsemble(SpectralEnsemble.from_run(finished), other)


def test_the_commands(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("store"))
    run, pictures = str(tmp_path / "run"), str(finished.parent / "pictures" / "val")
    threads = torch.get_num_threads()
    try:
        for flags in ([], ["--mode", "concurrent"], ["--cascade", "1.0"]):
            assert main(["predict", run, pictures, "--json", *flags]) == 0
            rows = json.loads(capsys.readouterr().out)["predictions"]
            assert {row["status"] for row in rows} == {"ok"}
    finally:
        torch.set_num_threads(threads)
    assert main(["predict", run, pictures, "--cascade", "0.9", "--mode", "stacked", "--json"]) == 2
    assert "leave --mode out" in capsys.readouterr().out


def test_a_cascade_has_not_the_votes_of_all(finished):
    with pytest.raises(UsageError, match="does not ask every branch"):
        predict_paths(CascadedEnsemble.from_run(finished, 0.9), [finished.parent / "pictures"], votes=True)
