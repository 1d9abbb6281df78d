"""Voice prints: what they are fitted to, and what profiles are made of."""

import numpy as np

from recognition.bundles import Trained
from speakerid.corpus.check import open_corpus
from speakerid.recognition.embedder import WIDTH
from speakerid.recognition.simulated import through_channels


def test_profiles_are_closer_to_recordings_through_new_channels(trained: Trained) -> None:
    corpus, store = open_corpus(trained.corpus, "labelled")
    rows, labels = np.arange(len(store)), corpus.labelled.speakers.tolist()
    embedder = trained.bundle.embedder()
    clips = rows[::2]
    prints = embedder.fit(store, rows.tolist(), labels, corpus.features, clips)
    assert prints.shape == (len(clips), embedder.width)
    np.testing.assert_allclose(np.linalg.norm(prints, axis=1), 1, atol=1e-5)
    new = through_channels(store.of(clips), corpus.features, seed=99)
    heard = embedder.embed(new, range(len(new)))
    alone = embedder.embed(store, clips.tolist())
    assert (prints * heard).sum(1).mean() > (alone * heard).sum(1).mean() + 0.01


def test_a_voice_print_keeps_the_axes_along_which_speakers_differ_most(trained: Trained) -> None:
    corpus, store = open_corpus(trained.corpus, "labelled")
    labels = corpus.labelled.speakers
    embedder = trained.bundle.embedder()
    assert embedder.model.embedding_width > WIDTH == embedder.width
    prints = embedder.embed(store, range(len(store)))
    means = np.stack([prints[labels == one].mean(0) for one in np.unique(labels)])
    assert means.var() > 0.5 * (prints - means[labels]).var()
