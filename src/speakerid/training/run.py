"""A run from its settings to its checkpoints: corpus → store → batches → model → training."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from speakerid.batches import TrainingBatches
from speakerid.config import DEMO_ROOT, Config, ModelConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.records import Corpus
from speakerid.corpus.split import Split, split
from speakerid.corpus.store import FrameStore
from speakerid.errors import UserError
from speakerid.evaluation.metrics import macro_accuracy
from speakerid.evaluation.predict import predict_batches
from speakerid.models.classifier import SpeakerClassifier
from speakerid.models.summary import summary
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.progress import valid_bar
from speakerid.training.run_directory import RunDirectory
from speakerid.training.trainer import Trainer

_MAY_CHANGE = ("run_dir", "device", "data.root", "data.packed")
"""Settings that say where a run happens and not what it computes."""


@dataclass(frozen=True)
class TrainResult:
    """What a run came to."""

    run: RunDirectory
    best_accuracy: float | None
    stopped_by: signal.Signals | None
    """The signal that interrupted it; None at its end."""


def train(
    config: Config,
    resume: bool = False,
    make_model: Callable[[ModelConfig, int, int, int], nn.Module] = SpeakerClassifier,
) -> TrainResult:
    """Train a classifier by its settings, or go on where `last.pt` stands.

    Args:
        config: the settings.
        resume: go on with the run in `config.run_dir`.
        make_model: builds the classifier from settings, mel bands, speakers and extra classes, so that a study can
            train another one in the same way.

    Raises:
        UserError: bad settings, a bad corpus, a run folder in use, a run of other settings to resume, divergence.
    """
    device = choose_device(config.device)
    run = RunDirectory(config.run_dir, resume)
    checkpoint = Checkpoint.load(run.last) if resume else None
    corpus, store, parts = open_training_data(config)
    if checkpoint:
        _check_same_run(checkpoint, config, corpus)
    torch.manual_seed(config.seed)
    extra_classes = len(corpus.labelled.speaker_names) - len(corpus.speakers)
    model = make_model(config.model, corpus.features.n_mels, len(corpus.speakers), extra_classes)
    print(summary(model))
    labels = corpus.labelled.speakers
    settings = config.train
    batches = TrainingBatches(store, parts.train, labels, settings.batch_size, settings.crop_frames, config.seed)
    validation = partial(
        validate, store=store, indices=parts.valid, labels=labels, frames_per_batch=config.data.frames_per_batch
    )
    trainer = Trainer(
        config, corpus.features, corpus.speakers, extra_classes, model.to(device), batches, validation, run
    )
    if checkpoint:
        trainer.restore(checkpoint)
        print(f"Resuming from {run.last} after step {checkpoint.step}")
    stopped_by = trainer.fit()
    return TrainResult(run, trainer.best_accuracy, stopped_by)


def open_training_data(config: Config) -> tuple[Corpus, FrameStore, Split]:
    """The corpus, its packed features and its split; the demonstration corpus is written where it is missing."""
    data = config.data
    if data.root == DEMO_ROOT and not data.root.exists():
        from speakerid.corpus.demo import write_demo_corpus  # needs torchaudio, without which the rest can train

        print(f"{data.root} does not exist: writing the demonstration corpus first")
        write_demo_corpus(data.root)
    corpus, store = open_corpus(data.root, "labelled", data.packed, data.dtype)
    parts = split(corpus.labelled, data.split, data.valid_fraction, config.seed)
    print(
        f"{data.root}: {len(corpus.speakers)} speakers, {len(parts.train)} utterances to train, "
        f"{len(parts.valid)} to validate ({parts.how})"
    )
    return corpus, store, parts


def validate(
    model: nn.Module, *, store: FrameStore, indices: Sequence[int], labels: NDArray[np.integer], frames_per_batch: int
) -> dict[str, float]:
    """Accuracy, macro accuracy and mean cross-entropy on whole utterances, every one of them, as inference does it."""
    truth = torch.from_numpy(labels[np.asarray(indices)].astype(np.int64))
    predicted = torch.full_like(truth, -1)
    loss, right, done = 0.0, 0, 0
    with valid_bar(len(indices)) as bar:
        for places, scores in predict_batches([model], store, indices, frames_per_batch):
            expected = truth[places]
            predicted[places] = scores.argmax(-1)
            loss += F.nll_loss(scores, expected, reduction="sum").item()
            right += int((predicted[places] == expected).sum())
            done += len(places)
            bar.set_postfix(accuracy=f"{right / done:.2f}", loss=f"{loss / done:.2f}", refresh=False)
            bar.update(len(places))
    return {"accuracy": right / done, "macro_accuracy": macro_accuracy(predicted, truth), "loss": loss / done}


def choose_device(name: str) -> torch.device:
    """The device of a setting; `auto` is the first GPU, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device: {name!r} is not here; use auto, cpu or a GPU as cuda:0") from error
    return device


def _check_same_run(checkpoint: Checkpoint, config: Config, corpus: Corpus) -> None:
    before, now = _flat(checkpoint.config.model_dump(mode="json")), _flat(config.model_dump(mode="json"))
    changed = [
        f"{name} is {now.get(name)!r}, was {before.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in _MAY_CHANGE
    ]
    if checkpoint.speakers != corpus.speakers:
        changed.append(
            f"the corpus has {len(corpus.speakers)} speakers that are not the run's {len(checkpoint.speakers)}"
        )
    if checkpoint.features != corpus.features:
        changed.append("the features of the corpus are not the run's")
    if changed:
        raise UserError(
            f"{config.run_dir}: cannot be resumed with other settings: {'; '.join(changed)}; "
            "set them back, or start another run_dir"
        )


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
