"""ResNets against timm's, their stems and their start."""

import pytest
import timm
import torch
from tests.helpers.trees import start_python
from timm.layers import DropPath
from torch import nn

from bandwise.models.resnet import ResNet, Stem, choose_stem
from bandwise.models.zoo import create_branch


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_equal_to_timm_with_its_weights(name):
    torch.manual_seed(1)
    reference = timm.create_model(name, num_classes=11, in_chans=4, zero_init_last=False)
    for layer in reference.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.get_buffer("running_mean"), -0.1, 0.1)
            nn.init.uniform_(layer.get_buffer("running_var"), 0.8, 1.2)
    ours = create_branch(name, num_classes=11, in_channels=4, input_size=64)
    assert isinstance(ours, ResNet)
    ours.load_state_dict(reference.state_dict(), strict=True)
    images = torch.randn(2, 4, 64, 64)
    ours.eval()
    reference.eval()
    with torch.no_grad():
        expected = reference(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-5, atol=1e-5)
        reference.add_module("fc", nn.Identity())
        pooled = reference(images)
        torch.testing.assert_close(ours.features(images), pooled, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-3


@pytest.mark.parametrize(
    ("side", "dense"),
    [
        (336, Stem(7, 2, 2)),
        (224, Stem(7, 2, 2)),
        (160, Stem(7, 2, 2)),
        (159, Stem(7, 2, 1)),
        (112, Stem(7, 2, 1)),
        (80, Stem(7, 2, 1)),
        (79, Stem(3, 1, 0)),
        (56, Stem(3, 1, 0)),
        (14, Stem(3, 1, 0)),
    ],
)
def test_stems(side, dense):
    assert choose_stem("stock", side) == Stem(7, 2, 2)
    assert choose_stem("dense", side) == dense


@pytest.mark.parametrize(
    ("side", "stem", "expected"),
    [(224, "stock", 56), (112, "dense", 56), (56, "dense", 56), (112, "stock", 28), (56, "stock", 14)],
)
def test_map_of_the_first_stage(side, stem, expected):
    with torch.device("meta"):
        network = create_branch("resnet34", num_classes=10, in_channels=3, input_size=side, stem=stem)
        shapes = []
        network.get_submodule("layer1").register_forward_hook(
            lambda module, inputs, output: shapes.append(output.shape)
        )
        network(torch.empty(2, 3, side, side))
    assert shapes == [(2, 64, expected, expected)]


def test_start():
    torch.manual_seed(0)
    network = create_branch("resnet34", num_classes=1000, in_channels=3, input_size=56)
    layer = network.get_submodule("layer4.1.conv2")
    assert isinstance(layer, nn.Conv2d)
    assert layer.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    classifier = network.get_submodule("fc")
    assert isinstance(classifier, nn.Linear)
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not classifier.bias.any()
    # A block starts as its shortcut: on positive input it changes nothing.
    block = network.get_submodule("layer1.0").eval()
    image = torch.rand(2, 64, 5, 7)
    assert torch.equal(block(image), image)


def test_drop_path_grows_linearly_and_acts_only_in_training():
    """The rates are those of timm's own ResNet; the weights are as without it."""
    torch.manual_seed(3)
    plain = create_branch("resnet34", num_classes=5, in_channels=3, input_size=32)
    torch.manual_seed(3)
    dropping = create_branch("resnet34", num_classes=5, in_channels=3, input_size=32, drop_path=0.3)
    reference = timm.create_model("resnet34", drop_path_rate=0.3)
    rates, expected = (
        [layer.drop_prob for layer in network.modules() if isinstance(layer, DropPath) and layer.drop_prob]
        for network in (dropping, reference)
    )
    assert rates == pytest.approx(expected)
    assert rates == pytest.approx([0.3 * block / 15 for block in range(1, 16)])
    for name, value in plain.state_dict().items():
        assert torch.equal(value, dropping.state_dict()[name])
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), dropping.eval()(images))


@pytest.mark.parametrize("name", ["resnet10", "resnet50"])
def test_a_dropped_block_is_its_shortcut(name):
    network = create_branch(name, num_classes=5, in_channels=3, input_size=32, drop_path=0.5)
    block = network.get_submodule("layer4.0").train()
    inner = block.get_submodule("drop_path")
    assert isinstance(inner, DropPath)
    inner.drop_prob = 1 - 1e-12
    images = torch.rand(4, 128 if name == "resnet10" else 1024, 6, 6)
    with torch.no_grad():
        assert torch.equal(block(images), block.get_submodule("downsample")(images).relu())


_STEP = """
import torch
from bandwise.models.zoo import create_branch
torch.set_num_threads(1)
network = create_branch("resnet8-slim", num_classes=3, in_channels=3, input_size=64, stem="dense")
network.to(memory_format=torch.channels_last)
images = torch.zeros(8, 3, 64, 64).to(memory_format=torch.channels_last)
network(images).sum().backward()
"""


def test_a_step_of_few_channels_on_a_large_map():
    """A plain shortcut ends in a signal here on processors with AVX-512; where it does not, this shows nothing."""
    process = start_python(_STEP)
    said = process.communicate(timeout=240)
    assert process.returncode == 0, said


@pytest.mark.parametrize(("inputs", "side"), [(8, 16), (8, 9), (12, 40)])
def test_a_shortcut_of_few_channels_equals_a_convolution_with_a_stride(inputs, side):
    torch.manual_seed(0)
    shortcut = create_branch("resnet8-slim", num_classes=2, in_channels=3, input_size=32).get_submodule("layer2.0")
    own = type(shortcut.get_submodule("downsample.0"))(inputs, 16, 1, stride=2, bias=False)
    plain = nn.Conv2d(inputs, 16, 1, stride=2, bias=False)
    assert type(own) is not type(plain)
    plain.load_state_dict(own.state_dict())
    images = torch.randn(4, inputs, side, side)
    results = []
    for layer in (own, plain):
        given = images.clone().requires_grad_(True)
        layer(given).square().sum().backward()
        results.append((layer(images), given.grad, layer.weight.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
