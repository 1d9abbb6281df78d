"""Make voice prints of utterances as they are in new sessions, by the models of the folds.

Shapes: N utterances, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from speakerid.base.errors import UserError
from speakerid.config import Config, FeatureConfig
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import UNKNOWN, Corpus, Utterances
from speakerid.recognition.alignment import Alignment, fit_alignment
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.profiles import Profiles, profiles_of
from speakerid.recognition.simulated import pieces, through_channels
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import fold_folders, number_of_folds, parts_of, stranger_folds

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

    embedder: Embedder
    alignment: Alignment
    profiles: Profiles
    speakers: NDArray[np.int64]


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
        embedder: Embedder,
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
        self, store: FrameStore, indices: Sequence[int], crop_frames: int | None = None, bands: Tensor | None = None
    ) -> NDArray[np.float32]:
        """(N, D) voice prints of labelled utterances that a fold held out; see `Embedder.embed`."""
        prints = np.zeros((len(indices), self._embedder.width), np.float32)
        for fold, rows, mine in self._by_fold(store, indices):
            found = fold.embedder.embeddings(mine, range(len(mine)), crop_frames, bands)
            prints[rows] = self._embedder.voice_prints(fold.alignment(found))
        return prints

    def fold_scores(
        self, store: FrameStore, indices: Sequence[int], speakers: Sequence[int], crop_frames: int | None = None
    ) -> NDArray[np.float32]:
        """Scores of utterances by the models of the folds, each among its own speakers and in its own space.

        Args:
            store, indices, crop_frames: see `embed`.
            speakers: (N,) indices of their speakers among all.

        Returns:
            (N, 2) score of the utterance's speaker, and the highest score of the others; −inf if there is none.
        """
        own = np.asarray(speakers, np.int64)
        found = np.full((len(own), 2), -np.inf, np.float32)
        for fold, rows, mine in self._by_fold(store, indices):
            scores = fold.profiles.scores(fold.embedder.embed(mine, range(len(mine)), crop_frames))
            is_own = fold.speakers == own[rows, None]
            found[rows] = _own_and_best(scores, is_own)
        return found

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

    def for_left_out(self, config: Config, utterances: Utterances) -> HeldOutEmbedder:
        """The same embedder for utterances of speakers left out by a fold, embedded unchanged by that fold's model."""
        alone = np.zeros(len(utterances), bool)
        return HeldOutEmbedder(self._embedder, self._folds, self._features, stranger_folds(config, utterances), alone)


def held_out_rows(config: Config, utterances: Utterances) -> NDArray[np.int64]:
    """(N,) index of the fold that holds out each labelled utterance; UNKNOWN if none does."""
    fold_of = np.full(len(utterances), UNKNOWN)
    for number in range(number_of_folds(config, utterances)):
        fold_of[parts_of(config, utterances, number).valid] = number
    return fold_of


def held_out_embedder(
    checkpoint: Path, loaded: Checkpoint, corpus: Corpus, store: FrameStore, embedder: Embedder
) -> HeldOutEmbedder:
    """Load the models of a run's folds, and align them with the shipped model.

    Args:
        checkpoint: file of the shipped model; the folds are beside it.
        loaded: its content.
        corpus: corpus that it was trained on.
        store: features of the labelled utterances.
        embedder: fitted embedder of the shipped model.

    Raises:
    """
    utterances = corpus.labelled
    folders = fold_folders(checkpoint.parent, number_of_folds(loaded.config, utterances))
    folds = []
    for number, folder in enumerate(folders):
        path = folder / "best.pt"
        if not path.exists():
            raise UserError(
                f"{path}: missing; thresholds are fitted by the models of the folds, so keep {folder.parent.name}/ "
                f"beside {checkpoint.name}, or train again"
            )
        fold = Checkpoint.load(path)
        parts = parts_of(loaded.config, utterances, number)
        if fold.utterances is None or fold.utterances.trained_on(utterances, parts.valid).any():
            raise UserError(
                f"{path}: was trained on utterances that its fold holds out; the corpus {corpus.root} has changed, so "
                "train again"
            )
        theirs = Embedder(loaded.config.model, loaded.features.n_mels).eval()
        theirs.take_model(fold)
        voices = _other_voices(store, parts.train, loaded.features)
        theirs_of, ours_of = (
            np.concatenate([one.embeddings(some, range(len(some))) for some in voices]) for one in (theirs, embedder)
        )
        folds.append(Fold(theirs, fit_alignment(theirs_of, ours_of), *_fit(theirs, corpus, store, parts.train, loaded)))
    alone = one_session_alone(utterances)
    return HeldOutEmbedder(embedder, folds, loaded.features, held_out_rows(loaded.config, utterances), alone)


def _fit(
    embedder: Embedder, corpus: Corpus, store: FrameStore, train: Sequence[int], loaded: Checkpoint
) -> tuple[Profiles, NDArray[np.int64]]:
    """Fit the embedder of a fold on its training set; profiles of its speakers, and their indices."""
    labels = corpus.labelled.speakers[train]
    prints = embedder.fit(store, train, labels.tolist(), loaded.features, np.arange(len(train)))
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
