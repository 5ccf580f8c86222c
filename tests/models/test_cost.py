"""Costs against arithmetic by hand, and against a step that is really computed."""

import torch
from torch import nn

from bandwise.models.cost import counts, macs, saved_activation_bytes
from bandwise.models.zoo import create_branch


def test_macs_of_a_grouped_convolution_and_a_linear_layer_by_hand():
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5))
    assert macs(network, (3, 4, 4, 4)) == 3 * (2 * 2 * 8 * (2 * 9) + 32 * 5)


def test_macs_of_resnet8_by_hand():
    network = create_branch("resnet8", num_classes=10, in_channels=1, input_size=16, stem="dense")
    stem = 16 * 16 * 32 * 9
    first = 2 * 16 * 16 * 32 * 32 * 9
    second = 8 * 8 * 64 * (32 * 9 + 64 * 9 + 32)
    third = 4 * 4 * 128 * (64 * 9 + 128 * 9 + 64)
    assert macs(network, (1, 1, 16, 16)) == stem + first + second + third + 128 * 10


def test_counting_changes_nothing():
    network = create_branch("resnet8", num_classes=3, in_channels=1, input_size=14)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    macs(network, (2, 1, 14, 14))
    saved_activation_bytes(network, (2, 1, 14, 14))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_counts_by_hand_with_a_shared_tensor():
    norm = nn.BatchNorm1d(5)
    shared = nn.Linear(5, 5, bias=False)
    size = counts(nn.Sequential(shared, norm, shared))
    assert size["parameters"] == 25 + 10
    assert size["buffers"] == 5 + 5 + 1
    assert size["mib_parameters"] == 35 * 4 / 2**20
    assert size["mib_with_buffers"] == (35 * 4 + 10 * 4 + 8) / 2**20


def test_saved_activations_equal_those_of_a_real_step():
    torch.manual_seed(0)
    network = create_branch("resnet8", num_classes=10, in_channels=3, input_size=14, stem="dense")
    batch, saved = 3, []
    own = {tensor.data_ptr() for tensor in (*network.parameters(), *network.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(torch.randn(batch, 3, 14, 14))
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in saved}
    real = sum(size for pointer, size in storages.items() if pointer not in own)
    assert output.shape == (batch, 10)
    assert saved_activation_bytes(network, (batch, 3, 14, 14)) == real
