"""Run contestants on a test, and record the nearest known speaker of each utterance and its score.

Shapes: N test utterances of known speakers, I of strangers, S known speakers, D width of an embedding.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from comparison.budgets import MANY, kept_steps
from comparison.finished import run_once
from comparison.models import CONFIGS, CONTESTANTS, Contestant, Trained, best_model, config_of
from comparison.pretrained import Embedder, nearest_centroid
from speakerid import Bundle, Config, SpeakerClassifier, load_config, make_bundle, open_corpus, train
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus
from speakerid.evaluation.baseline import statistics
from speakerid.evaluation.linear_classifier import fit_linear
from speakerid.evaluation.scored_test_set import ScoredTestSet
from speakerid.evaluation.test_set import TestSet
from speakerid.training.batches import whole_utterances
from speakerid.training.predict import predict

DURATIONS = {"1 s": 1.0, "2 s": 2.0, "4 s": 4.0, "whole": None}
"""Seconds taken from the middle of each utterance."""
OURS = "few_minutes"
"""Trained as its config says, for its number of steps; other models take the steps that fit into a time."""
MODELS: dict[str, Contestant] = {
    OURS: Trained(OURS, OURS),  # with folds and channel augmentation, unlike in the comparison
    **{name: CONTESTANTS[name] for name in ("linear", "resemblyzer", "ecapa", "conformer", "course", "task2", "small")},
}
"""Contestants, by their names on the command line."""
NEXT_TO_NONE = ("data.split=random", "data.valid_fraction=0.05")
"""Validation of models of others: a held-out session would be missing from their training."""

Scores = NDArray[np.floating]


@dataclass(frozen=True)
class Job:
    """One contestant on one design with one seed.

    Attributes:
        design: name in `DESIGNS`.
        seed: seed of the design and of the training.
        model: name in `MODELS`.
        settings: overrides for the training of this package's models.
        seconds: duration of the training of the other models.
    """

    design: str
    seed: int
    model: str
    settings: tuple[str, ...] = ()
    seconds: float = 180.0

    def folder(self, out: Path) -> Path:
        """Folder of the run, which depends on all settings, including those of the config's file."""
        contestant, name = MODELS[self.model], self.model
        if isinstance(contestant, Trained):
            settings = self.settings if _is_ours(contestant) else NEXT_TO_NONE
            config = load_config(CONFIGS / f"{contestant.config}.yaml", [*contestant.overrides, *settings])
            options = config.model_dump_json() + ("" if self.model == OURS else f" {self.seconds}")
            name += f"-{hashlib.blake2b(options.encode(), digest_size=4).hexdigest()}"
        return out / "runs" / f"{self.design}-{self.seed}" / name


@dataclass(frozen=True)
class Answers:
    """Results of one row at one duration.

    Attributes:
        title: title of the row.
        duration: name in `DURATIONS`.
        right: N booleans, whether the nearest known speaker is the right one.
        known: N scores of the nearest known speaker; empty for a classifier that cannot reject strangers.
        strangers: I scores, as for `known`.
        named: N booleans, whether the contestant gives a name, at 1 % of strangers; empty without thresholds.
        strangers_named: I booleans, as for `named`.
        promised: share of known speakers' utterances that the contestant expects to identify.
    """

    title: str
    duration: str
    right: list[bool]
    known: list[float]
    strangers: list[float]
    named: list[bool]
    strangers_named: list[bool]
    promised: float | None = None


@dataclass(frozen=True)
class OpenedTest:
    """Opened corpora of one design and seed."""

    folder: Path
    corpus: Corpus
    training: FrameStore
    test: FrameStore
    strangers: FrameStore | None

    @staticmethod
    def open(folder: Path) -> "OpenedTest":
        corpus, training = open_corpus(folder / "test")
        strangers = open_corpus(folder / "test", "strangers")[1] if corpus.strangers else None
        return OpenedTest(folder, corpus, training, open_corpus(folder / "test", "test")[1], strangers)

    @property
    def labels(self) -> NDArray[np.integer]:
        """Speakers of the training utterances."""
        return self.corpus.labelled.speakers

    def frames(self, duration: str) -> int | None:
        seconds = DURATIONS[duration]
        return None if seconds is None else round(seconds * self.corpus.features.frames_per_second)

    def each(self, scores_of: Callable[[FrameStore, int | None], Scores], title: str) -> Iterator[Answers]:
        """Yield a row for every duration.

        Args:
            scores_of: makes (…, S) scores of the utterances of a store, cut to a number of frames.
            title: title of the row.
        """
        for duration in DURATIONS:
            known = scores_of(self.test, self.frames(duration))
            strangers = None if self.strangers is None else scores_of(self.strangers, self.frames(duration))
            yield Answers(
                title,
                duration,
                (known.argmax(1) == self.corpus.test.speakers).tolist(),
                known.max(1).tolist(),
                [] if strangers is None else strangers.max(1).tolist(),
                [],
                [],
            )


def run(job: Job, out: Path) -> list[Answers]:
    """Run a job, or read its result if it was finished before; an interrupted training continues."""

    def records() -> Iterator[dict[str, Any]]:
        torch.set_num_threads(1)
        test = OpenedTest.open(out / "corpora" / f"{job.design}-{job.seed}")
        return map(asdict, _answers(job, test, job.folder(out)))

    return [Answers(**line) for line in run_once(job.folder(out), records)]


def _answers(job: Job, test: OpenedTest, folder: Path) -> Iterator[Answers]:
    contestant = MODELS[job.model]
    if not isinstance(contestant, Trained):
        yield from _linear(contestant.title, test) if job.model == "linear" else _pretrained(contestant.title, test)
        return
    config = _config(job, contestant, test, folder)
    result = train(config, "if any", contestant.make_model, "quiet")
    if result.stopped_by:
        raise KeyboardInterrupt
    model = best_model(contestant, config, test.corpus, result.run.best)

    def head(store: FrameStore, frames: int | None) -> Scores:
        return predict([model], store, range(len(store)), config.data.frames_per_batch, frames).numpy()

    yield from test.each(head, f"{contestant.title}, classifier")
    if _is_ours(contestant):
        yield from _bundled(f"{contestant.title}, bundle", make_bundle(result.run.best), test)
    else:
        yield from _centroids(model, f"{contestant.title}, nearest centroid", test)


def _is_ours(contestant: Trained) -> bool:
    return contestant.make_model is SpeakerClassifier


def _config(job: Job, contestant: Trained, test: OpenedTest, folder: Path) -> Config:
    """Settings of the training; if its steps have to fit into a time, their number is that of the first call."""
    root = test.folder / "training"
    if job.model == OURS:
        own = [f"run_dir={folder}", f"seed={job.seed}", "device=cpu", f"data.root={root}"]
        return load_config(CONFIGS / f"{contestant.config}.yaml", [*contestant.overrides, *own, *job.settings])
    settings = job.settings if _is_ours(contestant) else NEXT_TO_NONE
    timed = config_of(contestant, root, folder, job.seed, MANY, settings)
    steps = kept_steps(folder, job.seconds, timed, contestant.make_model)
    return config_of(contestant, root, folder, job.seed, steps, settings)


def _bundled(title: str, bundle: Bundle, test: OpenedTest) -> Iterator[Answers]:
    """Answers by the bundle's own scores and thresholds, as in `evaluate`."""
    test_set = TestSet.open(test.folder / "bundle", bundle, test.folder / "test")
    for duration, seconds in DURATIONS.items():
        scored_set = ScoredTestSet.of(bundle, test_set, seconds)
        decided, scored = scored_set.decided, scored_set.scored.answers
        reached = [one for one in bundle.expected if seconds is None or one.seconds <= seconds]
        yield Answers(
            title,
            duration,
            scored.right.tolist(),
            decided.answers.known.tolist(),
            decided.answers.strangers.tolist(),
            (decided.answers.known >= decided.thresholds).tolist(),
            (decided.answers.strangers >= decided.stranger_thresholds).tolist(),
            (reached or bundle.expected)[-1].identified,
        )


def _linear(title: str, test: OpenedTest) -> Iterator[Answers]:
    """Answers by log posterior probabilities; the shrinkage is chosen by cross-validation over sessions."""
    sessions = test.corpus.labelled.sessions
    rows = range(len(test.training))
    model, shrinkage = fit_linear(statistics(test.training, rows), test.labels, sessions=sessions)

    def posteriors(store: FrameStore, frames: int | None) -> Scores:
        scores = model.scores(statistics(store, range(len(store)), frames), shrinkage)
        return torch.from_numpy(scores).log_softmax(1).numpy()

    return test.each(posteriors, title)


def _pretrained(title: str, test: OpenedTest) -> Iterator[Answers]:
    corpus = test.corpus
    embed = Embedder(test.folder / "everything", corpus.features)
    centroids = nearest_centroid(embed(corpus.labelled.names)[0], test.labels)

    def cosines(store: FrameStore, frames: int | None) -> Scores:
        names = corpus.test.names if store is test.test else corpus.strangers.names
        return centroids.scores(embed(names, frames)[0])

    return test.each(cosines, f"{title}, nearest centroid")


def _centroids(model: Any, title: str, test: OpenedTest) -> Iterator[Answers]:
    """Answers by cosines of a model's embeddings to those of the training set, centered."""

    @torch.inference_mode()
    def embed(store: FrameStore, frames: int | None = None) -> NDArray[np.float64]:
        batches = list(whole_utterances(store, range(len(store)), 1, frames))  # one by one, without padding
        found = torch.cat([model.eval().embed(batch.features) for batch in batches]).double().numpy()
        return found[np.argsort(np.concatenate([batch.indices for batch in batches]))]

    trained = embed(test.training)
    mean = trained.mean(0)

    def unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return (x - mean) / np.linalg.norm(x - mean, axis=1, keepdims=True)

    centroids = nearest_centroid(unit(trained), test.labels)
    return test.each(lambda store, frames: centroids.scores(unit(embed(store, frames))), title)
