"""AlexNet and VGG against torchvision's layers, their real maps and the sizes that they refuse."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from bandwise.errors import UsageError
from bandwise.models.plain import PlainNetwork
from bandwise.models.zoo import create_branch

NAMES = ["alexnet", "alexnet-sub4", "alexnet-sub16", "vgg16", "vgg16-sub4", "vgg16-sub16"]
LEAST = {"alexnet": 63, "alexnet-sub4": 43, "alexnet-sub16": 29, "vgg16": 32, "vgg16-sub4": 32, "vgg16-sub16": 16}


def build(name: str, side: int, classes: int = 5) -> PlainNetwork:
    network = create_branch(name, num_classes=classes, in_channels=3, input_size=side)
    assert isinstance(network, PlainNetwork)
    return network


def build_on_meta(name: str, side: int) -> PlainNetwork:
    with torch.device("meta"):
        return build(name, side)


def test_alexnet_equals_torchvision_with_its_weights():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    reference = models.alexnet(num_classes=7).eval()
    ours = build("alexnet", 224, classes=7).eval()
    weights = dict(zip(ours.state_dict(), reference.state_dict().values(), strict=True))
    ours.load_state_dict(weights)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "column", "blocks", "batch_norm"),
    [("vgg16", "D", 5, False), ("vgg16-sub4", "D", 5, True), ("vgg16-sub16", "E", 4, True)],
)
def test_convolutions_of_vgg_equal_torchvision(name, column, blocks, batch_norm):
    """`vgg16-sub16` is VGG-19 without its fifth block."""
    vgg = pytest.importorskip("torchvision.models.vgg")
    torch.manual_seed(0)
    pools = [place for place, layer in enumerate(vgg.cfgs[column]) if layer == "M"]
    reference = vgg.make_layers(vgg.cfgs[column][: pools[blocks - 1] + 1], batch_norm=batch_norm).eval()
    ours = build(name, 32).body.eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    images = torch.randn(2, 3, 45, 37)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference(images))


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("alexnet", 224, 6),
        ("alexnet-sub4", 112, 3),
        ("alexnet-sub16", 56, 2),
        ("vgg16", 224, 7),
        ("vgg16-sub4", 112, 3),
        ("vgg16-sub16", 56, 3),
    ],
)
def test_real_maps(name, side, expected):
    network = build_on_meta(name, side)
    assert network.side == expected
    assert network.body(torch.empty(2, 3, side, side, device="meta")).shape[-2:] == (expected, expected)
    assert network.features(torch.empty(2, 3, side, side, device="meta")).shape == (2, 4096)


@pytest.mark.parametrize("name", NAMES)
def test_the_least_size_is_named_and_right(name):
    least = LEAST[name]
    assert build_on_meta(name, least).side == 1
    for side in (1, least - 1):
        message = f"{name} cannot take an input of {side}x{side} px.*the least is {least} px"
        with pytest.raises(UsageError, match=message):
            build_on_meta(name, side)


@pytest.mark.parametrize(("name", "side", "other"), [("alexnet-sub16", 56, 44), ("vgg16-sub16", 56, 40)])
def test_another_image_size_is_averaged_to_the_map(name, side, other):
    torch.manual_seed(0)
    network = build(name, side).eval()
    smaller, same = torch.randn(2, 3, other, other), torch.randn(2, 3, side, side)
    with torch.no_grad():
        pooled = functional.adaptive_avg_pool2d(network.body(smaller), network.side)
        torch.testing.assert_close(network(smaller), network.classifier(network.hidden(pooled.flatten(1))))
        assert torch.equal(network(same), network.classifier(network.hidden(network.body(same).flatten(1))))


def first_losses(network: PlainNetwork, side: int) -> list[float]:
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, labels, losses = torch.randn(4, 3, side, side), torch.arange(4), []
    for _ in range(4):
        loss = functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("he", "bound"), [(False, (0, 2)), (True, (10, math.inf))])
def test_first_steps_at_the_published_learning_rate_do_not_overshoot(he, bound):
    """With He initialisation of the hidden layers too, which was tried first, they do: the control."""
    torch.manual_seed(0)
    network = build("alexnet-sub16", 56, classes=8)
    for layer in network.modules() if he else ():
        if isinstance(layer, nn.Conv2d) or (isinstance(layer, nn.Linear) and layer is not network.classifier):
            nn.init.kaiming_normal_(layer.weight)
    losses = first_losses(network, 56)
    assert he or losses[0] == pytest.approx(math.log(8), rel=0.1)
    assert bound[0] < max(losses) / math.log(8) < bound[1]
