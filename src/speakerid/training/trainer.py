"""Steps, validations and checkpoints. Knows a classifier, batches and a way to validate; nothing of speech.

Letters: B examples in a batch.
"""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from speakerid.config import Config, FeatureConfig
from speakerid.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.progress import train_bar
from speakerid.training.run_directory import RunDirectory
from speakerid.training.schedule import warmup_half_cosine


class Batches(Protocol):
    """The batch of step k, see `speakerid.batches.TrainingBatches`."""

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]: ...


@dataclass
class Tally:
    """Sums over the examples since the last line of the log."""

    loss: float = 0.0
    correct: float = 0.0
    count: float = 0.0

    def means(self) -> dict[str, float]:
        return {"accuracy": self.correct / self.count, "loss": self.loss / self.count}


@dataclass
class Trainer:
    """One run, from any of its steps to the end."""

    config: Config
    features: FeatureConfig
    speakers: tuple[str, ...]
    extra_classes: int
    """See `speakerid.models.classifier.SpeakerClassifier`."""
    model: nn.Module
    batches: Batches
    validate: Callable[[nn.Module], dict[str, float]]
    """Gives `accuracy`, and whatever else is worth a line in the log."""
    run: RunDirectory
    step: int = 0
    """Steps done."""
    accuracy: float | None = None
    best_accuracy: float | None = None
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        settings = self.config.train
        self.device = next(self.model.parameters()).device
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def fit(self) -> signal.Signals | None:
        """Train to the last step.

        Returns:
            None at the end of the run; the signal (Ctrl-C or SIGTERM) that stopped it after a saved step.

        Raises:
            UserError: the loss or its gradient is not finite.
        """
        settings = self.config.train
        self.run.begin(self.config, self.step)
        self.model.train()
        try:
            with _caught_signals() as caught:
                while self.step < settings.total_steps:
                    self._train_to_validation(caught)
                    if self._is_due(settings.valid_steps):
                        self._validate()
                    if self._is_due(settings.valid_steps) or caught:
                        self.save()
                    if caught:
                        return caught[0]
        finally:
            self.run.close()
        return None

    def _train_to_validation(self, caught: list[signal.Signals]) -> None:
        settings = self.config.train
        start = self.step // settings.valid_steps * settings.valid_steps
        end = min(start + settings.valid_steps, settings.total_steps)
        with train_bar(end - start, self.step - start) as bar:
            while self.step < end and not caught:
                self._train_step()
                bar.set_postfix(_rounded(self.tally.means(), step=self.step), refresh=False)
                bar.update()
                if self._is_due(settings.log_steps):
                    self.run.log(
                        "train", self.step, **self.tally.means(), learning_rate=self._learning_rate(self.step - 1)
                    )
                    self.tally = Tally()
                if self.step % settings.save_steps == 0 and self.step < end:
                    self.save()

    def _train_step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        features, labels = (tensor.to(self.device) for tensor in self.batches[self.step])
        logits = self.model(features)
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.max_grad_norm)
        if not math.isfinite(loss.item() + norm.item()):
            raise UserError(self._divergence(loss.item(), norm.item()))
        self.optimizer.step()
        self.step += 1
        self.tally.loss += loss.item() * len(labels)
        self.tally.correct += (logits.argmax(-1) == labels).sum().item()
        self.tally.count += len(labels)

    def _validate(self) -> None:
        result = self.validate(self.model)
        self.accuracy = result["accuracy"]
        self.run.log("valid", self.step, **result)
        if self.best_accuracy is None or self.accuracy > self.best_accuracy:
            self.best_accuracy = self.accuracy
            self.checkpoint().save(self.run.best)
            tqdm.write(f"Step {self.step}, best model saved. (accuracy={self.accuracy:.4f})")
        self.run.draw_curves()

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.train.total_steps

    def _learning_rate(self, step: int) -> float:
        settings = self.config.train
        return settings.learning_rate * warmup_half_cosine(step, settings.warmup_steps, settings.total_steps)

    def _divergence(self, loss: float, norm: float) -> str:
        good = (
            f"the last good checkpoint is {self.run.last}" if self.run.last.exists() else "no checkpoint was saved yet"
        )
        return (
            f"step {self.step + 1}: the loss is {loss}, the norm of its gradient {norm}; {good}. "
            "Try a lower train.learning_rate, more train.warmup_steps, model.classifier=batchnorm, "
            "or, for a Transformer, model.encoder.norm_first=true"
        )

    def save(self) -> None:
        """Write last.pt."""
        self.checkpoint().save(self.run.last)

    def checkpoint(self) -> Checkpoint:
        """The state of the run now."""
        random_state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random_state["cuda"] = torch.cuda.get_rng_state(self.device)
        return Checkpoint(
            config=self.config,
            features=self.features,
            speakers=self.speakers,
            extra_classes=self.extra_classes,
            step=self.step,
            accuracy=self.accuracy,
            best_accuracy=self.best_accuracy,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            progress=vars(self.tally),
            random_state=random_state,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to the state of a run of the same settings."""
        self.step = checkpoint.step
        self.accuracy = checkpoint.accuracy
        self.best_accuracy = checkpoint.best_accuracy
        self.tally = Tally(**checkpoint.progress)
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.random_state["cpu"])
        if self.device.type == "cuda" and "cuda" in checkpoint.random_state:
            torch.cuda.set_rng_state(checkpoint.random_state["cuda"], self.device)


def _rounded(means: dict[str, float], step: int) -> dict[str, str | int]:
    return {name: f"{value:.2f}" for name, value in means.items()} | {"step": step}


@contextmanager
def _caught_signals() -> Iterator[list[signal.Signals]]:
    """A list that SIGINT or SIGTERM appends itself to; a second one acts as ever."""
    caught: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number))
        for number, handler in before.items():
            signal.signal(number, handler)
        tqdm.write("Stopping after this step; once more stops at once, and loses what is not saved")

    for number in before:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
