"""The loop over epochs, batches and checkpoints of one branch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.augment.mixing import mix
from bandwise.augment.ondevice import to_device
from bandwise.checkpoints.folder import Checkpoint, save_checkpoint
from bandwise.config import RunConfig
from bandwise.errors import BandwiseError, NoSpaceError, Preempted
from bandwise.evaluation.metrics import classification_metrics
from bandwise.progress import Advance, progress, say
from bandwise.runs.documents import SUMMARY_NAME, Summary, write_summary
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.store import Store
from bandwise.training.feed import open_feed
from bandwise.training.infer import predict_split
from bandwise.training.journal import Journal
from bandwise.training.learner import Learner
from bandwise.training.position import Position
from bandwise.training.preflight import check_network
from bandwise.training.seeds import seed_for
from bandwise.training.views import Views

_MAX_BAD_LOSSES = 3
_MAX_FULL_DISKS = 3


class DivergedError(BandwiseError):
    """The loss, or what the network predicts, is not finite; the checkpoints hold the last finite weights."""


class BranchLoop:
    """One call of `trainer.train_branch`; lives inside `determinism.reproducible` and under the folder's lock."""

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        folder: Path,
        description: dict[str, Any],
        device: torch.device,
        received: Callable[[], Signals | None],
        load: Callable[[nn.Module], None] | None,
    ) -> None:
        """Build the network and the data stream of the branch.

        Args:
            config: the run.
            store: opened with the bands of the branch.
            folder: the branch folder.
            description: what goes into every checkpoint unchanged, see `description`.
            device: where to train.
            received: returns the signal that asks to stop, or None.
            load: puts the weights to start from into a new network; None for those drawn.

        Raises:
            UsageError: network, optimiser, augmentation and store do not go together.
            IncompatibleError: the source of `augment.at` image is not that of the store, or the initial weights do not
                fit.
        """
        training = config.training
        self._config, self._training = config, training
        self._store, self._folder, self._description, self._received = store, folder, description, received
        self._branch: int = description["branch"]
        self._bands: tuple[int, ...] = tuple(description["bands"])
        self._device = device
        self._holdout_stream = BatchStream(store, self._bands, "holdout", training.batch_size, cache=training.cache)
        self._seeds = {
            "run": training.seed,
            "init": seed_for(training.seed, self._branch, "init"),
            "order": seed_for(training.seed, self._branch, "order"),
            "dropout": seed_for(training.seed, self._branch, "dropout"),
            # Without the branch: all branches see the same crop of an image in the same epoch.
            "augment": seed_for(training.seed, None, "augment"),
        }
        self._views = Views(store, self._bands, training.crop // config.split.stride, 1, device)
        self._mixes = config.augment.mixup > 0 or config.augment.cutmix > 0
        self._feed = open_feed(config, store, folder, self._bands, self._seeds, device)
        self._steps_per_epoch = self._feed.steps_per_epoch
        self._total_steps = self._steps_per_epoch * training.epochs
        self._learner = Learner(
            config,
            self._branch,
            num_classes=len(store.classes),
            bands=len(self._bands),
            channels=store.channels,
            steps_per_epoch=self._steps_per_epoch,
            device=device,
            load=load,
        )
        check_network(self._learner.network, config, len(self._bands) * store.channels)
        self._position = Position()
        self._holdout: dict[str, Any] | None = None
        self._saved_step = 0
        self._full_disks = 0
        self._journal = Journal(folder, device)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same branch, configuration and store.

        Raises:
            IncompatibleError: the weights do not fit.
            CorruptionError: the optimiser state does not fit.
        """
        self._learner.restore(checkpoint)
        self._position = Position(**checkpoint.state["position"])
        self._saved_step = self._position.step
        self._journal.resume(checkpoint.state["session"])
        say(f"branch {self._branch}: continuing after step {self._position.step} of {self._total_steps}")

    def run(self, on_step: Callable[[int], None]) -> dict[str, Any]:
        """Train to the end, write `summary.json` and return it.

        Raises:
            DivergedError, NoSpaceError, Preempted: as `trainer.train_branch`.
        """
        self._journal.publish(self._position.history)
        images, batch = self._total_steps * self._training.batch_size, self._training.batch_size
        done = self._position.step * batch
        with progress(f"branch {self._branch}", images, "images", done=done) as advance:
            try:
                while self._position.epoch < self._training.epochs:
                    self._train_epoch(on_step, advance)
                    self._close_epoch()
            finally:
                self._feed.close()
        return self._summarise()

    def _train_epoch(self, on_step: Callable[[int], None], advance: Advance) -> None:
        position = self._position
        self._learner.train_mode()
        started, first = time.monotonic(), position.step
        for batch in self._feed.batches(position.epoch, start=position.batches):
            self._take_step(batch)
            at_end = position.batches == self._steps_per_epoch
            if at_end or position.step % self._training.checkpoint_steps == 0:
                self._save(tolerant=position.step < self._total_steps)
            on_step(position.step)
            self._stop_if_asked()
            advance(len(batch.ids))
        assert position.batches == self._steps_per_epoch
        if images := (position.step - first) * self._training.batch_size:
            self._journal.log_epoch(position.epoch + 1, position.step, images, time.monotonic() - started)

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        epoch = self._position.epoch
        images = self._feed.augment(self._feed.stored(batch), batch.ids, epoch)
        labels = to_device(batch.labels, self._device)
        if not self._mixes:
            return images, labels
        return mix(
            images,
            labels,
            len(self._store.classes),
            config=self._config.augment,
            ids=batch.ids,
            seed=self._seeds["augment"],
            epoch=epoch,
            smoothing=self._training.smoothing,
        )

    def _take_step(self, batch: Batch) -> None:
        position = self._position
        value = self._learner.learn(*self._inputs(batch), position.step + 1)
        position.step += 1
        position.batches += 1
        position.lr = self._learner.schedule.lr
        if math.isfinite(value):
            position.count_loss(value, len(batch.ids))
        else:
            position.bad_losses += 1
            if position.bad_losses >= _MAX_BAD_LOSSES:
                raise DivergedError(self._why_diverged(f"the loss was not finite {position.bad_losses} times in a row"))
        self._learner.schedule.advance()

    def _why_diverged(self, what: str) -> str:
        training, position = self._training, self._position
        return (
            f"branch {self._branch}: {what}, at step {position.step} (epoch {position.epoch + 1}), with lr "
            f"{position.lr:g}, opt {training.opt}, batch_size {training.batch_size}, clip_grad "
            f"{training.clip_grad:g}, precision {training.precision}; the last checkpoint, of step "
            f"{self._saved_step}, is untouched. Start again in another folder with a lower --lr, with "
            "--warmup-epochs, or with --clip-grad 1"
        )

    def _stop_if_asked(self) -> None:
        if (number := self._received()) is None:
            return
        if self._saved_step != self._position.step:
            self._save(tolerant=False)
        raise Preempted(
            f"branch {self._branch}: stopped by {number.name} after step {self._position.step} of {self._total_steps}, "
            "all is saved; run the same command again to continue"
        )

    def _save(self, *, tolerant: bool) -> None:
        weights, others, rest = self._learner.tensors()
        state = {
            **self._description,
            **rest,
            "seeds": self._seeds,
            "position": self._position.to_dict(),
            "steps_per_epoch": self._steps_per_epoch,
            "total_steps": self._total_steps,
            "session": self._journal.session(),
        }
        step, keep = self._position.step, self._training.keep_checkpoints
        with self._forgiving_full_disk(tolerant):
            save_checkpoint(self._folder, step, model=weights, optim=others, state=state, keep=keep)
            self._saved_step = step
            self._full_disks = 0

    @contextmanager
    def _forgiving_full_disk(self, tolerant: bool) -> Iterator[None]:
        try:
            yield
        except NoSpaceError as error:
            self._full_disks += 1
            if not tolerant or self._full_disks >= _MAX_FULL_DISKS:
                raise
            say(f"WARNING: {error}; training goes on, the next checkpoint tries again")

    def _close_epoch(self) -> None:
        """Evaluate on the holdout and publish the row of the epoch; a checkpoint of this step stands before it."""
        position = self._position
        self._holdout = self._evaluate()
        brief = None if self._holdout is None else {key: self._holdout[key] for key in ("top1", "nll")}
        position.finish_epoch(
            {
                "epoch": position.epoch + 1,
                "step": position.step,
                "lr": position.lr,
                "train_loss": position.mean_loss(),
                "holdout": brief,
            }
        )
        with self._forgiving_full_disk(position.epoch < self._training.epochs):
            self._journal.publish(self._position.history)

    def _evaluate(self) -> dict[str, Any] | None:
        if not self._store.rows("holdout"):
            return None
        _, labels, logits = predict_split(
            self._learner.evaluated, self._holdout_stream, self._views, check=self._stop_if_asked
        )
        if not np.isfinite(logits).all():
            raise DivergedError(self._why_diverged("logits on the holdout are not finite"))
        return dict(classification_metrics(torch.from_numpy(logits), torch.from_numpy(labels)))

    def _summarise(self) -> dict[str, Any]:
        session = self._journal.session()
        images = self._total_steps * self._training.batch_size
        summary = {
            "branch": self._branch,
            "bands": list(self._bands),
            "epochs": self._training.epochs,
            "steps": self._total_steps,
            "params": sum(parameter.numel() for parameter in self._learner.network.parameters()),
            "n_train": self._store.rows("train"),
            "train_loss": self._position.history[-1]["train_loss"],
            "holdout": self._holdout,
            "wall_s": round(session["wall_s"], 3),
            "cpu_s": None if session["cpu_s"] is None else round(session["cpu_s"], 3),
            "images_per_s": round(images / max(session["wall_s"], 1e-9), 2),
            "peak_bytes": session["peak_bytes"],
            "seed": self._training.seed,
            "threads": self._training.threads,
            "from_scratch": self._description["initial_checkpoint"] is None,
            "initial_checkpoint": self._description["initial_checkpoint"],
            "versions": self._description["environment"]["versions"],
        }
        write_summary(self._folder, Summary.parse(summary, SUMMARY_NAME))
        return summary
