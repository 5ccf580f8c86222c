"""A graph whose networks compute in 8 bits: static quantisation by onnxruntime, calibrated on pictures."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bandwise.export.graph import INPUTS

_OPERATORS = ("Conv", "Gemm", "MatMul")
_EXACT = ("ensemble.split.", "ensemble.weights", "ensemble.head.")
"""Weights whose products stay as they are: of the split, which is exact, and of the fusion."""


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
    """Return the names of the nodes that multiply by weights of a branch."""
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
