"""The sizes of the published networks, on the meta device."""

import pytest
import torch

from bandwise.models.cost import counts, macs, saved_activation_bytes
from bandwise.models.zoo import create_branch

# model, side, stem, classes, parameters, MiB as published; of the rows see tests/recipes/test_published_rows.py
PUBLISHED = [
    ("resnet18", 224, "stock", 1000, 11_689_512, 44.59),
    ("resnet34", 224, "dense", 1000, 21_797_672, 83.15),
    ("resnet34", 224, "stock", 11221, 27_041_045, 103.15),
]
# One channel, ten classes: the MNIST networks, published to two digits, cut off or rounded.
MNIST = [("fc4", 28, 7.10), ("fc8", 28, 16.54), ("fc8", 14, 1.06), ("fc8", 7, 0.07)]
# millions of multiply-accumulates and MiB of saved activations an image, measured by other means for ResNet-34
COSTS = [
    (224, "stock", 3.66, 30.76),
    (112, "stock", 0.97, 7.81),
    (112, "dense", 3.58, 25.7),
    (56, "stock", 0.27, 2.07),
    (56, "dense", 3.55, 23.3),
]


def on_meta(model: str, side: int, stem: str = "stock", classes: int = 1000, channels: int = 3) -> torch.nn.Module:
    with torch.device("meta"):
        return create_branch(model, num_classes=classes, in_channels=channels, input_size=side, stem=stem)


@pytest.mark.parametrize(("model", "side", "stem", "classes", "parameters", "mib"), PUBLISHED)
def test_published_sizes(model, side, stem, classes, parameters, mib):
    network = on_meta(model, side, stem, classes)
    size = counts(network)
    assert size["parameters"] == parameters
    assert size["mib_parameters"] == parameters * 4 / 2**20 == pytest.approx(mib, abs=0.006)
    assert network(torch.empty(3, 3, side, side, device="meta")).shape == (3, classes)


@pytest.mark.parametrize(("model", "side", "mib"), MNIST)
def test_mnist_sizes_count_buffers(model, side, mib):
    size = counts(on_meta(model, side, classes=10, channels=1))
    assert size["mib_with_buffers"] == pytest.approx(mib, abs=0.01)


@pytest.mark.parametrize(("side", "stem", "gigamacs", "mib"), COSTS)
def test_cost_of_resnet34(side, stem, gigamacs, mib):
    network = on_meta("resnet34", side, stem)
    assert macs(network, (1, 3, side, side)) / 1e9 == pytest.approx(gigamacs, abs=0.006)
    assert saved_activation_bytes(network, (2, 3, side, side)) / 2 / 2**20 == pytest.approx(mib, abs=0.06)


@pytest.mark.parametrize(
    ("model", "side", "stem", "millions"),
    [("resnet10", 112, "stock", 55.35), ("resnet10-slim", 160, "stock", 32.13), ("resnet8", 16, "dense", 12.28)],
)
def test_cost_of_the_small_networks(model, side, stem, millions):
    assert macs(on_meta(model, side, stem, classes=14), (1, 3, side, side)) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("channels", [1, 4, 12, 108])
@pytest.mark.parametrize("model", ["alexnet-sub16", "vgg16-sub16", "resnet34", "resnet50", "resnet10", "resnet8"])
def test_a_group_of_bands_only_widens_the_first_convolution(model, channels):
    network = on_meta(model, 56, classes=10, channels=channels)
    first = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
    assert first.in_channels == channels
    one = counts(on_meta(model, 56, classes=10, channels=1))["parameters"]
    kernel = first.kernel_size[0] * first.kernel_size[1]
    assert counts(network)["parameters"] - one == (channels - 1) * kernel * first.out_channels
