"""A run whose fusion is a head: evaluation and serving give the same answers, and what does not fit is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.serving.test_ensemble import canvases
from torch.nn.functional import cross_entropy

from bandwise.errors import IncompatibleError, UsageError
from bandwise.files.documents import read_document, write_document
from bandwise.fusion.head import TrainedHead
from bandwise.fusion.saved import save_fusion
from bandwise.launch.answers import Answers
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.report.html import render_report
from bandwise.runs.documents import ScoredHead
from bandwise.runs.logits import read_logits
from bandwise.runs.run import open_run
from bandwise.serving.ensemble import SpectralEnsemble


def test_a_head_answers_as_it_was_scored(finished, tmp_path):
    """Against the features in the files, and a plain sum of matrix products."""
    shutil.copytree(finished, tmp_path / "run")
    run = open_run(tmp_path / "run")
    evaluated = evaluate_run(run, with_head=True)
    assert "head" in evaluated.rules
    assert evaluated.fusion.rule == "geometric"
    head = fuse_run(run, rule="head")
    assert isinstance(head, TrainedHead)
    results = evaluate_run(run)
    assert results.fusion.rule == "head"
    scored = results.rules["head"]
    assert isinstance(scored, ScoredHead)
    assert scored == evaluated.rules["head"]
    assert vars(results.fused).items() <= vars(scored).items()
    assert results.leave_one_out == scored.leave_one_out
    assert [entry.branch for entry in scored.leave_one_out] == [0, 1, 2]
    assert scored.views == 2
    holdout = Answers(run).features("holdout", head.branches)
    labels = torch.from_numpy(holdout.labels)
    logits = torch.from_numpy(head.apply(holdout))
    assert scored.holdout.nll == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-6)
    assert scored.holdout.n == len(labels)
    answers = read_logits(run.head_logits_path)
    ensemble = SpectralEnsemble.from_run(run.path)
    with torch.inference_mode():
        fused = ensemble(canvases(finished))
    assert fused.std() > 1e-3
    torch.testing.assert_close(
        fused * head.temperature, torch.from_numpy(np.array(answers.logits)), rtol=1e-2, atol=1e-2
    )
    page = render_report([run.path], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "in the head" in page
    assert "fused by head" in page


def test_a_run_of_before_processor_time_was_measured_is_evaluated_all_the_same(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    run = open_run(tmp_path / "run")
    path = run.branch_folder(1) / "summary.json"
    old = {key: value for key, value in read_document(path).items() if key not in ("cpu_s", "self_sha256")}
    write_document(path, old)
    results = evaluate_run(run)
    assert [entry.cpu_s is None for entry in results.branches] == [False, True, False]
    assert results.cost.cpu_s_sum is None
    assert results.cost.wall_s_sum > 0


def test_a_head_for_other_weights_is_refused(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    run = open_run(tmp_path / "run")
    head = fuse_run(run, rule="head", use=(0, 2))
    assert isinstance(head, TrainedHead)
    save_fusion(run.fusion_path(), replace(head, weights=("0" * 64, head.weights[1])))
    with pytest.raises(IncompatibleError, match="was trained on other weights of branch 0"):
        SpectralEnsemble.from_run(run.path)


def test_a_head_takes_the_centre_crop_only(finished):
    run = open_run(finished)
    with pytest.raises(UsageError, match="works on the centre crop, not on 10 crops"):
        fuse_run(run, rule="head", answers=Answers(run, crops=10))
    with pytest.raises(UsageError, match="leave --head out"):
        evaluate_run(run, answers=Answers(run, crops=10), with_head=True)
