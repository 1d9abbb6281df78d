"""Run a training from its settings: corpus → store → batches → model → training."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from speakerid.base.distributed import (
    from_rank_0,
    local_rank,
    process_group,
    rank,
)
from speakerid.base.errors import UserError
from speakerid.base.memory import keep_freed_memory
from speakerid.base.progress import Progress, Style
from speakerid.config import Config, ModelConfig
from speakerid.corpus.utterances import Corpus
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.nn.summary import summary
from speakerid.training.cross_validation import fold_figures, fold_folders
from speakerid.training.initial_weights import load_initial_weights
from speakerid.training.model_size import check_fits
from speakerid.training.precision import parameter_dtype
from speakerid.training.refit import refit_classifier
from speakerid.training.resuming import check_same_run
from speakerid.training.run_directory import RunDirectory
from speakerid.training.trainer import Trainer
from speakerid.training.training_data import TrainingData, open_training_data, training_batches
from speakerid.training.utterance_record import UNRECORDED, UtteranceRecord
from speakerid.training.validation import validate

MakeModel = Callable[[ModelConfig, int, int, int], nn.Module]


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a run."""

    run: RunDirectory
    best_accuracy: float | None
    stopped_by: signal.Signals | None
    """Signal that interrupted the run; None if it finished."""


def train(
    config: Config,
    resume: bool | Literal["if any"] = False,
    make_model: MakeModel = SpeakerClassifier,
    style: Style = "auto",
) -> TrainResult:
    """Train a classifier, or resume its training from the last intact checkpoint.

    Args:
        config: settings of the run.
        resume: resume the run in `config.run_dir`; `if any` starts a new run if there is none.
        make_model: builds the classifier from settings and the numbers of mel bands, speakers and extra classes; a
            study can pass its own.
        style: style of the progress output.

    Raises:
        UserError: bad settings, a bad corpus, a run folder in use, a run with other settings to resume, divergence.
    """
    with process_group():
        return _train(config, resume, make_model, style)


def _train(config: Config, resume: bool | Literal["if any"], make_model: MakeModel, style: Style) -> TrainResult:
    progress = Progress(style if rank() == 0 else "silent")
    resume = from_rank_0(lambda: RunDirectory.holds_a_run(config.run_dir) if resume == "if any" else bool(resume))
    with numerics(config) as device:
        return _train_model(config, resume, make_model, progress, device)


def _train_model(
    config: Config,
    resume: bool,
    make_model: MakeModel,
    progress: Progress,
    device: torch.device,
    data: TrainingData | None = None,
    fold: int | None = None,
) -> TrainResult:
    """Train one model of a run: that of a fold, or the final one, which trains the folds first."""
    settings = config.train
    run = from_rank_0(lambda: RunDirectory(config.run_dir, resume, settings.keep_last, settings.keep_best))
    if data is None:
        data = open_training_data(config, progress)
    else:
        data.announce(progress, fold)
    trainer = build_trainer(config, data, run if rank() == 0 else None, make_model, device, progress, resume, fold)
    with ExitStack() as held:
        from_rank_0(lambda: held.enter_context(run.locked()))
        if resume:
            checkpoint, damaged = from_rank_0(run.newest)
            check_same_run(checkpoint, trainer)
            if checkpoint.utterances is None:
                progress.warn(f"{run.path}: {UNRECORDED}")
            trainer.restore(checkpoint)
            for line in damaged:
                progress.warn(f"skipped: {line}")
            progress.say(f"Resuming {run.path} after step {checkpoint.step}")
        before = partial(_train_folds, config, trainer, make_model, progress, device, data) if trainer.folds else None
        stopped_by = trainer.fit(before)
    return TrainResult(run, trainer.state.best_accuracy, stopped_by)


def _train_folds(
    config: Config,
    trainer: Trainer,
    make_model: MakeModel,
    progress: Progress,
    device: torch.device,
    data: TrainingData,
) -> signal.Signals | None:
    """Train or resume the models of the folds; returns the signal that interrupted them, if any."""
    if trainer.state.validated == config.train.total_steps:
        return None
    folders = fold_folders(config.run_dir, trainer.folds)
    for fold, folder in enumerate(folders):
        fold_config = config.model_copy(update={"run_dir": folder})
        holds_a_run = from_rank_0(partial(RunDirectory.holds_a_run, folder))
        fold_progress = progress.for_part(f"Fold {fold + 1} of {len(folders)}")
        result = _train_model(fold_config, holds_a_run, make_model, fold_progress, device, data, fold)
        if result.stopped_by:
            return result.stopped_by
    return None


def build_trainer(
    config: Config,
    data: TrainingData,
    run: RunDirectory | None,
    make_model: MakeModel,
    device: torch.device,
    progress: Progress,
    resume: bool = False,
    fold: int | None = None,
) -> Trainer:
    """Build the trainer of a model, at its first step; to resume, restore it from a checkpoint.

    Raises:
        UserError: the settings do not fit the corpus, or a bad checkpoint in `init_from`.
    """
    corpus, parts = data.corpus, data.split.of_model(fold)
    count = 0 if fold is not None else len(data.split.folds)
    model = _build_model(config, corpus, make_model, device)
    if fold is None:
        progress.say(summary(model))
    utterances = UtteranceRecord.of(corpus.labelled, parts)
    if not resume:
        utterances = _load_init_from(config, model, corpus, utterances, progress)
    valid = data.labelled_parts(parts)[1]

    def validation(model: nn.Module, step: int) -> dict[str, float]:
        if count:
            return from_rank_0(lambda: fold_figures(fold_folders(config.run_dir, count), step))
        return validate(model, valid, config.data.frames_per_batch, progress)

    def refit(model: nn.Module) -> None:
        refit_classifier(model, config, data, device, progress, fold)

    trainer = Trainer(
        config=config,
        features=corpus.features,
        speakers=corpus.speakers,
        extra_classes=corpus.extra_classes,
        utterances=utterances,
        model=model,
        batches=training_batches(config, data, device, fold),
        validate=validation,
        refit=refit if config.train.refit_classifier else None,
        folds=count,
        run=run,
        progress=progress,
    )
    if fold is None and config.train.precision == "auto":
        progress.say(str(trainer.precision))
    return trainer


def _build_model(config: Config, corpus: Corpus, make_model: MakeModel, device: torch.device) -> nn.Module:
    """The model with random weights, on its device.

    Raises:
        UserError: the model does not fit into memory, or the settings do not fit the corpus.
    """
    if make_model is SpeakerClassifier:
        check_fits(config, corpus, device)
    torch.manual_seed(config.seed)
    model = make_model(config.model, corpus.features.n_mels, len(corpus.speakers), corpus.extra_classes)
    return model.to(device, parameter_dtype(config.train.precision))


def _load_init_from(
    config: Config, model: nn.Module, corpus: Corpus, utterances: UtteranceRecord, progress: Progress
) -> UtteranceRecord:
    """Load the weights of `init_from`, if any, and add the utterances that trained them to the record."""
    if not config.init_from:
        return utterances
    line, former = load_initial_weights(model, config.init_from, config.model, corpus)
    progress.say(line)
    utterances = utterances.initialized_from(former.utterances)
    if former.utterances is None:
        progress.warn(f"init_from: {config.init_from}: {UNRECORDED}")
    elif count := utterances.validation_trained_earlier:
        progress.warn(
            f"init_from: {config.init_from} was trained on {count} of the {len(utterances.valid)} validation "
            "utterances, so their accuracy is overestimated"
        )
    return utterances


def choose_device(name: str) -> torch.device:
    """Device for a `device` setting; `auto` is the GPU with the local rank of this process, or the CPU.

    Raises:
        UserError: the device does not exist.
    """
    if name == "auto":
        return torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device: found {name!r}, which is not available; use auto, cpu or a GPU such as cuda:0"
        ) from error
    return device


@contextmanager
def numerics(config: Config) -> Iterator[torch.device]:
    """Yield the device of the run, with the arithmetic of its settings while the block runs."""
    device = choose_device(config.device)
    if config.train.precision == "tf32" and device.type == "cpu":
        raise UserError("train.precision: found tf32, which only a GPU has; on a CPU use float32 or bfloat16")
    before = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    if device.type == "cpu":
        keep_freed_memory()
    if config.train.precision == "tf32":
        torch.set_float32_matmul_precision("high")
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True)
    try:
        yield device
    finally:
        torch.set_float32_matmul_precision(before[0])
        if config.deterministic:  # the call imports the compiler, which takes as long as to import torch
            torch.use_deterministic_algorithms(before[1])
