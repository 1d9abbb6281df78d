"""Voice prints of utterances as they are on occasions that a model has not heard, made by the models of the folds.

Shapes: N utterances, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """The model of one fold, and the way from its embeddings to those of the model that ships."""

    embedder: Embedder
    alignment: Alignment


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
        chosen = np.asarray(indices, np.int64)
        prints = np.zeros((len(chosen), len(self._embedder.mean)), np.float32)
        for number, fold in enumerate(self._folds):
            for alone in (False, True):
                rows = np.flatnonzero((self._fold_of[chosen] == number) & (self._alone[chosen] == alone))
                if len(rows):
                    mine = store.of(chosen[rows])
                    if alone:
                        mine = through_channels(mine, self._features, number)
                    found = fold.embedder.embeddings(mine, range(len(mine)), crop_frames, bands)
                    prints[rows] = self._embedder.voice_prints(fold.alignment(found))
        return prints

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
        folds.append(Fold(theirs, fit_alignment(theirs_of, ours_of)))
    alone = one_session_alone(utterances)
    return HeldOutEmbedder(embedder, folds, loaded.features, held_out_rows(loaded.config, utterances), alone)


class HeardProfiles:
    """What scores gain by profiles that are made of recordings of the scored utterance's session too.

    Args:
        profiles: made of all recordings.
        prints: (C, D) voice prints that they are made of.
        labels: (C,) places of their speakers.
        of_prints: (C,) index of the fold that holds each of them out.
        fold_of: (N,) the same of all labelled utterances.
    """

    def __init__(
        self,
        profiles: Profiles,
        prints: NDArray[np.float32],
        labels: NDArray[np.integer],
        of_prints: NDArray[np.integer],
        fold_of: NDArray[np.integer],
    ) -> None:
        self._profiles, self._fold_of = profiles, fold_of
        self._without: dict[int, Profiles] = {}
        for fold in np.unique(fold_of[fold_of != UNKNOWN]).tolist():
            # A speaker whose prints are all of this fold keeps them: nothing would be left.
            kept = (of_prints != fold) | ~np.isin(labels, labels[of_prints != fold])
            self._without[fold] = profiles_of(profiles.names, profiles.plda, prints[kept], labels[kept])

    def gains(self, prints: NDArray[np.float32], indices: Sequence[int], places: Sequence[int]) -> NDArray[np.float32]:
        """(N,) of (N, D) voice prints of labelled utterances, whose speakers have these places."""
        folds, own = self._fold_of[np.asarray(indices, np.int64)], np.asarray(places, np.int64)
        found = np.zeros(len(prints), np.float32)
        for fold, without in self._without.items():
            rows = np.flatnonzero(folds == fold)
            whole, less = (_own_scores(some, prints[rows], own[rows]) for some in (self._profiles, without))
            found[rows] = whole - less
        return found


def _own_scores(profiles: Profiles, prints: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N,) scores of (N, D) voice prints for the speakers in these places."""
    speakers, column = np.unique(places, return_inverse=True)
    return profiles.scores(prints, speakers)[np.arange(len(prints)), column]


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
