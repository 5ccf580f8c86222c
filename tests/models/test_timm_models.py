"""Models of timm: channels and sizes that they take, and clear errors for the others."""

import re

import pytest
import torch

from bandwise.errors import UsageError
from bandwise.models.cost import counts, macs
from bandwise.models.zoo import create_branch


@pytest.mark.parametrize(
    ("name", "channels", "side"), [("convnext_atto", 12, 56), ("resnet18", 1, 32), ("vit_tiny_patch16_224", 3, 112)]
)
def test_channels_and_size(name, channels, side):
    network = create_branch(f"timm:{name}", num_classes=6, in_channels=channels, input_size=side)
    assert network.training
    assert network(torch.randn(2, channels, side, side)).shape == (2, 6)


def test_on_the_meta_device():
    with torch.device("meta"):
        network = create_branch("timm:resnet50", num_classes=1000, in_channels=3, input_size=224)
    assert counts(network)["parameters"] == 25_557_032
    ours = create_branch("resnet10", num_classes=10, in_channels=3, input_size=64)
    assert macs(network, (1, 3, 224, 224)) == 4_089_184_256
    assert next(ours.parameters()).device.type == "cpu"


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UsageError, match=r"timm [\d.]+ has no model 'resnt18'; did you mean resnet18"):
        create_branch("timm:resnt18", num_classes=6, in_channels=3, input_size=56)


@pytest.mark.parametrize(
    ("name", "channels", "side"), [("inception_v3", 3, 56), ("vit_tiny_patch16_224", 3, 8), ("levit_128s", 3, 56)]
)
def test_a_size_that_does_not_fit(name, channels, side):
    message = re.escape(f"timm:{name} cannot take images of {channels}x{side}x{side}: ")
    with pytest.raises(UsageError, match=message + ".*choose another crop"):
        create_branch(f"timm:{name}", num_classes=6, in_channels=channels, input_size=side)


def test_drop_path_goes_to_models_that_have_it():
    from timm.layers import DropPath

    network = create_branch("timm:convnext_atto", num_classes=3, in_channels=3, input_size=32, drop_path=0.1)
    rates = [layer.drop_prob for layer in network.modules() if isinstance(layer, DropPath)]
    assert max(rates) == pytest.approx(0.1)


@pytest.mark.parametrize("model", ["timm:vgg11", "alexnet", "fc4"])
def test_drop_path_is_refused_where_there_is_nothing_to_skip(model):
    side = 224 if model == "alexnet" else 32
    with pytest.raises(UsageError, match="has no blocks that could be skipped; leave drop_path at 0"):
        create_branch(model, num_classes=3, in_channels=3, input_size=side, drop_path=0.1)


def test_a_name_from_a_hub_is_not_fetched():
    with pytest.raises(UsageError, match="has no model 'hf-hub:someone/model'"):
        create_branch("timm:hf-hub:someone/model", num_classes=6, in_channels=3, input_size=56)
