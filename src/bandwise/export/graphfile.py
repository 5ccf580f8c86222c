"""Writes a classifier as one file that other programs run: ONNX, or torch's own `.pt2`."""

import dataclasses
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bandwise.errors import UsageError
from bandwise.export.graph import INPUTS, OUTPUTS, Graph, InputType, facts_of_graph
from bandwise.export.onnxfile import OPSET, require_onnx, session_of, to_int8, to_onnx
from bandwise.export.parity import Answer, Parity, Pictures, accuracies, compare, require_parity
from bandwise.export.place import require_free
from bandwise.files.atomic import write_bytes
from bandwise.serving.ensemble import SpectralEnsemble

GraphFormat = Literal["onnx", "pt2"]
FACTS_NAME = "bandwise.json"
"""Where a `.pt2` has what an ONNX file has in its metadata."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """A graph of 8 bits beside the one it was made of, on the reported pictures."""

    calibrated_on: int
    pictures: int
    top1_float: float
    top1_int8: float
    bytes_float: int


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What was written."""

    path: Path
    bytes: int
    opset: int | None
    """None for a `.pt2`."""
    parity: Parity
    int8: Quantised | None


def write_graph(
    ensemble: SpectralEnsemble,
    out: Path,
    kind: GraphFormat,
    pictures: Pictures,
    *,
    input_type: InputType = "uint8",
    int8: bool = False,
) -> GraphFile:
    """Export a classifier to the file `out` and compare it with the original on real pictures, before it is there."""
    require_place(out, kind)
    if int8 and kind != "onnx":
        raise UsageError("--int8 is for --format onnx")
    if int8 and (pictures.holdout is None or pictures.reported is None):
        raise UsageError("--int8 is calibrated on the holdout of a run and scored on its reported set: name a run")
    graph = Graph(ensemble, input_type)
    model = None if kind == "pt2" else to_onnx(graph)
    content, answer = _pt2(graph) if model is None else _onnx(model)
    parity, quantised = compare(ensemble, answer, pictures.some, input_type), None
    require_parity(parity)
    if int8:
        content, answer, quantised = _int8(model, answer, pictures, input_type)
        parity = compare(ensemble, answer, pictures.some, input_type)
    write_bytes(out, content)
    return GraphFile(out, len(content), OPSET if kind == "onnx" else None, parity, quantised)


def require_place(out: Path, kind: GraphFormat) -> None:
    """Refuse another ending, a place that is taken, and packages that are missing, before the work."""
    if out.suffix != f".{kind}":
        raise UsageError(f"--out is {out}; a file of --format {kind} must end in .{kind}")
    require_free(out)
    if kind == "onnx":
        require_onnx()


def _onnx(model: Any) -> tuple[bytes, Answer]:
    content = model.SerializeToString()
    session = session_of(content)
    return content, lambda images: session.run(OUTPUTS[:1], {INPUTS: images})[0]


def _pt2(graph: Graph) -> tuple[bytes, Answer]:
    program, stream = graph.traced(), io.BytesIO()
    facts = json.dumps(dataclasses.asdict(facts_of_graph(graph)))
    for node in program.graph.nodes:
        # It names source files of this machine.
        node.meta.pop("stack_trace", None)
    with warnings.catch_warnings():
        # Weights that are views, as the channels-last ones are; they are whole, and on the CPU.
        warnings.filterwarnings("ignore", message="No complete tensor found in the group")
        torch.export.save(program, stream, extra_files={FACTS_NAME: facts})
    module = program.module()

    def answer(images: NDArray[Any]) -> NDArray[np.floating]:
        with torch.inference_mode():
            return module(torch.from_numpy(images))[0].numpy()

    return stream.getvalue(), answer


def _int8(model: Any, before: Answer, pictures: Pictures, input_type: InputType) -> tuple[bytes, Answer, Quantised]:
    assert pictures.holdout is not None
    assert pictures.reported is not None
    batches = [images.numpy().astype(input_type) for images in pictures.holdout()]
    content, answer = _onnx(to_int8(model, batches))
    (of_float, of_int8), count = accuracies((before, answer), pictures.reported(), input_type)
    return content, answer, Quantised(sum(map(len, batches)), count, of_float, of_int8, model.ByteSize())
