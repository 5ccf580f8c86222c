"""The answers of a run: written where they are missing or of other weights, and read once."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from bandwise.cli import main
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


@pytest.mark.parametrize(("verb", "split"), [("fuse", "holdout"), ("evaluate", "val")])
def test_device_and_images_at_a_time_of_a_command_count(run, verb, split, monkeypatch):
    before = np.array(Answers(open_run(run)).logits(split, (0,)).logits)
    shutil.rmtree(run / "logits")
    calls, write = [], module.write_answers
    monkeypatch.setattr(module, "write_answers", lambda *given, **named: calls.append(named) or write(*given, **named))
    assert main([verb, str(run), "--device", "cpu", "--batch-size", "3"]) == 0
    assert {(call["device"], call["batch_size"]) for call in calls} == {("cpu", 3)}
    np.testing.assert_allclose(Answers(open_run(run)).logits(split, (0,)).logits, before, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("command", ["fuse", "evaluate", "predict"])
def test_a_device_that_is_not_there_is_refused(run, command, capsys):
    """So none of these commands falls back to the CPU in silence."""
    shutil.rmtree(run / "logits")
    pictures = [str(run)] if command == "predict" else []
    assert main([command, str(run), *pictures, "--device", "cuda"]) == 2
    assert "device is 'cuda'" in capsys.readouterr().err
