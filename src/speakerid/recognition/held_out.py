"""Make voice prints of utterances as they are in new sessions, by the models of the folds.

Shapes: N utterances, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import UNKNOWN, Utterances
from speakerid.recognition.alignment import fit_alignment
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.network import Fitted
from speakerid.recognition.profiles import Profiles, profiles_of
from speakerid.recognition.simulated import pieces, through_channels
from speakerid.training.trained_model import TrainedModel
from speakerid.training.training_data import TrainingData

ALIGNED_BY = 1.0, 2.0
"""Durations in seconds of the pieces by which two models are aligned."""
CORRECTED = 0.75
"""Share of the difference between the scores by a fold's model and those of mapped voice prints that is corrected.

Chosen on eight simulated corpora: with 0.5 the estimates were too optimistic, with 1 farther off in single corpora."""


@dataclass(frozen=True)
class Fold:
    """Model of one fold.

    Attributes:
        embedder: embedder fitted on the training set of the fold.
        alignment: map from its embeddings to those of the shipped model.
        profiles: profiles of the speakers that it was trained on, in its own space.
        speakers: indices of these among all speakers, ascending.
    """

    embedder: Fitted
    alignment: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    profiles: Profiles
    speakers: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FoldEmbeddings:
    """Embeddings of some utterances by the model of a fold.

    Attributes:
        fold: the fold.
        rows: (n,) which of the utterances.
        embeddings: (n, D') embeddings, before the projection to voice prints.
    """

    fold: Fold
    rows: NDArray[np.int64]
    embeddings: NDArray[np.float32]


class HeldOutEmbedder:
    """Embeds each utterance by the model of the fold that held it out, in the space of the shipped model.

    Args:
        embedder: fitted embedder of the shipped model.
        folds: one for each fold.
        features: settings of the features.
        fold_of: (N,) index of the fold that held out each labelled utterance; UNKNOWN if none did.
        alone: (N,) whether an utterance's speaker has only one session; it is then passed through another channel.
    """

    def __init__(
        self,
        embedder: Fitted,
        folds: Sequence[Fold],
        features: FeatureConfig,
        fold_of: NDArray[np.integer],
        alone: NDArray[np.bool_],
    ) -> None:
        self._embedder = embedder
        self._folds = folds
        self._features = features
        self.fold_of = fold_of
        self._alone = alone

    def embed(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """(N, D) voice prints of labelled utterances that a fold held out; see `Embedder.embed`."""
        return self.voice_prints(self.embeddings(store, indices, crop_frames, bands))

    def embeddings(
        self,
        store: FrameStore,
        indices: Sequence[int],
        crop_frames: int | None = None,
        bands: NDArray[np.float32] | None = None,
    ) -> list[FoldEmbeddings]:
        """Embeddings by the models of the folds, of utterances as for `embed`."""
        return [
            FoldEmbeddings(fold, rows, fold.embedder.embeddings(mine, range(len(mine)), crop_frames, bands))
            for fold, rows, mine in self._by_fold(store, indices)
        ]

    def voice_prints(self, embeddings: Sequence[FoldEmbeddings]) -> NDArray[np.float32]:
        """(N, D) voice prints in the space of the shipped model."""
        prints = np.zeros((sum(len(found.rows) for found in embeddings), self._embedder.width), np.float32)
        for found in embeddings:
            prints[found.rows] = self._embedder.voice_prints(found.fold.alignment(found.embeddings))
        return prints

    def fold_scores(self, embeddings: Sequence[FoldEmbeddings], speakers: Sequence[int]) -> NDArray[np.float32]:
        """Scores of utterances by the models of the folds, each among its own speakers and in its own space.

        Args:
            embeddings: of N utterances.
            speakers: (N,) indices of their speakers among all.

        Returns:
            (N, 2) score of the utterance's speaker, and the highest score of the others; −inf if there is none.
        """
        own = np.asarray(speakers, np.int64)
        scores = np.full((len(own), 2), -np.inf, np.float32)
        for found in embeddings:
            fold, rows = found.fold, found.rows
            of_all = fold.profiles.scores(fold.embedder.voice_prints(found.embeddings))
            scores[rows] = _own_and_best(of_all, fold.speakers == own[rows, None])
        return scores

    def _by_fold(
        self, store: FrameStore, indices: Sequence[int]
    ) -> Iterator[tuple[Fold, NDArray[np.int64], FrameStore]]:
        """Yield a fold, the rows of `indices` that it embeds, and their features."""
        chosen = np.asarray(indices, np.int64)
        for number, fold in enumerate(self._folds):
            for alone in (False, True):
                rows = np.flatnonzero((self.fold_of[chosen] == number) & (self._alone[chosen] == alone))
                if len(rows):
                    mine = store.of(chosen[rows])
                    yield fold, rows, through_channels(mine, self._features, number) if alone else mine

    def of(self, indices: NDArray[np.integer]) -> HeldOutEmbedder:
        """The same embedder for utterances that replace these labelled ones."""
        return HeldOutEmbedder(self._embedder, self._folds, self._features, self.fold_of[indices], self._alone[indices])

    def for_left_out(self, left_out_by: NDArray[np.int64]) -> HeldOutEmbedder:
        """The same embedder for utterances of speakers left out by a fold, embedded unchanged by that fold's model."""
        alone = np.zeros(len(left_out_by), bool)
        return HeldOutEmbedder(self._embedder, self._folds, self._features, left_out_by, alone)


def held_out_embedder(trained: TrainedModel, embedder: Embedder) -> HeldOutEmbedder:
    """Load the models of a run's folds, and align them with the shipped model.

    Args:
        trained: the shipped model; the folds are beside it.
        embedder: its fitted embedder.

    Raises:
        UserError: the model of a fold is missing, or was trained on utterances that its fold holds out.
    """
    data = trained.data
    folds = [_fold(trained, number, embedder) for number in range(len(data.split.folds))]
    alone = one_session_alone(data.corpus.labelled)
    return HeldOutEmbedder(embedder, folds, trained.features, data.split.held_out_by, alone)


def _fold(trained: TrainedModel, number: int, embedder: Embedder) -> Fold:
    """Load the model of a fold, align it and fit it on its training set; see `held_out_embedder`."""
    path, data = trained.fold_paths[number], trained.data
    if not path.exists():
        raise UserError(
            f"{path}: missing; thresholds are fitted by the models of the folds, so keep {path.parent.parent.name}/ "
            f"beside {trained.paths[0].name}, or train again"
        )
    (checkpoint,), parts = trained.of_fold(number).checkpoints, data.split.folds[number]
    if checkpoint.utterances is None or checkpoint.utterances.trained_on(data.corpus.labelled, parts.valid).any():
        raise UserError(
            f"{path}: was trained on utterances that its fold holds out; the corpus {data.corpus.root} has changed, so "
            "train again"
        )
    theirs = Embedder(trained.config.model, trained.features.n_mels).eval()
    theirs.take_model(checkpoint)
    voices = _other_voices(data.store, parts.train, trained.features)
    theirs_of, ours_of = (
        np.concatenate([one.embeddings(some, range(len(some))) for some in voices]) for one in (theirs, embedder)
    )
    alignment = fit_alignment(theirs_of, ours_of)
    return Fold(theirs, alignment, *_fit(theirs, data, parts.train, trained.features))


def _fit(
    embedder: Embedder, data: TrainingData, train: Sequence[int], features: FeatureConfig
) -> tuple[Profiles, NDArray[np.int64]]:
    """Fit the embedder of a fold on its training set; profiles of its speakers, and their indices."""
    corpus = data.corpus
    labels = corpus.labelled.speakers[train]
    prints = embedder.fit(data.store, train, labels.tolist(), features, np.arange(len(train)))
    own = labels < len(corpus.speakers)  # the others are company
    speakers, indices = np.unique(labels[own], return_inverse=True)
    profiles = profiles_of([corpus.speakers[one] for one in speakers], embedder.plda, prints[own], indices)
    return profiles, speakers.astype(np.int64)


def corrections(
    profiles: Profiles, prints: NDArray[np.float32], speakers: Sequence[int], fold_scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Corrections of the scores of mapped voice prints of known speakers.

    The map of an alignment imitates the shipped model, which has memorized the held-out recordings, and loses what
    distinguishes one recording of a speaker from the next. So mapped voice prints are too close to their speakers. The
    models of the folds err in the other direction: they were trained on fewer speakers and sessions than the shipped
    model. `CORRECTED` says where between the two the scores are expected.

    Args:
        profiles: profiles of the shipped model.
        prints: (N, D) voice prints in its space.
        speakers: (N,) indices of their speakers.
        fold_scores: (N, 2), see `HeldOutEmbedder.fold_scores`.
    Returns:
        (N, 2) corrections to add to the score of the utterance's speaker, and to all other scores.
    """
    is_own = np.arange(len(profiles.names)) == np.asarray(speakers, np.int64)[:, None]
    mapped = _own_and_best(profiles.scores(prints), is_own)
    known = np.isfinite(fold_scores) & np.isfinite(mapped)
    return np.where(known, CORRECTED * (np.where(known, fold_scores, 0) - np.where(known, mapped, 0)), 0).astype(
        np.float32
    )


def _own_and_best(scores: NDArray[np.float32], is_own: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, 2) score of the own speaker and highest other score of (N, S) scores; −inf if there is none."""
    parts = np.where(is_own, scores, -np.inf), np.where(is_own, -np.inf, scores)
    return np.stack([part.max(1, initial=-np.inf) for part in parts], 1).astype(np.float32)


def one_session_alone(utterances: Utterances) -> NDArray[np.bool_]:
    """(N,) whether an utterance's speaker has fewer than two known sessions."""
    pairs = np.unique(np.stack([utterances.speakers, utterances.sessions], 1), axis=0)
    known = pairs[pairs[:, 1] != UNKNOWN, 0]
    return np.bincount(known, minlength=len(utterances.speaker_names))[utterances.speakers] < 2


def _other_voices(store: FrameStore, indices: Sequence[int], features: FeatureConfig) -> list[FrameStore]:
    """Pieces of utterances, changed to other voices in other channels, which no model has memorized."""
    parts = [pieces(store, indices, round(seconds * features.frames_per_second))[0] for seconds in ALIGNED_BY]
    if not len(parts[0]):  # all are shorter
        parts = [store.of(indices)]
    return [through_channels(part, features, seed, other_voices=True) for seed, part in enumerate(parts) if len(part)]
