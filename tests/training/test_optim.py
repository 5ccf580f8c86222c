import copy
import math

import pytest
import torch
from torch import nn

from bandwise.config import TrainingConfig
from bandwise.errors import UsageError
from bandwise.training.optim import Schedule, create_optimizer, restore_optimizer


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def rates(config: TrainingConfig, steps_per_epoch: int) -> list[float]:
    schedule = Schedule(create_optimizer(small_network(), config), config, steps_per_epoch)
    found = []
    for _ in range(config.epochs * steps_per_epoch):
        found.append(schedule.lr)
        schedule.advance()
    return found


def test_cosine_follows_the_formula():
    """Loshchilov and Hutter (2017), equation 5, counted in steps, with linear warm-up inside the schedule."""
    config = TrainingConfig(epochs=4, lr=0.2, min_lr=0.01, warmup_epochs=1, warmup_lr=0.02)
    expected = [0.02 + (0.2 - 0.02) * step / 5 for step in range(5)]
    expected += [0.01 + 0.5 * (0.2 - 0.01) * (1 + math.cos(math.pi * step / 20)) for step in range(5, 20)]
    assert rates(config, 5) == pytest.approx(expected, rel=1e-12)


def test_step_schedule_drops_at_epoch_ends():
    config = TrainingConfig(epochs=5, lr=1.0, sched="step", decay_epochs=2, decay_rate=0.5)
    assert rates(config, 3) == [1.0] * 6 + [0.5] * 6 + [0.25] * 3


def test_no_schedule_keeps_the_warm_up():
    config = TrainingConfig(epochs=3, lr=0.4, sched="none", warmup_epochs=1, warmup_lr=0.0)
    assert rates(config, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3] + [0.4] * 8)


@pytest.mark.parametrize(("sched", "stop"), [("cosine", 1), ("step", 4), ("none", 7)])
def test_a_restored_schedule_goes_on_with_the_same_rates(sched, stop):
    config = TrainingConfig(epochs=3, lr=0.3, sched=sched, decay_epochs=1, warmup_epochs=1)
    whole = rates(config, 4)
    first = Schedule(create_optimizer(small_network(), config), config, 4)
    for _ in range(stop):
        first.advance()
    second = Schedule(create_optimizer(small_network(), config), config, 4)
    second.load_state_dict(first.state_dict())
    rest = []
    for _ in range(12 - stop):
        rest.append(second.lr)
        second.advance()
    assert rest == whole[stop:]


def test_norm_and_bias_are_not_decayed():
    optimizer = create_optimizer(small_network(), TrainingConfig(weight_decay=0.5))
    decay = {parameter.ndim: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    assert decay == {1: 0.0, 2: 0.5, 4: 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opt": "admw"}, r"opt is 'admw'.*did you mean adam"),
        ({"opt": "adahessian"}, "'adahessian', which needs second derivatives"),
        ({"momentum": 0.0}, r"opt sgd with lr 0\.05, momentum 0 .* refused: Nesterov momentum requires"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_on(options, message):
    with pytest.raises(UsageError, match=message):
        create_optimizer(small_network(), TrainingConfig(**options))


def test_a_state_of_another_device_comes_to_the_parameters():
    """Fused on its accelerator, AdamW wants its step counters there; a training saved on a CPU has them on the CPU.

    The meta device stands for the accelerator: like CUDA it is not where the state was saved.
    """

    def adamw(device: str, fused: bool | None) -> torch.optim.Optimizer:
        optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2, 3, device=device))])
        optimizer.param_groups[0]["fused"] = fused
        return optimizer

    saved = adamw("cpu", None)
    [parameter] = saved.param_groups[0]["params"]
    parameter.grad = torch.ones(2, 3)
    saved.step()
    for fused in (True, None):
        target = adamw("meta", fused)
        restore_optimizer(target, copy.deepcopy(saved.state_dict()))
        [state] = target.state.values()
        assert state["exp_avg"].device.type == state["exp_avg_sq"].device.type == "meta"
        assert state["step"].device.type == ("meta" if fused else "cpu")
        assert target.param_groups[0]["fused"] is fused


def test_a_state_of_a_fused_optimiser_is_restored_without():
    saved = torch.optim.AdamW(small_network().parameters(), fused=True)
    for parameter in saved.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    saved.step()
    target = torch.optim.AdamW(small_network().parameters())
    restore_optimizer(target, copy.deepcopy(saved.state_dict()))
    assert target.param_groups[0]["fused"] is None
    assert all(float(state["step"]) == 1 for state in target.state.values())
