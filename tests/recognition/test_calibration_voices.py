"""Voice prints that thresholds are fitted on."""

import itertools

from recognition.bundles import Trained
from speakerid.corpus.check import open_corpus
from speakerid.evaluation.durations import Labelled
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.calibration_voices import Strangers, calibration_set_of


def evidence(trained: Trained, sessions: int) -> list[CalibrationSet]:
    """CalibrationSet of a bundle if every speaker had been recorded in a number of sessions."""
    corpus, store = open_corpus(trained.corpus, "labelled")
    labels = corpus.labelled.speakers
    known = Labelled(store, range(len(labels)), labels.tolist(), [row % sessions for row in range(len(labels))])
    _, others = open_corpus(trained.corpus, "strangers")
    voices = Labelled(others, range(len(others)), corpus.strangers.speakers.tolist(), [0] * len(others))
    bundle, embedder = trained.bundle, trained.bundle.embedder()
    return calibration_set_of(embedder, known, bundle.profiles, embedder, Strangers(voices), bundle.features)


def test_longer_durations_are_utterances_of_one_session_joined(trained: Trained) -> None:
    found = evidence(trained, 1)
    assert [some.seconds for some in found] == [0.5, 1, 2, 4, 8, 16]
    assert [some.joined for some in found] == [False] * 4 + [True] * 2
    names = set(trained.bundle.profiles.names)
    for shorter, some in itertools.pairwise(found[3:]):
        assert len(some.known) == len(some.speakers) < len(shorter.known)
        assert 2 * len(set(some.speakers)) >= len(names)
        assert set(some.stranger_speakers) == set(shorter.stranger_speakers)


def test_sessions_are_not_joined_with_one_another(trained: Trained) -> None:
    """With as many sessions as recordings there is nothing to join."""
    assert not any(some.joined for some in evidence(trained, 72))
    assert [some.seconds for some in evidence(trained, 2) if some.joined] == [8, 16]
