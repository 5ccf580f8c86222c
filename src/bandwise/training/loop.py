"""The loop over epochs, batches and checkpoints of one branch."""

import math
import time
from collections.abc import Callable
from signal import Signals
from typing import Any

from torch import nn

from bandwise.checkpoints.folder import Checkpoint
from bandwise.config import TrainingConfig
from bandwise.config.training import seconds_of
from bandwise.errors import BandwiseError, Preempted
from bandwise.evaluation.metrics import Scoring
from bandwise.evaluation.views import BandViews
from bandwise.files.schema import plain
from bandwise.progress import Advance, progress, say
from bandwise.runs.documents import SUMMARY_NAME, Summary, write_summary
from bandwise.store.reading.loader import BatchStream
from bandwise.training.feed import host_cache, open_feed
from bandwise.training.identity import Branch
from bandwise.training.journal import Journal, Position
from bandwise.training.learner import Learner, check_network
from bandwise.training.predict import predict_split

_MAX_BAD_LOSSES = 3
_STEPS_OF_A_RATE = 20
_MINUTES_ON_ACCELERATOR = 10.0


class DivergedError(BandwiseError):
    """The loss, or what the network predicts, is not finite; the checkpoints hold the last finite weights."""


class BranchLoop:
    """One call of `trainer.train_branch`; lives inside `determinism.reproducible` and under the folder's lock."""

    def __init__(
        self,
        branch: Branch,
        fixed: dict[str, Any],
        received: Callable[[], Signals | None],
        load: Callable[[nn.Module], None] | None,
    ) -> None:
        """Build the network and the data stream of the branch; what does not go together is refused.

        `fixed` goes into every checkpoint unchanged, `received` returns the signal that asks to stop, and `load` puts
        the weights to start from into a new network, None for those drawn.
        """
        config, store = branch.config, branch.store
        self._branch, self._training, self._received = branch, config.training, received
        minutes = config.training.checkpoint_minutes
        self._minutes = (_MINUTES_ON_ACCELERATOR if branch.device.type == "cuda" else 0) if minutes is None else minutes
        self._evaluate = _holdout_metrics(branch)
        self._feed = open_feed(branch)
        self._total_steps = self._feed.steps_per_epoch * config.training.epochs
        self._learner = Learner(
            config,
            branch.number,
            num_classes=len(store.classes),
            bands=len(branch.bands),
            channels=store.channels,
            steps_per_epoch=self._feed.steps_per_epoch,
            device=branch.device,
            load=load,
            class_weights=fixed.get("class_weights"),
        )
        check_network(self._learner.network, config, len(branch.bands) * store.channels)
        self._fixed = {**fixed, "steps_per_epoch": self._feed.steps_per_epoch, "total_steps": self._total_steps}
        self._position = Position()
        self._journal = Journal(branch.folder, self._fixed, branch.device, config.training.keep_checkpoints)
        self._holdout: dict[str, Any] | None = None
        """Metrics at the end of the last epoch."""

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same branch, configuration and store."""
        if (total := checkpoint.state["total_steps"]) != self._total_steps:
            self._end_at(total)
        self._learner.restore(checkpoint)
        self._position = Position(**checkpoint.state["position"])
        self._journal.resume(checkpoint.state)
        say(f"{self._name}: continuing after step {self._position.step} of {self._total_steps}")

    def run(self, on_step: Callable[[int], None]) -> dict[str, Any]:
        """Train to the end, write `summary.json` and return it."""
        self._journal.publish(self._position.history, tolerant=False)
        batch = self._training.batch_size
        with progress(self._name, self._total_steps * batch, "images", done=self._position.step * batch) as advance:
            try:
                while self._position.epoch < self._total_steps // self._feed.steps_per_epoch:
                    self._train_epoch(on_step, advance)
                    self._close_epoch()
            finally:
                self._feed.close()
                self._journal.close()
        return self._summarise()

    @property
    def _name(self) -> str:
        return f"branch {self._branch.number}"

    def _train_epoch(self, on_step: Callable[[int], None], advance: Advance) -> None:
        position = self._position
        self._learner.train_mode()
        started, first = time.monotonic(), position.step
        for batch in self._feed.batches(position.epoch, start=position.batches):
            images, targets = self._feed.inputs(batch, position.epoch)
            self._count_loss(self._learner.learn(images, targets, position.step + 1))
            position.step += 1
            position.batches += 1
            position.lr = self._learner.schedule.lr
            self._learner.schedule.advance()
            self._fit_to_time()
            due = self._is_due()
            if due or not self._learner.late:
                self._count_loss(self._learner.settle())
            self._journal.check()
            if due:
                self._save()
            on_step(position.step)
            self._stop_if_asked()
            advance(len(batch.ids))
        self._count_loss(self._learner.settle())
        assert position.batches == self._feed.steps_per_epoch
        if images := (position.step - first) * self._training.batch_size:
            self._journal.log_epoch(position.epoch + 1, position.step, images, time.monotonic() - started)

    def _end_at(self, total_steps: int) -> None:
        """Train so many steps, whole epochs, in place of those of the configuration."""
        self._total_steps = self._fixed["total_steps"] = total_steps
        self._learner.schedule.fit(total_steps // self._feed.steps_per_epoch)

    def _fit_to_time(self) -> None:
        """Train what `stop_after` allows, as soon as there is a rate to tell, and by a better one after each epoch."""
        position, per_epoch = self._position, self._feed.steps_per_epoch
        if not self._training.stop_after or (position.step != _STEPS_OF_A_RATE and position.batches != per_epoch):
            return
        elapsed = self._journal.session()["wall_s"]
        total = steps_in_time(self._training, step=position.step, elapsed_s=elapsed, steps_per_epoch=per_epoch)
        if total != self._total_steps:
            self._end_at(total)
            say(f"{self._name}: {total // per_epoch} epochs fit {self._training.stop_after}, by the rate so far")

    def _is_due(self) -> bool:
        """Say whether a checkpoint is written after this step: always the last, and of an epoch unless time counts.

        With `patience`, which epoch is the last turns out when it is evaluated, so its checkpoint follows that.
        """
        position = self._position
        if self._training.patience and position.batches == self._feed.steps_per_epoch:
            return False
        if self._minutes and position.step < self._total_steps:
            return self._journal.minutes_since_checkpoint >= self._minutes
        return position.batches == self._feed.steps_per_epoch or position.step % self._training.checkpoint_steps == 0

    def _save(self) -> None:
        """Write the checkpoint of this step: in the background where it is not the last and the interval is of time."""
        is_last = self._position.step == self._total_steps
        in_background = bool(self._minutes) and not is_last
        self._journal.save(self._position, self._learner, tolerant=not is_last, in_background=in_background)

    def _count_loss(self, loss: float | None) -> None:
        """Count the mean loss of a batch, of this step or the one before; None was counted already."""
        position = self._position
        if loss is None:
            return
        if math.isfinite(loss):
            position.count_loss(loss, self._training.batch_size)
            return
        position.bad_losses += 1
        if position.bad_losses >= _MAX_BAD_LOSSES:
            raise DivergedError(self._why_diverged(f"the loss was not finite {position.bad_losses} times in a row"))

    def _why_diverged(self, what: str) -> str:
        training, position = self._training, self._position
        return (
            f"{self._name}: {what}, at step {position.step} (epoch {position.epoch + 1}), with lr "
            f"{position.lr:g}, opt {training.opt}, batch_size {training.batch_size}, clip_grad "
            f"{training.clip_grad:g}, precision {training.precision}; the last checkpoint, of step "
            f"{self._journal.saved_step}, is untouched. Start again in another folder with a lower --lr, with "
            "--warmup-epochs, or with --clip-grad 1"
        )

    def _stop_if_asked(self) -> None:
        if (number := self._received()) is None:
            return
        self._count_loss(self._learner.settle())
        self._journal.finish_write()
        if self._journal.saved_step != self._position.step:
            self._journal.save(self._position, self._learner, tolerant=False)
        raise Preempted(
            f"{self._name}: stopped by {number.name} after step {self._position.step} of {self._total_steps}, "
            "all is saved; run the same command again to continue"
        )

    def _close_epoch(self) -> None:
        """Evaluate on the holdout and publish the row of the epoch, after a checkpoint of this step."""
        if self._evaluate is not None:
            self._holdout = self._evaluate(self._learner.evaluated, self._stop_if_asked)
            if self._holdout is None:
                raise DivergedError(self._why_diverged("logits on the holdout are not finite"))
            self._end_if_stalled(self._holdout)
        self._position.finish_epoch(self._holdout)
        self._journal.publish(self._position.history, tolerant=self._position.step < self._total_steps)

    def _end_if_stalled(self, holdout: dict[str, Any]) -> None:
        position, patience = self._position, self._training.patience
        if not patience:
            return
        top1s = [row["holdout"]["top1"] for row in (*position.history, {"holdout": holdout})]
        if has_stalled(top1s, patience) and position.step < self._total_steps:
            say(f"{self._name}: ends after epoch {position.epoch + 1}, as {patience} epochs gained nothing")
            self._end_at(position.step)
        if self._journal.saved_step != position.step:
            self._save()

    def _summarise(self) -> dict[str, Any]:
        session = self._journal.session()
        images = self._total_steps * self._training.batch_size
        initial = self._fixed["initial_checkpoint"]
        summary = {
            "branch": self._branch.number,
            "bands": self._fixed["bands"],
            "epochs": self._position.epoch,
            "steps": self._total_steps,
            "params": sum(parameter.numel() for parameter in self._learner.network.parameters()),
            "n_train": self._branch.store.rows("train"),
            "train_loss": self._position.history[-1]["train_loss"],
            "holdout": self._holdout,
            "wall_s": round(session["wall_s"], 3),
            "cpu_s": None if session["cpu_s"] is None else round(session["cpu_s"], 3),
            "images_per_s": round(images / max(session["wall_s"], 1e-9), 2),
            "peak_bytes": session["peak_bytes"],
            "seed": self._training.seed,
            "threads": self._training.threads,
            "from_scratch": initial is None,
            "initial_checkpoint": initial,
            "versions": self._fixed["environment"]["versions"],
        }
        write_summary(self._branch.folder, Summary.parse(summary, SUMMARY_NAME))
        return summary


def _holdout_metrics(branch: Branch) -> Callable[[nn.Module, Callable[[], None]], dict[str, Any] | None] | None:
    """Return what evaluates a network on the holdout, to None where a logit is not finite; None without a holdout."""
    config, store, bands = branch.config, branch.store, branch.bands
    training = config.training
    stream = BatchStream(store, bands, "holdout", training.batch_size, cache=host_cache(training))
    views = BandViews(store, bands, training.crop // config.split.stride, 1, branch.device)
    if not store.rows("holdout"):
        return None

    def metrics(network: nn.Module, check: Callable[[], None]) -> dict[str, Any] | None:
        scoring = Scoring()
        for _, labels, logits in predict_split(network, stream, views, check=check):
            if not logits.isfinite().all():
                return None
            scoring.add(logits, labels)
        return plain(scoring.scores())

    return metrics


def steps_in_time(training: TrainingConfig, *, step: int, elapsed_s: float, steps_per_epoch: int) -> int:
    """Return how many steps the whole epochs have that `stop_after` allows, at the mean rate of the steps so far.

    At least the epoch that is running, at most `epochs`. What was done before counts, evaluations too, whichever call
    did it.
    """
    possible = step * seconds_of(training.stop_after) / max(elapsed_s, 1e-9)
    running = -(-step // steps_per_epoch)
    return steps_per_epoch * min(training.epochs, max(running, int(possible / steps_per_epoch)))


def has_stalled(top1s: list[float], patience: int) -> bool:
    """Say whether none of the last `patience` epochs had a higher top-1 on the holdout than all before them."""
    return len(top1s) > patience and max(top1s[-patience:]) <= max(top1s[:-patience])
