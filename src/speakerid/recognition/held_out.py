"""Voice prints of utterances as they are on occasions that a model has not heard, made by the models of the folds.

Shapes: N utterances, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from speakerid.config import Config, FeatureConfig
from speakerid.corpus.records import UNKNOWN, Corpus, Utterances
from speakerid.corpus.store import FrameStore
from speakerid.errors import UserError
from speakerid.recognition.alignment import Alignment, fit_alignment
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.profiles import Profiles, profiles_of
from speakerid.recognition.simulated import pieces, through_channels
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import fold_folders, number_of_folds, parts_of, stranger_folds

ALIGNED_BY = 1.0, 2.0
"""Seconds of the pieces by which two models are aligned."""


@dataclass(frozen=True)
class Fold:
    """The model of one fold.

    Attributes:
        embedder: fitted on what the fold trains on.
        alignment: from its embeddings to those of the model that ships.
        profiles: of the speakers that it knows, in its own space.
        speakers: their places among all speakers, ascending.
    """

    embedder: Embedder
    alignment: Alignment
    profiles: Profiles
    speakers: NDArray[np.int64]


class HeldOutEmbedder:
    """Embeds each utterance by the model of the fold that held it out, in the space of the model that ships.

    Args:
        embedder: of the model that ships, fitted.
        folds: one for each fold.
        features: settings of the features.
        fold_of: (N,) index of the fold that held each labelled utterance out; UNKNOWN if none did.
        alone: (N,) whether an utterance's speaker has one session only; it is passed through another channel.
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
        self._fold_of = fold_of
        self._alone = alone

    def embed(
        self, store: FrameStore, indices: Sequence[int], crop_frames: int | None = None, bands: Tensor | None = None
    ) -> NDArray[np.float32]:
        """(N, D) voice prints of labelled utterances that a fold held out; see `Embedder.embed`."""
        prints = np.zeros((len(indices), len(self._embedder.mean)), np.float32)
        for fold, rows, mine in self._by_fold(store, indices):
            found = fold.embedder.embeddings(mine, range(len(mine)), crop_frames, bands)
            prints[rows] = self._embedder.voice_prints(fold.alignment(found))
        return prints

    def found(
        self, store: FrameStore, indices: Sequence[int], places: Sequence[int], crop_frames: int | None = None
    ) -> float:
        """Share of utterances, whose speakers have these places, that the models of the folds find in their own way."""
        own, right = np.asarray(places, np.int64), 0
        for fold, rows, mine in self._by_fold(store, indices):
            nearest = fold.profiles.scores(fold.embedder.embed(mine, range(len(mine)), crop_frames)).argmax(1)
            right += int((fold.speakers[nearest] == own[rows]).sum())
        return right / len(own)

    def _by_fold(
        self, store: FrameStore, indices: Sequence[int]
    ) -> Iterator[tuple[Fold, NDArray[np.int64], FrameStore]]:
        """A fold, the rows of `indices` that it is to embed, and these."""
        chosen = np.asarray(indices, np.int64)
        for number, fold in enumerate(self._folds):
            for alone in (False, True):
                rows = np.flatnonzero((self._fold_of[chosen] == number) & (self._alone[chosen] == alone))
                if len(rows):
                    mine = store.of(chosen[rows])
                    yield fold, rows, through_channels(mine, self._features, number) if alone else mine

    def of_strangers(self, config: Config, utterances: Utterances) -> HeldOutEmbedder:
        """The same for utterances of speakers whom a fold left out whole, as they are, by the model of that fold."""
        alone = np.zeros(len(utterances), bool)
        return HeldOutEmbedder(self._embedder, self._folds, self._features, stranger_folds(config, utterances), alone)


def held_out_rows(config: Config, utterances: Utterances) -> NDArray[np.int64]:
    """(N,) index of the fold that holds each labelled utterance out; UNKNOWN if none does."""
    fold_of = np.full(len(utterances), UNKNOWN)
    for number in range(number_of_folds(config, utterances)):
        fold_of[parts_of(config, utterances, number).valid] = number
    return fold_of


def held_out_embedder(
    checkpoint: Path, loaded: Checkpoint, corpus: Corpus, store: FrameStore, embedder: Embedder
) -> HeldOutEmbedder:
    """The models of a run's folds, aligned with the model that ships.

    Args:
        checkpoint: of the model that ships; the folds lie beside it.
        loaded: its content.
        corpus: that it was trained on.
        store: features of the labelled utterances.
        embedder: of the model that ships, fitted.

    Raises:
        UserError: a fold is missing or unfinished, or was trained on other utterances.
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
    """Fit the embedder of a fold on what the fold trains on; profiles of its speakers, and their places."""
    labels = corpus.labelled.speakers[train]
    embedder.fit(store, train, labels.tolist(), loaded.features)
    own = np.flatnonzero(labels < len(corpus.speakers))  # the others are company
    speakers, places = np.unique(labels[own], return_inverse=True)
    prints = embedder.embed(store, np.asarray(train)[own].tolist())
    return profiles_of([corpus.speakers[one] for one in speakers], embedder.plda, prints, places), speakers.astype(
        np.int64
    )


def flattery(profiles: Profiles, prints: NDArray[np.float32], places: Sequence[int], found: float) -> float:
    """What is to be taken off the scores of (N, D) held-out voice prints for their own speakers.

    The map of an alignment imitates the model that ships, which knows the held-out recordings, and the profiles are
    made of them too. So mapped voice prints find their speakers more often than the models of the folds do. They are
    lowered until they find them as often.

    Args:
        profiles: of the model that ships.
        prints: in its space.
        places: (N,) of their speakers.
        found: share of them that the models of the folds find, each among the speakers that it knows.
    """
    scores, rows = profiles.scores(prints).astype(np.float64), np.arange(len(prints))
    own = scores[rows, places]
    scores[rows, places] = -np.inf
    if scores.shape[1] == 1:
        return 0.0
    return max(0.0, float(np.float32(np.quantile(own - scores.max(1), 1 - found))))


def one_session_alone(utterances: Utterances) -> NDArray[np.bool_]:
    """(N,) whether an utterance's speaker has not two known sessions."""
    pairs = np.unique(np.stack([utterances.speakers, utterances.sessions], 1), axis=0)
    known = pairs[pairs[:, 1] != UNKNOWN, 0]
    return np.bincount(known, minlength=len(utterances.speaker_names))[utterances.speakers] < 2


def _other_voices(store: FrameStore, indices: Sequence[int], features: FeatureConfig) -> list[FrameStore]:
    """Pieces of utterances as other voices in other channels, which no model has learned by heart."""
    parts = [pieces(store, indices, round(seconds * features.frames_per_second))[0] for seconds in ALIGNED_BY]
    if not len(parts[0]):  # all are shorter
        parts = [store.of(indices)]
    return [through_channels(part, features, seed, other_voices=True) for seed, part in enumerate(parts) if len(part)]
