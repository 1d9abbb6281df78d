"""A bundle made of a checkpoint and the corpus it was trained on."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import speakerid
from speakerid.config import Config, FeatureConfig
from speakerid.corpus.records import UNKNOWN, Corpus
from speakerid.corpus.store import FrameStore
from speakerid.errors import UserError
from speakerid.evaluation.evaluate import Labelled
from speakerid.printing import printable
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.evaluation import labelled_parts, open_for
from speakerid.recognition.evidence import DURATIONS, Evidence
from speakerid.recognition.held_out import (
    HeldOutEmbedder,
    flattery,
    held_out_embedder,
    held_out_rows,
    one_session_alone,
)
from speakerid.recognition.profiles import Profiles, check_name, profiles_of
from speakerid.recognition.shifted import FACTORS, shift
from speakerid.recognition.submission import check_features
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import number_of_folds, stranger_folds

MOST = 1000
"""Utterances of known speakers, and of strangers, in the evidence of a bundle."""
PROFILE_CLIPS = 100
"""Recordings of a speaker that make a profile."""
FEWEST = 60
"""Speakers that are enough to be left out in turn; a model knows each of fewer too well to take them for strangers."""


class Embeds(Protocol):
    """Makes voice prints of utterances, see `Embedder.embed`."""

    def embed(
        self, store: FrameStore, indices: Sequence[int], crop_frames: int | None = None, bands: Tensor | None = None
    ) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Strangers:
    """Whose voices stand for everybody who is not known.

    Attributes:
        voices: utterances; there may be none, and then the known speakers are left out in turn.
        factors: by which their frequencies are shifted; each makes others of them.
        told: what they are, for the card.
        are_speakers: whether they are the known speakers, left out by the models that make their voice prints.
    """

    voices: Labelled
    factors: tuple[float, ...] = (1.0,)
    told: str = ""
    are_speakers: bool = False


def make_bundle(checkpoint: Path, data: Path | None = None, strangers: bool = True) -> Bundle:
    """The bundle of a checkpoint.

    Voice prints are made of the utterances that the checkpoint was trained on; thresholds and probabilities are fitted
    on its validation utterances, which neither it nor the profiles have seen, and on the corpus's strangers. With folds
    all utterances make voice prints, and each is judged by the model of the fold that held it out. Without strangers,
    speakers are left out in turn, which the model was trained to tell from the others; and where these are fewer than
    `FEWEST`, shifted voices stand for strangers. The card says so.

    Args:
        checkpoint: of a run.
        data: the corpus it was trained on, where that has moved.
        strangers: whether to look at the corpus's.

    Raises:
        UserError: checkpoint and corpus do not belong together, or features that no single recording has.
    """
    loaded, corpus, labelled = _opened(checkpoint, data)
    train, valid = _parts(corpus, labelled, loaded)
    embedder = Embedder(loaded.config.model, loaded.features.n_mels).eval()
    embedder.take_model(loaded)
    try:
        embedder.fit(train.store, train.indices, train.labels, loaded.features)
    except UserError as error:
        raise UserError(f"{checkpoint}: {error}") from error
    chosen = _first_of_each(np.asarray(train.labels), PROFILE_CLIPS)
    prints = embedder.embed(train.store, [train.indices[row] for row in chosen])
    profiles = profiles_of(corpus.speakers, embedder.plda, prints, np.asarray(train.labels)[chosen])
    others = _strangers(corpus, data, loaded, train, strangers)
    unheard: Embeds = embedder
    theirs: Embeds = embedder
    if number_of_folds(loaded.config, corpus.labelled):
        unheard = held_out = held_out_embedder(checkpoint, loaded, corpus, labelled, embedder)
        if not corpus.strangers or not strangers:
            others = _left_out(loaded.config, corpus, labelled) or others
            theirs = held_out.of_strangers(loaded.config, corpus.labelled) if others.are_speakers else embedder
    evidence = evidence_of(unheard, valid, profiles, theirs, others, loaded.features)
    card = _card(checkpoint, loaded, corpus, valid, others)
    return Bundle.fitted(loaded.config.model, loaded.features, embedder.state_dict(), profiles, evidence, card)


def _opened(checkpoint: Path, data: Path | None) -> tuple[Checkpoint, Corpus, FrameStore]:
    """A checkpoint, its corpus, and the features of the labelled utterances; see `make_bundle`."""
    loaded = Checkpoint.load(checkpoint)
    if loaded.features.equalise:
        raise UserError(
            f"{checkpoint}: was trained on features with equalise, which need all recordings of a speaker; a single "
            "recording has none like them, so a bundle cannot recognise it"
        )
    corpus, labelled = open_for(data, loaded.config, "labelled")
    check_features(checkpoint, loaded.features, corpus)
    if corpus.speakers != loaded.speakers:
        raise UserError(f"{corpus.root}: its speakers are not those of {checkpoint}")
    for name in corpus.speakers:
        try:
            check_name(name)
        except UserError as error:
            raise UserError(f"{corpus.root}: speaker {error}; rename it, prepare and train again") from error
    return loaded, corpus, labelled


def _parts(corpus: Corpus, labelled: FrameStore, loaded: Checkpoint) -> tuple[Labelled, Labelled]:
    """Utterances that make the profiles, and those that thresholds are fitted on; with folds they are the same ones."""
    if not number_of_folds(loaded.config, corpus.labelled):
        train, valid = labelled_parts(corpus, labelled, [loaded])
        return _of_speakers(train, corpus), _of_speakers(valid, corpus)
    labels = corpus.labelled.speakers
    held_out = np.flatnonzero(held_out_rows(loaded.config, corpus.labelled) != UNKNOWN)
    everything, valid = (
        Labelled(labelled, rows.tolist(), labels[rows].tolist()) for rows in (np.arange(len(labels)), held_out)
    )
    return _of_speakers(everything, corpus), _of_speakers(valid, corpus)


def evidence_of(
    embedder: Embeds,
    known: Labelled,
    profiles: Profiles,
    embedder_of_strangers: Embeds,
    strangers: Strangers,
    features: FeatureConfig,
) -> list[Evidence]:
    """Voice prints to fit on, by duration.

    Durations that fewer than half of the utterances, or of the speakers, reach are left out: what is longer is then
    judged by what is known of the longest one that is left. The shortest one is never left out.

    Args:
        embedder: makes those of known speakers.
        known: utterances of known speakers; `labels` are places in `profiles`.
        profiles: of the known speakers.
        embedder_of_strangers: makes those of strangers.
        strangers: others.
        features: of all of them.
    """
    names = profiles.names
    some, others = _even(known, MOST), _even(strangers.voices, MOST // len(strangers.factors))
    rows: list[Evidence] = []
    shorter = 0
    for seconds in DURATIONS:
        frames = round(seconds * features.frames_per_second)
        mine, theirs = _longer(some, shorter), _longer(others, shorter)
        if rows and not (_most(mine, some) and _most(theirs, others)):
            break
        prints, taken = _half(embedder.embed(mine.store, mine.indices, frames)), 0.0
        if isinstance(embedder, HeldOutEmbedder):
            found = embedder.found(mine.store, mine.indices, mine.labels, frames)
            taken = flattery(profiles, prints, mine.labels, found)
        foreign, whose = np.zeros((0, prints.shape[1]), np.float32), np.zeros(0, np.int32)
        for place, factor in enumerate(strangers.factors if theirs.labels else ()):
            bands = None if factor == 1 else shift(features, factor)
            foreign = np.concatenate(
                [foreign, embedder_of_strangers.embed(theirs.store, theirs.indices, frames, bands)]
            )
            labels = np.array(theirs.labels, np.int32) * len(strangers.factors) + place
            whose = np.concatenate([whose, labels])
        speakers = np.array([names[label] for label in mine.labels], str)
        themselves = np.array([names[label] for label in theirs.labels] if strangers.are_speakers else [], str)
        rows.append(Evidence(seconds, prints, speakers, _half(foreign), whose, themselves, taken))
        shorter = frames
    return rows


def _most(part: Labelled, whole: Labelled) -> bool:
    """Whether at least half of the utterances, and of whose they are, remain."""
    return all(2 * len(mine) >= len(everything) for mine, everything in (
        (part.labels, whole.labels), (set(part.labels), set(whole.labels))
    ))  # fmt: skip


def _half(prints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded as the file will hold them, so that a bundle says the same before and after it was written."""
    return prints.astype(np.float16).astype(np.float32)


def _of_speakers(part: Labelled, corpus: Corpus) -> Labelled:
    """Without copies: voices that only help to train, and augmented recordings."""
    originals = corpus.labelled.origins
    rows = [
        (index, label)
        for index, label in zip(part.indices, part.labels, strict=True)
        if label < len(corpus.speakers) and originals[index] == index
    ]
    return Labelled(part.store, [index for index, _ in rows], [label for _, label in rows])


def _strangers(corpus: Corpus, data: Path | None, checkpoint: Checkpoint, train: Labelled, real: bool) -> Strangers:
    if real and corpus.strangers:
        _, store = open_for(data, checkpoint.config, "strangers")
        voices = Labelled(store, range(len(corpus.strangers)), corpus.strangers.speakers.tolist())
        return Strangers(voices, told=f"{len(voices.labels)} of {len(set(voices.labels))} strangers")
    if len(corpus.speakers) < FEWEST:
        told = f"{len(corpus.speakers)} speakers with their voices shifted by {FACTORS[0]:g} and {FACTORS[1]:g}"
        return Strangers(train, FACTORS, f"{told}, in place of strangers; prepare --strangers N holds real ones out")
    told = "the known speakers, left out in turn; prepare --strangers N holds real strangers out"
    return Strangers(Labelled(train.store, [], []), told=told)


def _left_out(config: Config, corpus: Corpus, labelled: FrameStore) -> Strangers | None:
    """The speakers whom the folds left out in turn; None if they left none out."""
    rows = np.flatnonzero(stranger_folds(config, corpus.labelled) != UNKNOWN)
    if not len(rows):
        return None
    voices = Labelled(labelled, rows.tolist(), corpus.labelled.speakers[rows].tolist())
    told = f"{len(corpus.speakers)} speakers, each a stranger to the model of a fold"
    return Strangers(voices, told=told, are_speakers=True)


def _first_of_each(labels: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Rows, ascending, of as many evenly spaced utterances of every speaker."""
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([mine[_spread(len(mine), count)] for mine in rows]))


def _even(part: Labelled, most: int) -> Labelled:
    """Evenly spaced utterances, so that everybody has some."""
    order = np.argsort(np.asarray(part.labels), kind="stable")[_spread(len(part.labels), most)]
    return Labelled(part.store, [part.indices[row] for row in order], [part.labels[row] for row in order])


def _spread(length: int, count: int) -> NDArray[np.int64]:
    return np.arange(length) if length <= count else np.arange(count) * length // count


def _longer(part: Labelled, frames: int) -> Labelled:
    lengths = part.store.lengths
    kept = [(i, label) for i, label in zip(part.indices, part.labels, strict=True) if lengths[i] > frames]
    return Labelled(part.store, [index for index, _ in kept], [label for _, label in kept])


def _card(path: Path, checkpoint: Checkpoint, corpus: Corpus, valid: Labelled, strangers: Strangers) -> dict[str, Any]:
    """Where a bundle comes from."""
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
        "fitted_on": f"{_told(corpus, checkpoint, valid)} and {strangers.told}",
    }


def _told(corpus: Corpus, checkpoint: Checkpoint, valid: Labelled) -> str:
    """The utterances of known speakers that thresholds are fitted on."""
    count = number_of_folds(checkpoint.config, corpus.labelled)
    if not count:
        return f"{len(valid.labels)} validation utterances"
    text = f"{len(valid.labels)} utterances by models of {count} folds that had not heard their sessions,"
    if alone := int(one_session_alone(corpus.labelled)[list(valid.indices)].sum()):
        text += f" {alone} of them, whose speakers have one session, through simulated channels,"
    return text


def _fingerprint(corpus: Corpus) -> str:
    """Of the labelled utterances: names, which are made of their content, and speakers."""
    digest = hashlib.sha256()
    for utterance in corpus.labelled:
        digest.update(f"{utterance.feature_path} {utterance.speaker}\n".encode())
    return digest.hexdigest()[:32]
