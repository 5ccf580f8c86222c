"""Every network exports, and its graph answers as the module."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from bandwise.checkpoints.branch import TrainedBranch, build_branch, build_network
from bandwise.config import NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.errors import UsageError
from bandwise.export.graph import OUTPUTS, Graph
from bandwise.export.onnxfile import session_of, to_onnx
from bandwise.fusion.cascade import Cascade
from bandwise.fusion.combination import Fusion
from bandwise.fusion.head import FusionHead, TrainedHead
from bandwise.models.zoo import names
from bandwise.serving.cascaded import CascadedEnsemble
from bandwise.serving.ensemble import SpectralEnsemble

pytest.importorskip("onnxruntime", reason="bandwise[onnx] is not installed")

# The least side of a band in pixels that a network takes.
SIDES = {
    "alexnet": 64,
    "alexnet-sub16": 32,
    "alexnet-sub4": 48,
    "vgg16": 32,
    "vgg16-sub4": 32,
    "timm:convnext_atto": 32,
}
# The first is in every run of the tests, the others in that of all.
NETWORKS = [
    "resnet8-slim",
    *(name for name in names() if name != "resnet8-slim"),
    "timm:convnext_atto",
    "timm:vit_tiny_patch16_224",
    "timm:efficientnet_b0",
]


def untrained(
    model: str = "fc4", groups=((0,), (1,)), *, channels: int = 3, seed: int = 0, **split
) -> list[TrainedBranch]:
    """Return branches with random weights, running statistics and standardisation."""
    side = SIDES.get(model, 16)
    config = RunConfig(
        split=SplitConfig(**{"stride": 2, "canvas": 2 * side + 4, **split}),
        network=NetworkConfig(model=model),
        training=TrainingConfig(crop=2 * side),
    )
    generator = torch.Generator().manual_seed(seed)
    branches = []
    for bands in groups:
        with torch.random.fork_rng():
            torch.manual_seed(seed + len(branches))
            network = build_network(config, num_classes=5, bands=len(bands), channels=channels)
        weights = network.state_dict()
        for name, value in weights.items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=generator)
            elif name.endswith(("running_mean", "bn2.weight")):
                value.normal_(0, 0.3, generator=generator)
        facts = {"digest": "0" * 64, "classes": tuple("abcde"), "channels": channels}
        numbers = [[100.0 + 10 * band + colour for colour in range(channels)] for band in bands]
        state = {"bands": list(bands), "store": {**facts, "mean": numbers, "std": numbers}}
        branches.append(build_branch(config, state, weights, "random weights"))
    return branches


def classifier(*arguments, **options) -> SpectralEnsemble:
    branches = untrained(*arguments, **options)
    weights = {1: (1.0,), 2: (0.75, 0.25), 3: (0.5, 0.25, 0.25)}[len(branches)]
    return SpectralEnsemble(branches, Fusion(rule="mean", branches=tuple(range(len(branches))), weights=weights))


def canvases(ensemble: SpectralEnsemble, count: int = 3) -> torch.Tensor:
    shape = (count, ensemble.channels, ensemble.canvas, ensemble.canvas)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(7))


def require_equal(ensemble: SpectralEnsemble, graph: Graph, present: np.ndarray | None = None) -> None:
    """Compare the file of a graph with the module it was made of, at two sizes of a batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = session_of(to_onnx(graph).SerializeToString())
    for count in (1, 3):
        images = canvases(ensemble, count)
        feed = {"images": images.numpy().astype(graph.input_type)}
        if present is not None:
            feed["present"] = present
        with torch.inference_mode():
            expected = graph(images, *(() if present is None else (torch.from_numpy(present),)))
            if present is None:
                torch.testing.assert_close(expected[0], ensemble(images).softmax(1), rtol=0, atol=1e-6)
        found = session.run(OUTPUTS, feed)
        for place, tolerance in ((0, 1e-5), (1, 1e-4 * max(1.0, float(expected[1].abs().max())))):
            np.testing.assert_allclose(found[place], expected[place].numpy(), rtol=0, atol=tolerance)
        np.testing.assert_array_equal(found[2], expected[2].numpy())


@pytest.mark.parametrize("model", NETWORKS)
def test_every_network_exports(model):
    ensemble = classifier(model, ((1,),))
    require_equal(ensemble, Graph(ensemble))


@pytest.mark.parametrize(
    "options",
    [
        {"input_type": "float32"},
        {"storage": "float16", "transform": "dct1d"},
        {"channels": 1, "transform": "hadamard", "stride": 4},
    ],
)
def test_other_inputs_and_splits(options):
    options = dict(options)
    kind = options.pop("input_type", "uint8")
    ensemble = classifier(groups=((3, 1),), **options)
    require_equal(ensemble, Graph(ensemble, kind))


def with_head() -> SpectralEnsemble:
    branches = untrained()
    torch.manual_seed(3)
    width = next(layer for layer in reversed(list(branches[0].network.modules())) if isinstance(layer, nn.Linear))
    head = FusionHead((width.in_features,) * 2, 5).eval().requires_grad_(False)
    head.mean.normal_()
    facts = {"epochs": 1, "n_train": 9, "n_holdout": 9, "views": 1, "seed": 0, "weights": ("0", "1")}
    return SpectralEnsemble(branches, TrainedHead(head=head, branches=(0, 1), temperature=2.0, **facts))


@pytest.mark.parametrize("kind", ["weights", "head"])
def test_branches_are_switched_off_as_by_the_fusion(kind):
    ensemble = classifier() if kind == "weights" else with_head()
    graph = Graph(ensemble, "float32", switches=True)
    present = np.array([0, 1], dtype=np.float32)
    require_equal(ensemble, graph, present)
    images = canvases(ensemble)
    with torch.inference_mode():
        probabilities, logits, _ = graph(images, torch.from_numpy(present))
        if kind == "weights":
            expected = logits[:, 1].softmax(1)
        else:
            features = [*ensemble.inputs(images)][1]
            seen = []
            linear = [layer for layer in ensemble.networks[1].modules() if isinstance(layer, nn.Linear)]
            handle = linear[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            ensemble.networks[1](features)
            handle.remove()
            expected = (ensemble.head([None, seen[0].half().float()]) / 2.0).softmax(1)
        all_on = graph(images, torch.ones(2))[0]
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(all_on, ensemble(images).softmax(1), rtol=0, atol=1e-6)
    assert not torch.allclose(probabilities, all_on, atol=1e-3)


def test_cascades_and_modes_are_refused():
    branches = untrained()
    fusion = Fusion(rule="mean", branches=(0, 1), weights=(0.5, 0.5))
    single = fusion.restrict([0])
    cascade = Cascade(stages=(single, fusion), threshold=0.9, target=0.99)
    for refused in (
        SpectralEnsemble(branches, fusion, "concurrent"),
        SpectralEnsemble([branches[0], branches[0]], fusion, "stacked"),
        CascadedEnsemble(SpectralEnsemble(branches, fusion), cascade),
    ):
        with pytest.raises(UsageError, match="cannot be exported"):
            Graph(refused)  # type: ignore[arg-type]
