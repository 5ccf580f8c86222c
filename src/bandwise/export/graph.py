"""A classifier as one graph: canvases in; probabilities, the logits of every branch and the bands out.

And what has to be done to a picture before an exported model sees it, as plain fields that a file can carry.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from bandwise.errors import UsageError
from bandwise.fusion.combination import Fusion
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.version import __version__

InputType = Literal["uint8", "float32"]
INPUTS, SWITCHES = "images", "present"
OUTPUTS = ("probabilities", "branch_logits", "bands")
# A batch of one would be taken for a constant.
_EXAMPLE_BATCH = 2

_MODES = {1: "L", 3: "RGB"}
_COLOURS = {1: "grey, 0.299 R + 0.587 G + 0.114 B", 3: "RGB"}


class Graph(nn.Module):
    """What is exported: (B, C, canvas, canvas) to (B, classes), (B, branches, classes) and (B, bands, C, side, side).

    Bands are those of the central crop, as a store holds them: uint8, or half precision written as float32.
    """

    def __init__(self, ensemble: SpectralEnsemble, input_type: InputType = "uint8", *, switches: bool = False) -> None:
        """Wrap a classifier; with `switches` the graph has a second input, float32 (branches,), 0 for a branch off."""
        super().__init__()
        # What asks its branches in turn until it is sure is no SpectralEnsemble.
        if not isinstance(ensemble, SpectralEnsemble) or ensemble.mode != "sequential":
            raise UsageError(
                "a graph computes all branches in one order: a cascade, and the modes stacked and concurrent, cannot "
                "be exported; load the model without them"
            )
        self.ensemble, self.input_type, self.switches = ensemble, input_type, switches
        self.eval()

    def forward(self, images: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities, branch logits and bands."""
        stored = self.ensemble.stored(images)
        fused, logits = self.ensemble.fused_and_branches(stored, present)
        kind = torch.uint8 if self.ensemble.split_config.storage == "uint8" else torch.float32
        return fused.softmax(1), logits.transpose(0, 1), stored.to(kind)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs."""
        return (INPUTS, SWITCHES) if self.switches else (INPUTS,)

    def traced(self) -> ExportedProgram:
        """Return it as a program for any batch size."""
        side, channels = self.ensemble.canvas, self.ensemble.channels
        kind = torch.uint8 if self.input_type == "uint8" else torch.float32
        images = torch.zeros((_EXAMPLE_BATCH, channels, side, side), dtype=kind)
        shapes: dict[str, Any] = {INPUTS: {0: Dim("batch")}}
        if not self.switches:
            return torch.export.export(self, (images,), dynamic_shapes=shapes)
        present = torch.ones(len(self.ensemble.fusion.branches))
        return torch.export.export(self, (images, present), dynamic_shapes={**shapes, SWITCHES: None})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a graph says of itself, for the metadata of its file."""

    labels: tuple[str, ...]
    preprocessing: dict[str, Any]
    branches: list[dict[str, Any]]
    """Of each, in the order of the branch logits: its number, its bands, its weight where the fusion has one."""
    fusion: dict[str, Any]
    outputs: dict[str, str]
    bandwise: str = __version__


def facts_of_graph(graph: Graph) -> Facts:
    """Describe a graph."""
    ensemble = graph.ensemble
    fusion, bands, groups = ensemble.fusion, ensemble.split.bands, ensemble.groups
    weights = fusion.weights if isinstance(fusion, Fusion) else [None] * len(groups)
    return Facts(
        labels=ensemble.classes,
        preprocessing={**preprocessing(ensemble), "dtype": graph.input_type},
        branches=[
            {"branch": number, "bands": list(group), "weight": weight}
            for number, group, weight in zip(fusion.branches, groups, weights, strict=True)
        ],
        fusion={"rule": fusion.rule if isinstance(fusion, Fusion) else "head", "temperature": fusion.temperature},
        outputs={
            "probabilities": "(batch, classes), of the fusion, calibrated on the holdout",
            "branch_logits": "(batch, branches, classes)",
            "bands": f"(batch, bands, channels, side, side), the bands {list(bands)} as a store holds them",
        },
    )


def preprocessing(ensemble: SpectralEnsemble) -> dict[str, Any]:
    """Return how a picture becomes a canvas, with a sentence for every step."""
    config, side = ensemble.split_config, ensemble.canvas
    return {
        "canvas": side,
        "channels": ensemble.channels,
        "mode": _MODES.get(ensemble.channels),
        "background": config.background,
        "exif": config.exif,
        "depth": config.depth,
        "max_pixels": config.max_pixels,
        "steps": _steps(ensemble),
        "layout": f"(batch, {ensemble.channels}, {side}, {side}), grey levels 0 to 255",
    }


def _steps(ensemble: SpectralEnsemble) -> list[str]:
    config, side = ensemble.split_config, ensemble.canvas
    colours = _COLOURS.get(ensemble.channels, f"an array of {ensemble.channels} channels")
    turned = "apply" if config.exif == "transpose" else "ignore"
    return [
        f"decode to 8 bits; {turned} the EXIF orientation; put grey level {config.background} behind what is "
        f"transparent; make it {colours}",
        "cut the central square: its side m is the shorter side, its corner ((width - m) // 2, (height - m) // 2)",
        f"resize it to {side} x {side} by a triangle filter that widens when it shrinks, as Pillow's BILINEAR does; "
        f"leave it as it is where m is {side}",
        f"put colours first; the model itself cuts the central {ensemble.crop} pixels, splits and standardises",
    ]
