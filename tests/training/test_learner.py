import math
from dataclasses import replace

import pytest
import torch
from tests.training.tiny import CONFIG, with_training

from bandwise.checkpoints.folder import AVERAGE_PREFIX, read_checkpoint, steps
from bandwise.config import TrainingConfig
from bandwise.training.determinism import reproducible
from bandwise.training.learner import Learner
from bandwise.training.trainer import train_branch

CPU = torch.device("cpu")


def build(**changes) -> Learner:
    config = with_training(**changes)
    return Learner(config, 0, num_classes=3, bands=1, channels=3, steps_per_epoch=6, device=CPU)


@pytest.fixture(autouse=True)
def inside():
    with reproducible(TrainingConfig(), CPU):
        yield


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(6, 3, 10, 10, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


def test_smoothed_loss_is_the_formula():
    """Szegedy et al. (2016), section 7: the label gets 1 - s + s / K, the others s / K."""
    learner = build(smoothing=0.3)
    images, labels = batch()
    learner.network.eval()
    found = learner.loss(images, labels)
    log_probabilities = learner.network(images).double().log_softmax(1)
    targets = torch.full((6, 3), 0.1, dtype=torch.float64)
    targets[torch.arange(6), labels] = 0.8
    assert found.item() == pytest.approx(-(targets * log_probabilities).sum(1).mean().item(), rel=1e-6)


def test_soft_targets_are_not_smoothed_again():
    learner = build(smoothing=0.3)
    images, _ = batch()
    learner.network.eval()
    targets = torch.full((6, 3), 1 / 3)
    expected = -learner.network(images).log_softmax(1).mean()
    assert learner.loss(images, targets).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_clipping_bounds_the_step(clip):
    """Plain gradient descent moves the weights by lr times the gradient, whose norm is at most `clip`."""
    learner = build(clip_grad=clip, opt="momentum", momentum=0.0, weight_decay=0.0, lr=1.0, warmup_epochs=0)
    before = torch.cat([value.detach().flatten().clone() for value in learner.network.parameters()])
    learner.learn(*batch(), 1)
    after = torch.cat([value.detach().flatten() for value in learner.network.parameters()])
    moved = float((after - before).norm())
    assert moved == pytest.approx(0.01, rel=1e-4) if clip else moved > 0.05


def test_the_moving_average_follows_its_recurrence(store_path, tmp_path):
    """From the weights of every step, by hand; the decay warms up as 1 - (1 + t)^(-2/3), t = 0 copies."""
    config = with_training(checkpoint_steps=1, keep_checkpoints=99, model_ema_decay=0.7)
    train_branch(config, store_path, tmp_path, 1)
    average: dict[str, torch.Tensor] = {}
    decays = []
    for index, path in enumerate(reversed(steps(tmp_path))):
        found = read_checkpoint(path)
        decay = min(0.7, 1 - (1 + index) ** (-2 / 3)) if index else 0.0
        decays.append(decay)
        for name, value in found.model.items():
            if value.is_floating_point():
                old = average.get(name, torch.zeros_like(value, dtype=torch.float64))
                average[name] = decay * old + (1 - decay) * value.double()
                torch.testing.assert_close(
                    found.optim[AVERAGE_PREFIX + name].double(), average[name], rtol=1e-5, atol=1e-6
                )
            else:
                assert torch.equal(found.optim[AVERAGE_PREFIX + name], value)
    assert len(decays) == 12
    assert decays[:2] == [0.0, pytest.approx(1 - 2 ** (-2 / 3))]
    assert decays[-1] == 0.7


def test_no_average_is_kept_unless_asked_for(store_path, tmp_path):
    train_branch(with_training(model_ema=False), store_path, tmp_path, 1)
    optim = read_checkpoint(steps(tmp_path)[0]).optim
    assert not [name for name in optim if name.startswith(AVERAGE_PREFIX)]


def test_the_first_step_of_a_branch_is_gradient_descent_by_hand(store_path, tmp_path):
    """One step of SGD with weight decay on the matrices only, from the same batch, without any of the machinery."""
    from bandwise.checkpoints.folder import read_checkpoint
    from bandwise.store.format import open_store
    from bandwise.store.loader import BatchStream
    from bandwise.training.seeds import seed_for

    config = replace(
        with_training(
            checkpoint_steps=1,
            keep_checkpoints=99,
            model_ema=False,
            smoothing=0.0,
            warmup_epochs=0,
            opt="momentum",
            momentum=0.0,
            epochs=1,
        ),
        augment=replace(CONFIG.augment, random_crop=False, hflip=0.0, mixup=0.0, cutmix=0.0),
    )
    config = replace(config, training=replace(config.training, weight_decay=0.01))
    train_branch(config, store_path, tmp_path, 1)
    found = read_checkpoint(tmp_path / "step-000000001").model

    from tests.training.tiny import tiny_network

    torch.manual_seed(seed_for(0, 1, "init"))
    network = tiny_network("tiny", num_classes=3, in_channels=3, input_size=10)
    torch.manual_seed(seed_for(0, 1, "dropout"))
    store = open_store(store_path)
    first = next(BatchStream(store, (1,), "train", 6).batches(0, seed=seed_for(0, 1, "order")))
    mean, std = (torch.tensor(moments((1,))).float().view(1, 3, 1, 1) for moments in (store.mean, store.std))
    images = ((first.images.float() - mean) / std)[..., 1:11, 1:11]
    loss = -network(images).log_softmax(1)[torch.arange(6), first.labels].mean()
    loss.backward()
    for name, value in network.named_parameters():
        assert value.grad is not None
        decay = 0.01 * value.detach() if value.ndim > 1 else 0.0
        expected = value.detach() - config.training.lr * (value.grad + decay)
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)
    assert math.isfinite(loss.item())
