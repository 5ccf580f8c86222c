import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bandwise.checkpoints.tensors import from_file, listed, load_weights, not_finite, pack, to_bytes, unpack
from bandwise.errors import CorruptionError, IncompatibleError

SOURCE = Path("model.safetensors")


def raw_file(header: str, body: bytes) -> bytes:
    encoded = header.encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_file_is_read_back_bit_for_bit_by_us_and_by_the_library(tmp_path):
    tied = torch.randn(2, 2)
    tensors = {
        "float": torch.randn(3, 5),
        "bytes": torch.arange(256, dtype=torch.uint8),
        "scalar": torch.tensor(7),
        "strided": torch.randn(4, 6).t(),
        "empty": torch.empty(0, 3),
        "encoder": tied,
        "decoder": tied,
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(to_bytes(tensors))
    for found in (from_file(path), load_file(path)):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
        assert all(found[name].dtype == tensors[name].dtype for name in tensors)


def test_the_bytes_do_not_depend_on_the_order_of_the_names():
    first, second = torch.randn(3), torch.randn(4)
    assert to_bytes({"a": first, "b": second}) == to_bytes({"b": second, "a": first})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"\xff" * 8, "header claims"),
        (raw_file("{", b""), "damaged"),
        (raw_file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 3), "damaged"),
        (raw_file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 5), "damaged"),
        (raw_file('{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}', b"\0" * 4), "damaged"),
        (raw_file("[" * 100_000, b""), "damaged"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match=message):
        from_file(path)


def test_a_duplicate_name_is_refused_though_the_library_takes_it(tmp_path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw_file(f'{{"a":{json.dumps(entry)},"a":{json.dumps(entry)}}}', b"\0" * 4))
    assert list(load_file(path)) == ["a"]
    with pytest.raises(CorruptionError, match=r"a\.safetensors is damaged: a name stands twice"):
        from_file(path)


def test_load_weights_copies_everything(network):
    wanted = {name: torch.full_like(value, 3) for name, value in network.state_dict().items()}
    load_weights(network, wanted, SOURCE)
    assert all(torch.equal(value, wanted[name]) for name, value in network.state_dict().items())


def test_load_weights_names_what_does_not_fit(network):
    tensors = dict(network.state_dict())
    del tensors["0.bias"]
    tensors["stranger"] = torch.zeros(1)
    tensors["0.weight"] = torch.zeros(4, 99)
    tensors["1.weight"] = tensors["1.weight"].double()
    before = network.state_dict()["1.bias"].clone()
    message = r"missing: 0\.bias; unknown: stranger; of another shape: 0\.weight; of another type: 1\.weight"
    with pytest.raises(IncompatibleError, match=message):
        load_weights(network, tensors, SOURCE)
    assert torch.equal(network.state_dict()["1.bias"], before)


def test_load_weights_refuses_values_that_are_not_finite(network):
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    tensors["1.running_var"][2] = float("nan")
    with pytest.raises(CorruptionError, match=r"not finite: 1\.running_var"):
        load_weights(network, tensors, SOURCE)


def test_only_ten_names_are_listed():
    names = [f"layer{index:02d}" for index in range(14)]
    assert listed(names).startswith("layer00, layer01")
    assert listed(names).endswith("layer09 and 4 more")
    assert listed(names[:10]).endswith("layer09")


def test_not_finite_ignores_integers():
    tensors = {"a": torch.tensor([1.0, float("inf")]), "b": torch.tensor([1]), "c": torch.zeros(2)}
    assert not_finite(tensors) == ["a"]


@pytest.mark.parametrize("opt", ["sgd", "adamw", "lookahead_radam", "madgrad", "adafactor", "lamb"])
def test_an_optimiser_packed_through_json_takes_the_same_step(network, opt):
    """Oracle: the optimiser that was never saved."""
    from bandwise.config import TrainingConfig
    from bandwise.training.optim import create_optimizer

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()

    config = TrainingConfig(opt=opt, lr=0.01)
    optimizer = create_optimizer(network, config)
    for seed in range(7):
        step(network, optimizer, seed)
    twin = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    twin.load_state_dict(network.state_dict())
    tensors: dict[str, torch.Tensor] = {}
    packed = json.loads(json.dumps(pack(optimizer.state_dict(), "optimizer", tensors)))
    copies = {name: value.clone() for name, value in tensors.items()}
    other = create_optimizer(twin, config)
    other.load_state_dict(unpack(packed, copies))
    for seed in range(7, 14):
        step(network, optimizer, seed)
        step(twin, other, seed)
    for name, value in network.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name


def test_pack_keeps_types_and_float_bits():
    tree = {0: [1, 2.5, None, True], "betas": (0.1 + 0.2, 1e-300), "deep": {"x": {"y": "text"}}}
    tensors: dict[str, torch.Tensor] = {}
    assert unpack(json.loads(json.dumps(pack(tree, "t", tensors))), tensors) == tree
    assert not tensors


def test_pack_refuses_what_it_does_not_know():
    with pytest.raises(TypeError, match=r"t\.hook is a builtin_function_or_method"):
        pack({"hook": print}, "t", {})


@pytest.mark.parametrize("packed", [{"a": 1, "b": 2}, {"code": "x"}, [1]])
def test_unpack_refuses_what_pack_does_not_make(packed):
    with pytest.raises(ValueError, match="no packed state"):
        unpack(packed, {})
