"""All 661 reported photographs through the file of a graph: the decoder, the resize, the networks."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.export.test_graphfile import by_predict, by_the_document
from tests.export.test_page import opened, says
from tests.helpers.browser import opened_browser

from bandwise.cli import main
from bandwise.launch.pipeline import run
from bandwise.recipes.catalog import find_recipe
from bandwise.sources.named.catalog import fetch

pytest.importorskip("onnxruntime", reason="bandwise[onnx] is not installed")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Four bands of the photographs, small networks, two epochs."""
    config = find_recipe("photos-sub4").config
    config = replace(
        config,
        split=replace(config.split, canvas=96),
        network=replace(config.network, model="resnet8-slim", stem="dense"),
        training=replace(config.training, crop=64, epochs=2, warmup_epochs=0, lr=0.05),
    )
    path = tmp_path_factory.mktemp("photographs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda process: {0})
        run(config, path, jobs=1)
    return path


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    files = sorted((fetch("photos") / "test").rglob("*.jpg"))
    assert len(files) == 661
    return files


def test_pillow_and_onnxruntime_alone_answer_as_predict(trained, photographs, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    assert main(["export", str(trained), "--format", "onnx", "-o", str(out)]) == 0
    assert "equal top-1 64 of 64" in capsys.readouterr().out
    theirs, ours = by_the_document(out, photographs), by_predict(capsys, trained, photographs)
    assert [label for label, _ in theirs] == [label for label, _ in ours]
    assert max(abs(a - b) for (_, a), (_, b) in zip(theirs, ours, strict=True)) < 1e-5
    assert len({label for label, _ in ours}) > 5


def test_the_page_answers_as_predict_on_nearly_all(runtime, trained, photographs, tmp_path, capsys):
    out = tmp_path / "page"
    assert main(["export", str(trained), "--format", "page", "-o", str(out)]) == 0
    capsys.readouterr()
    equal = 0
    with opened_browser() as browser, opened(browser, out) as page:
        for path, (label, _) in zip(photographs, by_predict(capsys, trained, photographs), strict=True):
            page.evaluate("document.getElementById('status').textContent = ''")
            page.set_input_files("#file", str(path))
            equal += says(page, "^Answer").startswith(f"Answer: {label}, ")
    assert equal >= 0.99 * len(photographs)
