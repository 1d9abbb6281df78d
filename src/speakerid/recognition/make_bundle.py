"""Export a checkpoint, with the corpus it was trained on, as a bundle."""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import speakerid
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.base.printing import printable
from speakerid.corpus.labelled import Labelled
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import UNKNOWN, Corpus, Utterances
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.calibration_voices import Strangers, calibration_set_of
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.held_out import held_out_embedder, one_session_alone
from speakerid.recognition.model_weights import arrays_of
from speakerid.recognition.network import Embeds
from speakerid.recognition.profiles import profiles_of
from speakerid.recognition.pseudo_strangers import FACTORS
from speakerid.recognition.simulated import evenly_spaced
from speakerid.recognition.speaker_names import check_name
from speakerid.training.trained_model import TrainedModel
from speakerid.training.training_data import TrainingData

PROFILE_CLIPS = 100
"""Largest number of recordings of a speaker that a profile is made of."""
FEWEST = 60
"""Number of speakers from which on they are left out in turn as strangers; a model knows fewer too well for that."""


def make_bundle(checkpoint: StrPath, data: StrPath | None = None, strangers: bool = True) -> Bundle:
    """Make the bundle of a checkpoint.

    Voice prints are made of the utterances that the checkpoint was trained on. Thresholds and probabilities are fitted
    on its validation utterances, which are in neither the training set nor the profiles, and on the corpus's strangers.
    With folds, all utterances make voice prints, and each is evaluated by the model of the fold that held it out.
    Without strangers, speakers are left out in turn, though the model was trained to distinguish them; if there are
    fewer than `FEWEST`, shifted voices stand for strangers. The card says which.

    Args:
        checkpoint: checkpoint of a run.
        data: folder of the corpus it was trained on, if that has moved.
        strangers: whether to use the corpus's strangers.

    Raises:
        UserError: checkpoint and corpus do not belong together, or a single recording has no such features.
    """
    trained = TrainedModel.load([checkpoint], data)
    _check(trained)
    corpus, split = trained.data.corpus, trained.data.split
    train, valid = _parts(trained)
    embedder = Embedder(trained.config.model, trained.features.n_mels).eval()
    embedder.take_model(trained.checkpoints[0])
    fitted_on = _with_company(train, corpus)
    labels = np.asarray(fitted_on.labels)
    clips = _first_of_each(labels, PROFILE_CLIPS)
    try:
        prints = embedder.fit(fitted_on.store, fitted_on.indices, fitted_on.labels, trained.features, clips)
    except UserError as error:
        raise UserError(f"{checkpoint}: {error}") from error
    own = labels[clips] < len(corpus.speakers)  # the others are company
    profiles = profiles_of(corpus.speakers, embedder.plda, prints[own], labels[clips][own])
    others = _strangers(trained, train, strangers)
    embedder_of_known: Embeds = embedder
    embedder_of_strangers: Embeds = embedder
    if split.folds:
        embedder_of_known = held_out = held_out_embedder(trained, embedder)
        if others.are_speakers:
            embedder_of_strangers = held_out.for_left_out(split.left_out_by)
    evidence = calibration_set_of(embedder_of_known, valid, profiles, embedder_of_strangers, others, trained.features)
    card = _card(trained, valid, others)
    return Bundle.fitted(trained.config.model, trained.features, arrays_of(embedder), profiles, evidence, card)


def _check(trained: TrainedModel) -> None:
    """Refuse names of speakers that a bundle cannot have; see `make_bundle`."""
    for name in trained.data.corpus.speakers:
        try:
            check_name(name)
        except UserError as error:
            raise UserError(
                f"{trained.data.corpus.root}: speaker {error}; rename it, prepare and train again"
            ) from error


def _parts(trained: TrainedModel) -> tuple[Labelled, Labelled]:
    """Utterances for the profiles, and for the thresholds; with folds they are the same."""
    data = trained.data
    if not data.split.folds:
        train, valid = trained.parts
        return _of_speakers(train, data.corpus), _of_speakers(valid, data.corpus)
    held_out = np.flatnonzero(data.split.held_out_by != UNKNOWN)
    everything, valid = (
        _labelled(data.store, data.corpus.labelled, rows) for rows in (np.arange(len(data.corpus.labelled)), held_out)
    )
    return _of_speakers(everything, data.corpus), _of_speakers(valid, data.corpus)


def _labelled(store: FrameStore, utterances: Utterances, rows: NDArray[np.integer]) -> Labelled:
    return Labelled(store, rows.tolist(), utterances.speakers[rows].tolist(), utterances.sessions[rows].tolist())


def _of_speakers(part: Labelled, corpus: Corpus) -> Labelled:
    """Leave out augmented copies, and voices that only help to train."""
    rows = np.asarray(part.indices, np.int64)
    own = (corpus.labelled.speakers[rows] < len(corpus.speakers)) & (corpus.labelled.origins[rows] == rows)
    return _labelled(part.store, corpus.labelled, rows[own])


def _with_company(train: Labelled, corpus: Corpus) -> Labelled:
    """Add the company, which shows as well as the speakers do how voice prints scatter."""
    rows = np.concatenate([np.asarray(train.indices, np.int64), np.flatnonzero(corpus.labelled.company)])
    return _labelled(train.store, corpus.labelled, rows)


def _strangers(trained: TrainedModel, train: Labelled, real: bool) -> Strangers:
    """Voices for strangers: those of the corpus, speakers that the folds left out, shifted voices, or none."""
    data = trained.data
    corpus = data.corpus
    if real and corpus.strangers:
        _, store = trained.open("strangers")
        voices = _labelled(store, corpus.strangers, np.arange(len(corpus.strangers)))
        return Strangers(voices, description=f"{len(voices.labels)} of {len(set(voices.labels))} strangers")
    if len(rows := np.flatnonzero(data.split.left_out_by != UNKNOWN)):
        description = f"{len(corpus.speakers)} speakers, each a stranger to the model of a fold"
        return Strangers(_labelled(data.store, corpus.labelled, rows), description=description, are_speakers=True)
    if len(corpus.speakers) < FEWEST:
        description = f"{len(corpus.speakers)} speakers with their voices shifted by {FACTORS[0]:g} and {FACTORS[1]:g}"
        return Strangers(
            train, FACTORS, f"{description}, in place of strangers; prepare --strangers N holds real ones out"
        )
    description = "the known speakers, left out in turn; prepare --strangers N holds real strangers out"
    return Strangers(Labelled(train.store, [], []), description=description)


def _first_of_each(labels: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Rows, in ascending order, of at most `count` evenly spaced utterances of every speaker."""
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([mine[evenly_spaced(len(mine), count)] for mine in rows]))


def _card(trained: TrainedModel, valid: Labelled, strangers: Strangers) -> dict[str, Any]:
    """Provenance of a bundle."""
    (path,), (checkpoint,), corpus = trained.paths, trained.checkpoints, trained.data.corpus
    return {
        **({"company": asdict(corpus.company)} if corpus.company else {}),
        "version": speakerid.__version__,
        "command": printable(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "checkpoint": printable(path.name),
        "step": checkpoint.step,
        "validation_accuracy": checkpoint.accuracy,
        "corpus": printable(corpus.root.name),
        "fingerprint": _fingerprint(corpus),
        "known_utterances": len(valid.labels),
        "fitted_on": f"{_description(trained.data, valid)} and {strangers.description}",
    }


def _description(data: TrainingData, valid: Labelled) -> str:
    """Description of the utterances of known speakers that thresholds are fitted on."""
    count = len(data.split.folds)
    if not count:
        return f"{len(valid.labels)} validation utterances"
    text = f"{len(valid.labels)} utterances by models of {count} folds that were not trained on their sessions,"
    if alone := int(one_session_alone(data.corpus.labelled)[list(valid.indices)].sum()):
        text += f" {alone} of them, whose speakers have one session, through simulated channels,"
    return text


def _fingerprint(corpus: Corpus) -> str:
    """Digest of the labelled utterances: feature paths, which depend on their content, and speakers."""
    digest = hashlib.sha256()
    for utterance in corpus.labelled:
        digest.update(f"{utterance.feature_path} {utterance.speaker}\n".encode())
    return digest.hexdigest()[:32]
