"""Training loop: steps, validations and checkpoints of a classifier on batches, independent of speech."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import nn

from speakerid.base.distributed import from_rank_0
from speakerid.base.errors import UserError
from speakerid.base.progress import Bar, Progress, duration
from speakerid.config import Config, FeatureConfig
from speakerid.training.batches import Batches
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.divergence import Collapsed, Diverged, Health
from speakerid.training.metrics_log import rank
from speakerid.training.moving_average import MovingAverage
from speakerid.training.precision import ChosenPrecision
from speakerid.training.run_directory import RunDirectory
from speakerid.training.run_state import RunState
from speakerid.training.schedule import warmup_half_cosine
from speakerid.training.signals import agreed, caught_signals
from speakerid.training.step import TrainingStep, explain_out_of_memory
from speakerid.training.stopwatch import Stopwatch
from speakerid.training.utterance_record import UtteranceRecord

ROLLBACK_FACTOR = 0.5
"""Factor on the learning rate at each rollback."""


@dataclass
class Trainer:
    """Trains a model from any step to the end; every process of the run has one."""

    config: Config
    features: FeatureConfig
    speakers: tuple[str, ...]
    extra_classes: int
    """See `speakerid.nn.classifier.SpeakerClassifier`."""
    utterances: UtteranceRecord
    """Training and validation utterances, for the checkpoints."""
    model: nn.Module
    batches: Batches
    validate: Callable[[nn.Module, int], dict[str, float]]
    """Figures of the model after a number of steps: `accuracy`, `loss`, and others for the log."""
    refit: Callable[[nn.Module], None] | None
    """Refits the classifier of a model after the last step; None to keep it as it was trained."""
    folds: int
    """Number of folds that are trained first and whose validation figures are used; 0 to validate this model."""
    run: RunDirectory | None
    """None in all processes except the first, which does all the writing."""
    progress: Progress
    state: RunState = field(default_factory=RunState)

    def __post_init__(self) -> None:
        self._settings = self.config.train
        scale = self.config.model.logit_scale
        self._learn = TrainingStep(
            self.model, self._settings, self.config.seed, self.progress.warn, scale, self.features
        )
        self.state = replace(self.state, precision=self.precision.name)
        self._average = MovingAverage(self.model, self._settings.ema) if self._settings.ema else None
        self._health = Health(len(self.speakers) + self.extra_classes)
        self._stopwatch = Stopwatch()

    @property
    def precision(self) -> ChosenPrecision:
        """Arithmetic of the steps."""
        return self._learn.precision

    @property
    def _recognizing(self) -> nn.Module:
        """The model that recognizes: the moving average, if there is one."""
        return self._average.model if self._average else self.model

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    def fit(self, before: Callable[[], signal.Signals | None] | None = None) -> signal.Signals | None:
        """Train to the last step.

        Args:
            before: called first, once the run can be resumed; returns the signal that interrupted it, if any.

        Returns:
            None at the end of the run, or the signal (SIGINT, SIGTERM, SIGHUP) that stopped it after a saved step.

        Raises:
            UserError: the run diverged or collapsed more often than `train.rollbacks` allows, or memory ran out.
        """
        if self.run:
            self.run.begin(self.config, self.state)
        self.model.train()
        try:
            with caught_signals(self.progress.say) as caught:
                if self.step == 0:
                    self._save()
                if before and (stopped_by := agreed(caught) or before()):
                    return stopped_by
                while self.state.validated < self._settings.total_steps:
                    try:
                        if stopped_by := self._train_to_validation(caught):
                            return stopped_by
                        self._validate()
                    except Diverged as reason:
                        self._roll_back(reason)
        finally:
            if self.run:
                self.run.close()
        return None

    def _train_to_validation(self, caught: list[signal.Signals]) -> signal.Signals | None:
        settings, start = self._settings, self.state.validated
        end = min(start + settings.valid_steps, settings.total_steps)
        if self.step == end:  # interrupted in a validation, which a save precedes
            return None
        self._stopwatch.restart()
        with self.progress.bar("Train", "step", end - start, self.step - start) as bar:
            while self.step < end:
                self._train_step()
                self._show(bar)
                if self.step % settings.log_steps == 0 or self.step == settings.total_steps:
                    self._log()
                if self.step == settings.total_steps and self.refit:
                    self.refit(self._recognizing)
                stopped_by = agreed(caught)
                if stopped_by or self.step % settings.save_steps == 0 or self.step == end:
                    self._save()
                if stopped_by:
                    return stopped_by
        return None

    def _train_step(self) -> None:
        with explain_out_of_memory(self._step_advice):
            with self._stopwatch.waiting():
                features, labels = self.batches[self.step]
            self._learn(features, labels, self.step, self._learning_rate(self.step))
            if self._average:
                self._average.update(self.step)
        self.state = replace(self.state, step=self.step + 1)
        self._stopwatch.steps += 1

    def _show(self, bar: Bar) -> None:
        bar.update()
        if bar.due:
            sums = self._learn.local_sums()
            count = max(sums["count"], 1.0)
            bar.show(
                accuracy=f"{sums['correct'] / count:.2f}",
                loss=f"{sums['loss'] / count:.2f}",
                step=self.step,
                lr=f"{self._learning_rate(self.step - 1):.1e}",
                eta=duration((self._settings.total_steps - self.step) / bar.rate),
            )

    def _log(self) -> None:
        self._check_finite()
        sums = self._learn.sums()
        self._health.check(sums, self.step)
        self._learn.clear()
        if self.run:
            self._record(
                "train",
                accuracy=sums["correct"] / sums["count"],
                loss=sums["loss"] / sums["count"],
                learning_rate=self._learning_rate(self.step - 1),
                **self._stopwatch.read(),
            )

    def _validate(self) -> None:
        with explain_out_of_memory(self._validation_advice):
            result = self.validate(self._recognizing, self.step)
        accuracy, loss = result["accuracy"], result["loss"]
        self.state = replace(self.state, accuracy=accuracy, validated=self.step)
        is_best = self._is_best(accuracy, loss)
        if is_best:
            self.state = replace(self.state, best_accuracy=accuracy, best_loss=loss)
        if self.run:
            self._record("valid", **result)
            self.run.draw_curves()  # before saving, so that a run killed here draws them when it repeats the validation
        self._save(is_best)
        if self.run and is_best:
            self.progress.say(f"Step {self.step}, best model saved. (accuracy={accuracy:.4f})")

    def _is_best(self, accuracy: float, loss: float) -> bool:
        """Whether a validation is the best so far; the loss breaks ties, which are common with few utterances."""
        best = self.state
        if best.best_accuracy is None or best.best_loss is None:
            return True
        return rank(accuracy, loss) > rank(best.best_accuracy, best.best_loss)

    def _record(self, part: str, **scalars: float | str) -> None:
        self.progress.record(_of(self.run).log(part, self.step, **scalars))

    def _learning_rate(self, step: int) -> float:
        settings = self._settings
        factor = warmup_half_cosine(step, settings.warmup_steps, settings.total_steps)
        return settings.learning_rate * ROLLBACK_FACTOR**self.state.rollbacks * factor

    def _roll_back(self, reason: Diverged) -> None:
        """Return to the last good checkpoint, with a lower learning rate."""
        failed_at, times = self.step, self.state.rollbacks + 1
        if times > self._settings.rollbacks:
            if self.run:
                self._record("given up", reason=str(reason))
            raise UserError(
                f"{reason}; the last checkpoint is {self.config.run_dir / 'last.pt'}. Try a lower train.learning_rate, "
                "more train.warmup_steps, model.classifier=batchnorm, or, for a Transformer, "
                "model.encoder.norm_first=true; train.rollbacks=3 goes back automatically and halves the rate"
            )
        guesses = isinstance(reason, Collapsed)
        self.restore(from_rank_0(lambda: _of(self.run).good_checkpoint(validated=guesses)))
        self.state = replace(self.state, rollbacks=times)
        factor = ROLLBACK_FACTOR**times
        self.progress.warn(f"{reason}; going back to step {self.step} with {factor:g} times the learning rate")
        if self.run:
            self.run.begin(self.config, self.state)
            self._record(
                "rollback", rollbacks=times, from_step=failed_at, learning_rate_factor=factor, reason=str(reason)
            )
        self._save()

    def _step_advice(self) -> str:
        settings = self._settings
        size = f"train.batch_size={settings.batch_size}, train.crop_frames={settings.crop_frames}"
        if settings.longest_crop_frames:
            size += f", train.longest_crop_frames={settings.longest_crop_frames}"
        return (
            f"in step {self.step + 1} at {size}, train.accumulate={settings.accumulate}; try "
            f"train.accumulate={2 * settings.accumulate} (the same batch in smaller parts), or "
            f"train.batch_size={max(settings.batch_size // 2, 2)}, or train.crop_frames={settings.crop_frames // 2}; "
            "--find-batch-size finds what fits"
        )

    def _validation_advice(self) -> str:
        frames = self.config.data.frames_per_batch
        size = f"data.frames_per_batch={frames}; try data.frames_per_batch={frames // 2}"
        return f"in the validation after step {self.step} at {size}"

    def _save(self, is_best: bool = False) -> None:
        self._check_finite()
        sums = self._learn.sums()
        if self.run:
            self.run.save(self._checkpoint(sums), is_best)

    def _check_finite(self) -> None:
        if step := self._learn.bad_step():
            raise Diverged(f"step {step}: the loss or its gradient is not finite")

    def _checkpoint(self, sums: dict[str, float]) -> Checkpoint:
        return Checkpoint(
            config=self.config,
            features=self.features,
            speakers=self.speakers,
            extra_classes=self.extra_classes,
            utterances=self.utterances,
            model=self.model.state_dict(),
            average=self._average.model.state_dict() if self._average else None,
            optimizers=self._learn.state_dict(),
            **vars(replace(self.state, progress=sums | self._health.state())),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state of a run with the same settings and utterances.

        Raises:
            UserError: the weights or optimizers are of another model.
        """
        if checkpoint.utterances:
            self.utterances = checkpoint.utterances
        self.state = replace(checkpoint.state, precision=self.precision.name)
        if checkpoint.precision not in (None, self.precision.name):
            self.progress.warn(f"{self.precision}; the steps before were in {checkpoint.precision}")
        checkpoint.restore_weights(self.model, checkpoint.model)
        if self._average:
            checkpoint.restore_weights(self._average.model, checkpoint.inference_weights)
        try:
            self._learn.load_state_dict(checkpoint.optimizers, checkpoint.progress)
            self._health.restore(checkpoint.progress)
        except (KeyError, ValueError) as error:
            reason = f"progress.{error.args[0]} is missing" if isinstance(error, KeyError) else error
            raise UserError(
                f"{self.config.run_dir}: the checkpoint after step {checkpoint.step} cannot be resumed from: {reason}; "
                "a run can begin with its weights (init_from)"
            ) from error


def _of(run: RunDirectory | None) -> RunDirectory:
    assert run is not None, "only rank 0 has the folder"
    return run
