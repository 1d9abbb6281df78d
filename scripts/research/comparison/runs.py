"""Run one contestant on a corpus: train, validate, and test once.

Shapes: N test utterances.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from speakerid import UserError, open_corpus, train
from speakerid.corpus.split import split
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus
from speakerid.evaluation.baseline import linear_baseline
from speakerid.nn.summary import unique_parameters
from speakerid.training.metrics_log import Record
from speakerid.training.predict import predict

from .budgets import MANY, kept_steps
from .corpora import CORPORA, LAST_SESSION, CorpusSpec, root_of
from .finished import run_once
from .models import CONTESTANTS, Trained, best_model, config_of
from .pretrained import Embedder, logistic_regression, nearest_centroid

DURATIONS = {"1 s": 100, "2 s": 200, "whole": None}
"""Number of frames taken from the middle of each test utterance."""
By = Literal["seconds", "steps"]
Classes = NDArray[np.integer]


@dataclass(frozen=True)
class Job:
    """Job; `by`, `budget` and `seed` are None without training."""

    corpus: str
    model: str
    by: By | None = None
    budget: float | None = None
    seed: int | None = None

    def folder(self, out: Path) -> Path:
        group = "untrained" if self.by is None else f"{self.budget:g}-{self.by}"
        name = self.model if self.seed is None else f"{self.model}-{self.seed}"
        return out / "runs" / group / self.corpus / name


@dataclass(frozen=True)
class Outcome:
    """Result of a run.

    Attributes:
        title: title of its row.
        parameters: number of parameters of the model; None for the linear baseline.
        steps: number of training steps.
        seconds: duration of training, without validation.
        rate: whole utterances identified per second.
        valid: accuracy on the validation utterances.
        predicted: (N,) classes for each of `DURATIONS`.
    """

    title: str
    parameters: int | None
    steps: int | None
    seconds: float
    rate: float | None
    valid: float | None
    predicted: dict[str, Classes]


@dataclass(frozen=True)
class Data:
    """Opened corpus, with the rows of `corpus.labelled` for training and for validation."""

    root: Path
    corpus: Corpus
    labelled: FrameStore
    test: FrameStore
    training: list[int]
    validation: list[int]

    @staticmethod
    def open(spec: CorpusSpec, out: Path) -> "Data":
        root = root_of(spec, out)
        corpus, labelled = open_corpus(root)
        parts = split(corpus.labelled, "session", LAST_SESSION, seed=0)
        return Data(root, corpus, labelled, open_corpus(root, "test")[1], parts.train, parts.valid)

    @property
    def truth(self) -> Classes:
        """(N,) classes of the test utterances."""
        return np.asarray(self.corpus.test.speakers, np.int64)

    @staticmethod
    def truth_of(corpus: str, out: Path) -> Classes:
        """`truth` of a corpus by its name."""
        return np.asarray(open_corpus(root_of(CORPORA[corpus], out), "test")[0].test.speakers, np.int64)


def run(job: Job, out: Path) -> list[dict[str, Any]]:
    """Run a job, or read its result if it was finished before; an interrupted run continues."""

    def records() -> Iterable[dict[str, Any]]:
        data = Data.open(CORPORA[job.corpus], out)
        return [_record(job, outcome, data.truth) for outcome in _outcomes(job, data, job.folder(out))]

    try:
        return run_once(job.folder(out), records)
    except UserError as error:  # a run that diverged, for example; it is tried again in the next call
        return [{**asdict(job), "title": CONTESTANTS[job.model].title, "failed": str(error)}]


def _outcomes(job: Job, data: Data, folder: Path) -> Iterable[Outcome]:
    contestant = CONTESTANTS[job.model]
    if isinstance(contestant, Trained):
        return [_trained(job, contestant, data, folder)]
    return [_linear(contestant.title, data)] if job.model == "linear" else _pretrained(contestant.title, data)


def _record(job: Job, outcome: Outcome, truth: Classes) -> dict[str, Any]:
    """Line of results.jsonl; `correct` has a bit for each test utterance, in hexadecimal digits."""
    right = {duration: predicted == truth for duration, predicted in outcome.predicted.items()}
    return {
        **asdict(job),
        **{name: value for name, value in asdict(outcome).items() if name != "predicted"},
        "correct": {duration: np.packbits(bits).tobytes().hex() for duration, bits in right.items()},
    }


def _trained(job: Job, contestant: Trained, data: Data, folder: Path) -> Outcome:
    assert job.seed is not None
    steps = _steps(job, contestant, data, folder)
    config = config_of(contestant, data.root, folder, job.seed, steps)
    result = train(config, "if any", contestant.make_model, "quiet")
    if result.stopped_by:
        raise KeyboardInterrupt
    model = best_model(contestant, config, data.corpus, result.run.best)
    predicted, seconds = {}, 0.0
    for duration, frames in DURATIONS.items():  # whole utterances, which are timed, come last
        began = time.perf_counter()
        scores = predict([model], data.test, range(len(data.test)), config.data.frames_per_batch, frames)
        predicted[duration] = scores.argmax(-1).numpy()
        seconds = time.perf_counter() - began
    rate = len(data.test) / seconds
    trained = _training_seconds(result.run.read_log().train)
    return Outcome(contestant.title, unique_parameters(model), steps, trained, rate, result.best_accuracy, predicted)


def _steps(job: Job, contestant: Trained, data: Data, folder: Path) -> int:
    """Number of steps of the run."""
    assert job.budget is not None
    assert job.seed is not None
    if job.by == "steps":
        return round(job.budget)
    timed = config_of(contestant, data.root, folder, job.seed, MANY)
    return kept_steps(folder, job.budget, timed, contestant.make_model)


def _training_seconds(records: Iterable[Record]) -> float:
    """Duration of the steps, from the log of the run."""
    seconds, before = 0.0, 0
    for record in records:
        assert record.steps_per_second
        seconds += (record.step - before) / record.steps_per_second
        before = record.step
    return seconds


def _linear(title: str, data: Data) -> Outcome:
    labelled = data.corpus.labelled
    labels, sessions = labelled.speakers[data.training].tolist(), labelled.sessions[data.training]
    predicted, seconds = {}, 0.0
    for duration, frames in DURATIONS.items():
        began = time.perf_counter()
        indices = range(len(data.test))
        linear = linear_baseline(data.labelled, data.training, labels, data.test, indices, frames, sessions)
        predicted[duration] = linear.numpy()
        seconds = time.perf_counter() - began
    return Outcome(title, None, None, seconds, None, None, predicted)


def _pretrained(title: str, data: Data) -> Iterable[Outcome]:
    """Run the encoder once for both classifiers; its time counts for each."""
    utterances, test = data.corpus.labelled, data.corpus.test
    torch.set_num_threads(1)
    embed = Embedder(data.root, data.corpus.features)
    training, embedding_seconds = embed([utterances.names[row] for row in data.training])
    valid, _ = embed([utterances.names[row] for row in data.validation])
    tested = {duration: embed(list(test.names), frames) for duration, frames in DURATIONS.items()}
    labels, valid_labels = utterances.speakers[data.training], utterances.speakers[data.validation]
    fits = {
        "nearest centroid": lambda: nearest_centroid(training, labels),
        "logistic regression": lambda: logistic_regression(training, labels, valid, valid_labels),
    }
    for name, fit in fits.items():
        began = time.perf_counter()
        classifier = fit()
        yield Outcome(
            f"{title}, {name}",
            embed.parameters + classifier.parameters,
            None,
            embedding_seconds + time.perf_counter() - began,
            len(test) / tested["whole"][1],
            float((classifier.predict(valid) == valid_labels).mean()),
            {duration: classifier.predict(embeddings) for duration, (embeddings, _) in tested.items()},
        )
