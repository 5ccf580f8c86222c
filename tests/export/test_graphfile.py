"""The file of a graph: what it says of itself, how it answers, what is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.helpers.commands import call
from tests.helpers.trees import ROOT, tree

from bandwise.cli import main
from bandwise.errors import BandwiseError, UsageError
from bandwise.export import graphfile, parity
from bandwise.export.bundle import write_bundle
from bandwise.export.onnxfile import OPSET, session_of, to_int8
from bandwise.export.parity import Pictures
from bandwise.runs.run import open_run
from bandwise.serving.ensemble import SpectralEnsemble

onnx = pytest.importorskip("onnx", reason="bandwise[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="bandwise[onnx] is not installed")

DOCUMENT = ROOT / "docs" / "export.md"


def by_the_document(model: Path, pictures: list[Path]) -> list[tuple[str, float]]:
    """Run the lines of the document in the folder of a model, by a Python that sees nothing of ours."""
    [code] = [
        block for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S) if "onnxruntime" in block
    ]
    assert "bandwise" not in code
    assert "torch" not in code
    command = [sys.executable, "-I", "-c", code, *map(str, pictures)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=model.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.rsplit(" ", 2) for line in done.stdout.splitlines()]
    assert [path for path, _, _ in lines] == list(map(str, pictures))
    return [(label, float(probability)) for _, label, probability in lines]


def by_predict(capsys, model: Path, pictures: list[Path]) -> list[tuple[str, float]]:
    rows = call(capsys, "predict", model, *pictures)["predictions"]
    return [(row["classes"][0]["name"], row["classes"][0]["probability"]) for row in rows]


def test_the_lines_of_the_document_answer_as_predict(finished, onnx_file, reported, capsys):
    theirs, ours = by_the_document(onnx_file, reported), by_predict(capsys, finished, reported)
    assert [label for label, _ in theirs] == [label for label, _ in ours]
    np.testing.assert_allclose([value for _, value in theirs], [value for _, value in ours], rtol=0, atol=1e-5)
    assert len({label for label, _ in ours}) > 1


def test_what_the_file_says_of_itself(finished, onnx_file, pictures):
    content = onnx_file.read_bytes()
    for part in (str(finished).encode(), b"site-packages", b"src/bandwise", str(pictures).encode()):
        assert part not in content
    session = session_of(content)
    assert [(entry.name, entry.shape) for entry in session.get_inputs()] == [("images", ["batch", 3, 24, 24])]
    shapes = [["batch", 3], ["batch", 4, 3], ["batch", 4, 3, 9, 9]]
    assert [entry.shape for entry in session.get_outputs()] == shapes
    [opset] = [entry.version for entry in onnx.load(onnx_file).opset_import if not entry.domain]
    assert opset == OPSET
    facts = dict(session.get_modelmeta().custom_metadata_map)
    assert facts.pop("bandwise")
    facts = {key: json.loads(value) for key, value in facts.items()}
    assert facts["labels"] == ["class-0", "class-1", "class-2"]
    assert facts["preprocessing"]["canvas"] == 24
    assert [entry["bands"] for entry in facts["branches"]] == [[0], [1], [2], [3]]
    assert facts["fusion"]["temperature"] == SpectralEnsemble.from_run(finished).fusion.temperature


def test_a_pt2_answers_with_the_bits_of_the_module(finished, pictures, tmp_path, capsys):
    """A released model has no pictures of its own; names of a folder do."""
    model, out = write_bundle(open_run(finished), tmp_path / "model").path, tmp_path / "model.pt2"
    command = ["export", model, "--format", "pt2", "--input", "float32", "-o", out]
    assert "--pictures" in call(capsys, *command, code=2)["error"]["message"]
    written = call(capsys, *command, "--pictures", pictures / "val")
    assert written["parity"]["pictures"] == written["parity"]["equal_top1"] == 15
    assert written["parity"]["max_difference"] < 1e-6
    extra = {"bandwise.json": ""}
    program = torch.export.load(out, extra_files=extra).module()
    assert json.loads(extra["bandwise.json"])["labels"] == ["class-0", "class-1", "class-2"]
    images = torch.randint(0, 256, (5, 3, 24, 24)).float()
    expected = SpectralEnsemble.from_run(finished)(images).softmax(1)
    torch.testing.assert_close(program(images)[0], expected, rtol=0, atol=1e-6)
    assert b"src/bandwise" not in out.read_bytes()


def test_eight_bits_leave_the_bands_exact(finished, onnx_file):
    images = torch.randint(0, 256, (16, 3, 24, 24), dtype=torch.uint8).numpy()
    plain = onnx.load(onnx_file)
    small = to_int8(plain, [images])
    kinds = [node.op_type for node in small.graph.node]
    assert kinds.count("QuantizeLinear") > 10
    assert list(small.metadata_props) == list(plain.metadata_props)
    found, expected = (session_of(own.SerializeToString()).run(None, {"images": images}) for own in (small, plain))
    np.testing.assert_array_equal(found[2], expected[2])
    assert 0 < np.abs(found[0] - expected[0]).max() < 0.2


def test_accuracies_count_the_labelled_pictures():
    batches = [(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1])), (torch.zeros(1, 3, 4, 4), torch.tensor([1]))]
    always = [lambda images, place=place: np.eye(2)[[place] * len(images)] for place in (0, 1)]
    assert parity.accuracies(always, batches, "uint8") == ([1 / 3, 2 / 3], 3)


def test_a_graph_that_answers_otherwise_is_not_written(finished, tmp_path, monkeypatch):
    ensemble = SpectralEnsemble.from_run(finished)
    some = Pictures(torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8))
    real = graphfile._pt2

    def broken(graph):
        content, answer = real(graph)
        return content, lambda images: np.roll(answer(images), 1, axis=1)

    monkeypatch.setattr(graphfile, "_pt2", broken)
    with pytest.raises(BandwiseError, match=r"nothing was written: .* equal top-1 0 of 2"):
        graphfile.write_graph(ensemble, tmp_path / "model.pt2", "pt2", some)
    assert tree(tmp_path) == {}


def test_what_cannot_be_exported_is_said_before_the_work(finished, tmp_path, capsys, monkeypatch):
    def message(*options: str) -> str:
        assert main(["export", str(finished), *options]) == 2
        return capsys.readouterr().err

    out = str(tmp_path / "model.onnx")
    assert "must end in .onnx" in message("--format", "onnx", "-o", str(tmp_path / "model"))
    assert "must end in .pt2" in message("--format", "pt2", "-o", out)
    assert "--int8 is for --format onnx" in message("--format", "pt2", "--int8", "-o", str(tmp_path / "model.pt2"))
    some = ["--pictures", str(ROOT / "docs")]
    assert "name a run" in message("--format", "onnx", "--int8", "-o", out, *some)
    (tmp_path / "empty").mkdir()
    assert "no pictures" in message("--format", "onnx", "-o", out, "--pictures", str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "onnxscript is not installed; install bandwise[onnx]" in message("--format", "onnx", "-o", out)
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists; remove it"):
        graphfile.require_place(tmp_path / "model.onnx", "onnx")
    assert tree(tmp_path).keys() == {"model.onnx"}
