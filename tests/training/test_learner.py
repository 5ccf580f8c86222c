import math
from dataclasses import replace

import pytest
import torch
from tests.training.tiny import CONFIG, tiny_network, with_training

from bandwise.checkpoints import branch as branch_module
from bandwise.checkpoints.folder import AVERAGE_PREFIX, read_checkpoint, steps
from bandwise.config import TrainingConfig
from bandwise.models.zoo import create_branch
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import open_store
from bandwise.training import learner as learner_module
from bandwise.training import optim
from bandwise.training.determinism import reproducible, seed_for
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


def take(learner: Learner, images: torch.Tensor, targets: torch.Tensor, step: int) -> float:
    """Take a step and wait for its loss."""
    assert learner.learn(images, targets, step) is None
    loss = learner.settle()
    assert loss is not None
    return loss


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_clipping_bounds_the_step(clip):
    """Plain gradient descent moves the weights by lr times the gradient, whose norm is at most `clip`."""
    learner = build(clip_grad=clip, opt="momentum", momentum=0.0, weight_decay=0.0, lr=1.0, warmup_epochs=0)
    before = torch.cat([value.detach().flatten().clone() for value in learner.network.parameters()])
    take(learner, *batch(), 1)
    after = torch.cat([value.detach().flatten() for value in learner.network.parameters()])
    moved = float((after - before).norm())
    assert moved == pytest.approx(0.01, rel=1e-4) if clip else moved > 0.05


@pytest.mark.parametrize("every", [1, 3])
def test_the_moving_average_follows_its_recurrence(store_path, tmp_path, every):
    """From the weights of every `every`th step, by hand; the decay warms up as 1 - (1 + t)^(-2/3), t = 0 copies."""
    config = with_training(checkpoint_steps=1, keep_checkpoints=99, model_ema_decay=0.7, model_ema_steps=every)
    train_branch(config, store_path, tmp_path, 1)
    average: dict[str, torch.Tensor] = {}
    for index, path in enumerate(reversed(steps(tmp_path))):
        found = read_checkpoint(path)
        updates, rest = divmod(index, every)
        decay = min(0.7, 1 - (1 + updates) ** (-2 / 3)) if updates else 0.0
        for name, value in found.model.items():
            kept = found.optim[AVERAGE_PREFIX + name]
            if not value.is_floating_point():
                assert every > 1 or torch.equal(kept, value)
                continue
            if not rest:
                old = average.get(name, torch.zeros_like(value, dtype=torch.float64))
                average[name] = decay * old + (1 - decay) * value.double()
            torch.testing.assert_close(kept.double(), average[name], rtol=1e-5, atol=1e-6)
    assert index == 11


def test_the_first_step_of_a_branch_is_gradient_descent_by_hand(store_path, tmp_path):
    """One step of SGD with weight decay on the matrices only, from the same batch, without any of the machinery."""
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
            weight_decay=0.01,
        ),
        augment=replace(CONFIG.augment, random_crop=False, hflip=0.0, mixup=0.0, cutmix=0.0),
    )
    train_branch(config, store_path, tmp_path, 1)
    found = read_checkpoint(tmp_path / "step-000000001").model

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


class Plain(torch.nn.Module):
    """Without batch statistics or dropout, so that a batch in parts is the batch."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(in_channels, 5, 3), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(320, num_classes)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


@pytest.fixture
def plain_network(monkeypatch):
    def create(model, *, num_classes, in_channels, **options):
        return Plain(in_channels, num_classes)

    monkeypatch.setattr(branch_module, "create_branch", create)


@pytest.mark.parametrize("parts", [2, 3, 6])
@pytest.mark.parametrize("recipe", [{}, {"bce_loss": True, "bce_target_thresh": 0.2}, {"clip_grad": 0.05}])
def test_a_batch_in_parts_is_the_whole_batch(plain_network, parts, recipe):
    options = {"opt": "momentum", "lr": 0.5, "warmup_epochs": 0, "model_ema": False, **recipe}
    whole, split = build(**options), build(grad_accum_steps=parts, **options)
    for step in (1, 2, 3):
        loss = take(whole, *batch(), step)
        assert take(split, *batch(), step) == pytest.approx(loss, rel=1e-5)
        for one, other in zip(whole.network.parameters(), split.network.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("threshold", [None, 0.0, 0.3])
def test_the_loss_is_the_formula(threshold, soft):
    """Labels are smoothed (Szegedy et al., 2016, section 7) and soft targets are not; None is the cross-entropy.

    Otherwise it is the mean over images and classes of -t log p - (1 - t) log(1 - p), with p the logistic function.
    """
    learner = build(bce_loss=threshold is not None, bce_target_thresh=threshold or 0.0, smoothing=0.3)
    learner.network.eval()
    images, labels = batch()
    targets = torch.full((6, 3), 0.1)
    targets[torch.arange(6), labels] = 0.8
    given = targets * 0.5 + 0.5 / 3 if soft else labels
    wanted, logits = (given if soft else targets).double(), learner.network(images).double()
    if threshold is None:
        expected = -(wanted * logits.log_softmax(1)).sum(1).mean()
    else:
        wanted = (wanted > threshold).double() if threshold else wanted
        p = logits.sigmoid()
        expected = -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()
    assert learner.loss(images, given).item() == pytest.approx(expected.item(), rel=1e-5)


def state_of(learner: Learner) -> dict[str, torch.Tensor]:
    """Everything that a step changes, but for the random numbers and the counters of batch normalisation."""
    weights, others, _ = learner.tensors()
    found = {**weights, **{name: value for name, value in others.items() if not name.startswith("random")}}
    return {name: value.clone() for name, value in found.items() if not name.endswith("num_batches_tracked")}


def spoilt() -> tuple[torch.Tensor, torch.Tensor]:
    """One image of the last part is enough."""
    images, labels = batch()
    images[5] = float("inf")
    return images, labels


@pytest.fixture
def fused(monkeypatch):
    """A fused optimiser, which the device itself tells to leave a step out; a CPU has them too."""
    monkeypatch.setattr(optim, "_fuses", lambda model, config: True)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("opt", ["sgd", "lamb", "adamw"])
def test_a_loss_that_is_not_finite_changes_nothing(opt, parts):
    """Neither weights nor running statistics nor the optimiser."""
    learner = build(opt=opt, lr=0.01, grad_accum_steps=parts)
    take(learner, *batch(), 1)
    before = state_of(learner)
    assert not math.isfinite(take(learner, *spoilt(), 2))
    assert_same(state_of(learner), before)
    assert math.isfinite(take(learner, *batch(), 3))


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


GUARDED = [{"opt": "sgd"}, {"opt": "momentum", "clip_grad": 1.0}, {"opt": "adam"}, {"opt": "adamw"}]


@pytest.mark.parametrize("options", GUARDED, ids=str)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_device_leaves_out_a_step_that_is_not_finite(fused, options, at):
    """Also the first of all: what follows has the bits of a training without the bad batch."""
    clean, learner = (build(lr=0.01, grad_accum_steps=2, **options) for _ in range(2))
    assert learner._on_device
    for step in (1, 2, 3):
        if step == at:
            torch.manual_seed(0)
            before = state_of(learner)
            assert not math.isfinite(take(learner, *spoilt(), step))
            if step > 1:
                assert_same(state_of(learner), before)
        for each in (clean, learner):
            torch.manual_seed(step)
            assert math.isfinite(take(each, *batch(), step))
    assert_same(state_of(learner), state_of(clean))


@pytest.mark.parametrize("broken", ["skip_where", "gather_statistics"])
def test_without_the_guard_the_bad_batch_stays(fused, monkeypatch, broken):
    """The negative control: weights, or running statistics, that are not finite."""
    without = {"skip_where": lambda *args: None, "gather_statistics": lambda network, device: torch.zeros(1)}
    monkeypatch.setattr(learner_module, broken, without[broken])
    learner = build(lr=0.01)
    take(learner, *spoilt(), 1)
    bad = {name.rpartition(".")[2] for name, value in state_of(learner).items() if not torch.isfinite(value).all()}
    assert bad >= ({"weight", "bias"} if broken == "skip_where" else {"running_mean", "running_var"})


def test_running_statistics_lie_in_one_tensor_on_the_device():
    """Also where there are none."""
    norms = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(3))
    norms[1].running_mean.fill_(4.0)
    together = learner_module.gather_statistics(norms, CPU)
    assert together.sum() == 2 * 1 + 3 * 4 + 3 * 1
    assert norms[1].running_mean.tolist() == [4, 4, 4]
    assert {value.data_ptr() % 16 for value in norms.buffers() if value.is_floating_point()} == {0}
    together.zero_()
    assert not norms[0].running_var.any()
    assert learner_module.gather_statistics(torch.nn.Linear(1, 1), torch.device("meta")).is_meta


def test_without_momenta_at_zero_a_skipped_first_step_leaves_what_was_in_memory(fused, monkeypatch):
    """The negative control of the momenta."""
    monkeypatch.setattr(torch, "empty_like", lambda like: torch.full_like(like, 7.0))
    for started, expected in ((True, 0.0), (False, 7.0)):
        if not started:
            monkeypatch.setattr(optim, "_start_momentum", lambda optimizer: None)
        learner = build(lr=0.01)
        take(learner, *spoilt(), 1)
        momenta = [value["momentum_buffer"] for value in learner.optimizer.state.values()]
        assert momenta
        assert all((value == expected).all() for value in momenta)


def test_a_network_of_any_size_takes_another_training_crop(store_path, tmp_path, monkeypatch):
    monkeypatch.setattr(branch_module, "create_branch", create_branch)
    config = replace(
        with_training(train_crop=16, epochs=1, warmup_epochs=0),
        network=replace(CONFIG.network, model="resnet8", drop_path=0.2),
    )
    assert train_branch(config, store_path, tmp_path, 1)["steps"] == 6
