"""The answers of a run: written where they are missing or of other weights, and read once."""

import shutil
from dataclasses import replace

import numpy as np

from bandwise.config import FusionConfig
from bandwise.launch import answers as module
from bandwise.launch.answers import Answers, write_missing_answers
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.runs.run import open_run


def test_fusing_and_evaluating_read_each_file_once(run, monkeypatch):
    run = open_run(run)
    seen, read = [], module.read_logits
    monkeypatch.setattr(module, "read_logits", lambda path: seen.append(path) or read(path))
    answers = Answers(run)
    fuse_run(run, answers=answers)
    evaluate_run(run, answers=answers)
    assert len(seen) == len(set(seen)) == 4


def test_a_run_with_a_head_gets_logits_and_features_in_one_pass(run, monkeypatch):
    run = open_run(run)
    before = [run.logits_path(split, 0).read_bytes() for split in ("holdout", "val")]
    shutil.rmtree(run.path / "logits")
    calls, write = [], module.write_answers
    monkeypatch.setattr(module, "write_answers", lambda *given, **named: calls.append(named) or write(*given, **named))
    with_head = replace(run, config=replace(run.config, fusion=FusionConfig(rule="head")))
    for _ in range(2):
        write_missing_answers(with_head, 0)
    assert [call["split"] for call in calls] == ["holdout", "val"]
    assert [run.logits_path(split, 0).read_bytes() for split in ("holdout", "val")] == before
    features = Answers(run).features("val", (0,))
    assert len(calls) == 2
    assert np.array_equal(features.ids, Answers(run).logits("val", (0,)).ids)
