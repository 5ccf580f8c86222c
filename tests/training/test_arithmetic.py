"""In which precision, and by which algorithms, a branch is trained."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.training.tiny import CONFIG, outcome, with_training

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.config import TrainingConfig, to_dict
from bandwise.runs.provenance import environment
from bandwise.training import learner as learner_module
from bandwise.training.determinism import reproducible
from bandwise.training.learner import choose_precision
from bandwise.training.trainer import train_branch

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
AUTO = TrainingConfig(precision="auto")


@pytest.mark.parametrize("has_it", [True, False])
def test_auto_takes_bf16_where_an_accelerator_has_it(monkeypatch, has_it):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it and not including_emulation)
    assert choose_precision(AUTO, CUDA) == ("bf16-mixed" if has_it else "32-true")
    assert choose_precision(AUTO, CPU) == "32-true"
    assert choose_precision(TrainingConfig(precision="16-mixed"), CUDA) == "16-mixed"


def test_auto_on_a_cpu_has_the_bits_of_float32_and_says_so(store_path, tmp_path, undisturbed):
    train_branch(with_training(precision="auto"), store_path, tmp_path, 1)
    assert outcome(tmp_path)["tensors"] == undisturbed[4]["tensors"]
    state = read_checkpoint(steps(tmp_path)[0]).state
    assert state["environment"]["precision"] == "32-true"
    assert state["config"]["training"]["precision"] == "auto"


def test_algorithms_of_convolutions_are_tried_on_an_accelerator_only(monkeypatch):
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices, device_type: torch.inference_mode(False))
    for device, trying in ((CPU, False), (CUDA, True)):
        for before in (False, True):
            monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
            with reproducible(AUTO, device):
                assert torch.backends.cudnn.benchmark is trying
            assert torch.backends.cudnn.benchmark is before


@pytest.mark.parametrize(("products", "said"), [(False, "convolutions"), (True, "products and convolutions")])
def test_results_say_where_factors_are_shortened(monkeypatch, products, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some device")
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=products))
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(allow_tf32=True))
    assert environment().hardware.accelerator == f"Some device, TF32 in {said}"


def test_a_compiled_network_trains_as_the_plain_one(store_path, tmp_path, undisturbed, monkeypatch):
    """Its passes alone are compiled, here by what only traces them: its weights keep their names and their bits."""
    compiled, real = [], torch.compile

    def trace(module: Any, **options: Any) -> Any:
        compiled.append(options)
        return real(module, backend="eager")

    monkeypatch.setattr(torch, "compile", trace)
    train_branch(with_training(compile=True), store_path, tmp_path, 1)
    assert compiled == [{"mode": "default", "dynamic": False}]
    assert outcome(tmp_path)["tensors"] == undisturbed[4]["tensors"]
    assert "compile" not in to_dict(CONFIG)["training"]
    assert to_dict(with_training(compile=True))["training"]["compile"] is True


@pytest.mark.parametrize(("values", "mode"), [(9, "reduce-overhead"), (10, "default")])
def test_a_small_network_is_replayed_as_one_graph(monkeypatch, values, mode):
    network = SimpleNamespace(parameters=lambda: [torch.zeros(values)])
    monkeypatch.setattr(learner_module, "_SMALL_NETWORK", 10)
    monkeypatch.setattr(torch, "compile", lambda module, mode, dynamic: mode)
    assert learner_module._compiled(network, CUDA) == mode  # type: ignore[arg-type]
    assert learner_module._compiled(network, CPU) == "default"  # type: ignore[arg-type]
