"""A graph as an ONNX file, with its labels and its preprocessing in the metadata; and one that computes in 8 bits.

The latter is by static quantisation of onnxruntime, calibrated on pictures.
"""

import contextlib
import dataclasses
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from bandwise.errors import UsageError
from bandwise.export.graph import INPUTS, OUTPUTS, Facts, Graph, facts_of_graph

OPSET = 18
"""The version of the operators: what the exporter writes, and what every runtime of the last years reads."""

# The format itself, protobuf, ends at 2 GiB; weights are nearly all of it.
_MOST_BYTES = 2_000_000_000

_OPERATORS = ("Conv", "Gemm", "MatMul")
_EXACT = ("ensemble.split.", "ensemble.weights", "ensemble.head.")
"""Weights whose products stay as they are: of the split, which is exact, and of the fusion."""


def require_onnx() -> None:
    """Refuse where the packages are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed; install bandwise[onnx]") from error


def to_onnx(graph: Graph) -> Any:
    """Return a graph as an `onnx.ModelProto`; it has nothing of the machine that it was made on."""
    weights = sum(value.numel() * value.element_size() for value in graph.state_dict().values())
    if weights > _MOST_BYTES:
        raise UsageError(
            f"the weights take {weights / 1e9:.1f} GB; one ONNX file holds at most 2, so write pt2 instead"
        )
    require_onnx()
    with warnings.catch_warnings():
        # Of its own making: a class of torch that torch itself still uses.
        warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
        program = torch.onnx.export(
            graph.traced(),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _clean(model)
    _describe(model, facts_of_graph(graph))
    return model


def _clean(model: Any) -> None:
    """Take out what the exporter notes for its own debugging, which names source files of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == batch:
                dimension.dim_param = "batch"


def _describe(model: Any, facts: Facts) -> None:
    model.producer_name, model.producer_version = "bandwise", facts.bandwise
    for key, value in dataclasses.asdict(facts).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)


def session_of(content: bytes) -> Any:
    """Open a model in onnxruntime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # It does not know this variable itself; 0 threads are as many as it likes.
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    # Errors come as exceptions; warnings about graphs of its own making help nobody.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def to_int8(model: Any, batches: Sequence[NDArray[Any]]) -> Any:
    """Return an `onnx.ModelProto` whose layers have weights and activations of 8 bits.

    Only layers with weights of a branch change: the split stays exact, the fusion stays in float. `batches` are
    canvases of the graph's input type, over which the range of every activation is measured.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Canvases(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[NDArray[Any]] = iter(batches)

        def get_next(self) -> Any:
            # None ends it, whatever the base class says.
            images = next(self._left, None)
            return None if images is None else {INPUTS: images}

    with tempfile.TemporaryDirectory(prefix="bandwise-int8-") as folder, _quiet():
        plain, prepared, small = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "small"))
        plain.write_bytes(model.SerializeToString())
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(small),
            Canvases(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_quantize=_layers(onnx.load(prepared)),
        )
        quantised = onnx.load(small)
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(model.metadata_props)
    quantised.producer_name, quantised.producer_version = model.producer_name, model.producer_version
    return quantised


def _layers(model: Any) -> list[str]:
    weights = {own.name for own in model.graph.initializer if not own.name.startswith(_EXACT)}
    layers = (node for node in model.graph.node if node.op_type in _OPERATORS)
    return [node.name for node in layers if weights.intersection(node.input[:2])]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice to call what has been called."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
