"""Every family learns for two steps, starts from the seed alone, and refuses what it cannot be."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from bandwise.errors import UsageError
from bandwise.models import zoo
from bandwise.models.plain import FullyConnected, PlainNetwork
from bandwise.models.resnet import ResNet
from bandwise.models.zoo import create_branch

# model, side, stem, channels: small sides keep the large networks quick; every stem occurs
FAMILIES = [
    ("alexnet", 63, "stock", 3),
    ("alexnet-sub4", 48, "stock", 3),
    ("alexnet-sub16", 56, "stock", 12),
    ("vgg16", 32, "stock", 3),
    ("vgg16-sub4", 32, "stock", 3),
    ("vgg16-sub16", 32, "stock", 6),
    ("resnet18", 28, "dense", 3),
    ("resnet34", 56, "stock", 3),
    ("resnet34", 24, "dense", 3),
    ("resnet34", 80, "dense", 3),
    ("resnet50", 56, "stock", 3),
    ("resnet50", 20, "dense", 6),
    ("resnet10", 112, "stock", 3),
    ("resnet10-slim", 80, "dense", 3),
    ("resnet8", 14, "dense", 1),
    ("resnet8-narrow", 14, "dense", 3),
    ("resnet8-slim", 28, "dense", 3),
    ("fc4", 28, "stock", 1),
    ("fc8", 14, "stock", 1),
]


def classifier_of(network: nn.Module) -> nn.Linear:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]


def features_of(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    assert isinstance(network, (PlainNetwork, ResNet, FullyConnected))
    return network.features(images)


def test_the_list_covers_every_network():
    assert {model for model, *_ in FAMILIES} == set(zoo.names())
    assert len(zoo.names()) == 16


@pytest.mark.parametrize(("model", "side", "stem", "channels"), FAMILIES)
def test_two_steps_reach_every_parameter_and_stay_finite(model, side, stem, channels):
    torch.manual_seed(3)
    network = create_branch(model, num_classes=8, in_channels=channels, input_size=side, stem=stem)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.randn(4, channels, side, side), torch.tensor([0, 3, 7, 3])
    for _ in range(2):
        loss = functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # The first step opens the blocks that start as their shortcuts; the second one reaches what is inside.
    for name, parameter in network.named_parameters():
        assert parameter.isfinite().all(), name
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    network.eval()
    with torch.no_grad():
        vector = features_of(network, images)
        assert vector.shape == (4, classifier_of(network).in_features)
        assert torch.equal(network(images), classifier_of(network)(vector))


@pytest.mark.parametrize("model", ["alexnet-sub16", "vgg16-sub16", "resnet10", "resnet8", "fc8", "timm:convnext_atto"])
def test_weights_depend_on_the_seed_alone(model):
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return create_branch(model, num_classes=3, in_channels=1, input_size=32).state_dict()

    first, again, other = weights(5), weights(5), weights(6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def refuse(message: str, model: str = "resnet8", **changes: object) -> None:
    sizes = {"num_classes": 4, "in_channels": 3, "input_size": 32, **changes}
    with pytest.raises(UsageError, match=re.escape(message)):
        create_branch(model, **sizes)  # pyright: ignore[reportArgumentType]


def test_refusals():
    refuse("there is no network 'resnet43'; did you mean resnet34? the networks are alexnet,", "resnet43")
    refuse("there is no network 'zzzz'; the networks are alexnet,", "zzzz")
    refuse("stem is 'thin'; it must be one of stock, dense", stem="thin")
    refuse("fc4 has no choice of stem; leave it at stock (given: dense)", "fc4", stem="dense")
    refuse("timm:resnet18 has no choice of stem", "timm:resnet18", stem="dense")
    refuse("num_classes of resnet8 is 1; it must be at least 2", num_classes=1)
    refuse("in_channels of resnet8 is 0; it must be at least 1", in_channels=0)
    refuse("input_size of resnet8 is 0; it must be at least 1", input_size=0)
    refuse("fc8 cannot take 3x56x56 = 9408 values", "fc8", input_size=56)
