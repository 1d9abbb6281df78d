"""Make a bundle of a pretrained encoder and the recordings of a prepared corpus.

Shapes: N utterances, D width of the model's embeddings.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import speakerid
from speakerid.audio.decode import decode
from speakerid.audio.frontends import Frontend, Kind, features_of, frontend_of
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.base.parallel import processors
from speakerid.base.printing import printable
from speakerid.base.progress import Bar
from speakerid.config import FeatureConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.labelled import Labelled
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import UNKNOWN, Corpus
from speakerid.preparation import recordings_table
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.calibration_voices import Strangers, calibration_set_of
from speakerid.recognition.embedder import SHORT, WIDTH, check_embeddings
from speakerid.recognition.held_out import Fold, HeldOutEmbedder
from speakerid.recognition.pretrained import Pretrained, PretrainedNetwork, read_pretrained
from speakerid.recognition.profiles import Profiles, profiles_of
from speakerid.recognition.projection import Projection
from speakerid.recognition.simulated import pieces
from speakerid.recognition.speaker_names import check_name

FOLDS = 5
"""Number of parts of which each is held out in turn."""


def make_pretrained_bundle(
    model: StrPath, features: Kind, data: StrPath, sample_rate: int = 16_000, strangers: bool = True
) -> Bundle:
    """Make the bundle of a pretrained encoder.

    Thresholds are fitted on utterances that are held out of profiles and projection in turn, by session where a speaker
    has several; the encoder was trained on other people, so it knows none of them. Strangers are those of the corpus,
    or each speaker is left out in turn.

    Args:
        model: model in ONNX, see `read_pretrained`.
        features: features that it takes, see `features_of`.
        data: corpus by `prepare`, whose recordings still are where they were.
        sample_rate: sample rate of the model, in Hz.
        strangers: whether to use the corpus's strangers.

    Raises:
        UserError: the model, the corpus or a recording cannot be used.
    """
    content, pretrained = read_pretrained(Path(model), features)
    corpus, _ = open_corpus(Path(data), "labelled")
    for name in corpus.speakers:
        check_name(name)
    frontend = frontend_of(features_of(features, sample_rate), features)
    rows = np.flatnonzero(
        (corpus.labelled.speakers < len(corpus.speakers)) & (corpus.labelled.origins == np.arange(len(corpus.labelled)))
    )
    names = list(corpus.labelled.names)
    store = frames_of(corpus, [names[row] for row in rows.tolist()], frontend)
    labels, sessions = corpus.labelled.speakers[rows].astype(np.int64), corpus.labelled.sessions[rows]
    network = PretrainedNetwork(content, pretrained, None)
    embedded = _Embedded(network, store, labels, frontend.features)
    projection, profiles = embedded.fit(np.ones(len(rows), bool), corpus.speakers)
    fold_of = held_out_by(labels, sessions)
    folds = [_fold(embedded, fold_of != number, corpus.speakers) for number in range(FOLDS)]
    fitted = network.with_projection(projection)
    held_out = HeldOutEmbedder(fitted, folds, frontend.features, fold_of, np.zeros(len(rows), bool))
    chosen = np.flatnonzero(fold_of != UNKNOWN)
    if not len(chosen):
        raise UserError(f"{corpus.root}: found no speaker with two recordings, expected some to fit thresholds on")
    known = Labelled(store, chosen.tolist(), labels[chosen].tolist(), sessions[chosen].tolist())
    others = _strangers(corpus, frontend, strangers)
    evidence = calibration_set_of(held_out, known, profiles, fitted, others, frontend.features)
    card = _card(pretrained, corpus, known, others)
    return Bundle.fitted(
        None, frontend.features, projection.weights(), profiles, evidence, card, content, pretrained=pretrained
    )


def frames_of(corpus: Corpus, names: Sequence[str], frontend: Frontend) -> FrameStore:
    """Compute the frames of utterances of a corpus from their recordings.

    Raises:
        UserError: a recording cannot be read, or the corpus does not say where they are.
    """
    table = recordings_table.read(corpus.root)

    def frames(name: str) -> NDArray[np.float32]:
        recording = table[name]
        try:
            sound = decode(
                recording.path, recording.start, recording.end, channel=recording.channel,
                sample_rate=frontend.features.sample_rate,
            )  # fmt: skip
            return frontend(sound.waveform, sound.sample_rate)
        except UserError as error:
            raise UserError(f"{recording.path}: {error}; prepare the corpus again") from error

    found = []
    with ThreadPoolExecutor(processors()) as pool, Bar("Features", "uttr", len(names)) as bar:
        for one in pool.map(frames, names):
            found.append(one)
            bar.advance()
    return FrameStore.from_utterances(found, frontend.features.n_mels)


def held_out_by(labels: NDArray[np.integer], sessions: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N,) which of `FOLDS` folds holds out each utterance; UNKNOWN for the only one of a speaker.

    Args:
        labels: (N,) speakers.
        sessions: (N,) sessions; those of a speaker who has several are held out as a whole.
    """
    folds = np.full(len(labels), UNKNOWN, np.int64)
    for number, label in enumerate(np.unique(labels)):
        mine = np.flatnonzero(labels == label)
        several = len(set(sessions[mine].tolist()) - {UNKNOWN}) > 1
        groups = np.unique(sessions[mine], return_inverse=True)[1] if several else np.arange(len(mine))
        if groups.max() > 0:
            folds[mine] = (groups + number) % FOLDS
    return folds


class _Embedded:
    """Embeddings of N utterances and of short pieces of them, to fit projections on parts of."""

    def __init__(
        self, network: PretrainedNetwork, store: FrameStore, labels: NDArray[np.int64], features: FeatureConfig
    ) -> None:
        self.network, self._labels = network, labels
        self._whole = network.embeddings(store, range(len(store)))
        check_embeddings(self._whole)
        short, self._rows = pieces(store, range(len(store)), round(SHORT * features.frames_per_second))
        self._short = network.embeddings(short, range(len(short))) if len(short) else self._whole[:0]

    def fit(self, train: NDArray[np.bool_], names: Sequence[str]) -> tuple[Projection, Profiles]:
        """Projection and profiles of the utterances that are true in a (N,) array."""
        some = train[self._rows]
        embeddings = np.concatenate([self._whole[train], self._short[some]])
        labels = np.concatenate([self._labels[train], self._labels[self._rows[some]]])
        projection = Projection.fit(embeddings, labels, WIDTH)
        return projection, profiles_of(names, projection.plda, projection(self._whole[train]), self._labels[train])


def _fold(embedded: _Embedded, train: NDArray[np.bool_], names: Sequence[str]) -> Fold:
    projection, profiles = embedded.fit(train, names)
    network = embedded.network.with_projection(projection)
    return Fold(network, lambda embeddings: embeddings, profiles, np.arange(len(names)))


def _strangers(corpus: Corpus, frontend: Frontend, real: bool) -> Strangers:
    """Voices for strangers: those of the corpus, or none."""
    if real and corpus.strangers:
        store = frames_of(corpus, list(corpus.strangers.names), frontend)
        labels = corpus.strangers.speakers.tolist()
        description = f"{len(labels)} of {len(set(labels))} strangers"
        return Strangers(Labelled(store, range(len(labels)), labels), description=description)
    none = FrameStore.from_utterances([], frontend.features.n_mels)
    description = "the known speakers, left out in turn; prepare --strangers N holds real strangers out"
    return Strangers(Labelled(none, [], []), description=description)


def _card(pretrained: Pretrained, corpus: Corpus, known: Labelled, strangers: Strangers) -> dict[str, Any]:
    """Provenance of a bundle."""
    return {
        "version": speakerid.__version__,
        "command": printable(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "encoder": printable(pretrained.file),
        "corpus": printable(corpus.root.name),
        "known_utterances": len(known.labels),
        "fitted_on": f"{len(known.labels)} utterances held out in {FOLDS} parts and {strangers.description}",
    }
