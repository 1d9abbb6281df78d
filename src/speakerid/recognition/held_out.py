"""Voice prints of utterances as they are on occasions that a model has not heard, made by the models of the folds.

Shapes: N utterances, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speakerid.config import Config
from speakerid.corpus.records import UNKNOWN, Corpus, Utterances
from speakerid.corpus.store import FrameStore
from speakerid.errors import UserError
from speakerid.layers.channel_augment import ChannelAugment
from speakerid.recognition.alignment import Alignment, fit_alignment
from speakerid.recognition.embedder import Embedder
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import fold_folders, number_of_folds, parts_of, stranger_folds

OTHER_DAY = ChannelAugment(reverberation=0.5, noise=0.5, equalization=1.0, band_limit=0.1)
"""Another occasion for a recording whose speaker has no other one. Without other voices: each is passed alone."""


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
        fold_of: (N,) index of the fold that held each labelled utterance out; UNKNOWN if none did.
        alone: (N,) whether an utterance's speaker has one session only; it is passed through another channel.
    """

    def __init__(
        self, embedder: Embedder, folds: Sequence[Fold], fold_of: NDArray[np.integer], alone: NDArray[np.bool_]
    ) -> None:
        self._embedder = embedder
        self._folds = folds
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
                    mine, place = (_elsewhere(store, chosen[rows], crop_frames), range(len(rows))) if alone else (
                        store, chosen[rows].tolist()
                    )  # fmt: skip
                    found = fold.embedder.embeddings(mine, place, crop_frames, bands)
                    prints[rows] = self._embedder.voice_prints(fold.alignment(found))
        return prints

    def of_strangers(self, config: Config, utterances: Utterances) -> HeldOutEmbedder:
        """The same for utterances of speakers whom a fold left out whole, as they are, by the model of that fold."""
        alone = np.zeros(len(utterances), bool)
        return HeldOutEmbedder(self._embedder, self._folds, stranger_folds(config, utterances), alone)


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
        both = [embedder.training_embeddings(store, parts.train, loaded.features) for embedder in (theirs, embedder)]
        folds.append(Fold(theirs, fit_alignment(*both)))
    return HeldOutEmbedder(embedder, folds, held_out_rows(loaded.config, utterances), one_session_alone(utterances))


def one_session_alone(utterances: Utterances) -> NDArray[np.bool_]:
    """(N,) whether an utterance's speaker has not two known sessions."""
    pairs = np.unique(np.stack([utterances.speakers, utterances.sessions], 1), axis=0)
    known = pairs[pairs[:, 1] != UNKNOWN, 0]
    return np.bincount(known, minlength=len(utterances.speaker_names))[utterances.speakers] < 2


def _elsewhere(store: FrameStore, indices: NDArray[np.int64], crop_frames: int | None) -> FrameStore:
    """The middle of utterances through a random channel each, always the same one."""
    found = []
    with torch.random.fork_rng(devices=[]):
        for index in indices.tolist():
            torch.manual_seed(index)
            frames = store.utterance(index)
            if crop_frames is not None and len(frames) > crop_frames:
                frames = frames.narrow(0, (len(frames) - crop_frames) // 2, crop_frames)
            found.append(OTHER_DAY(frames[None])[0].numpy())
    lengths = np.array([len(frames) for frames in found])
    return FrameStore(np.concatenate(found), np.cumsum(lengths) - lengths, lengths)
