import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from speakerid.corpus.store import FrameStore
from speakerid.evaluation import linear_classifier
from speakerid.evaluation.baseline import linear_baseline
from speakerid.evaluation.linear_classifier import SHRINKAGES, LinearClassifier, fit_linear

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]


def drawn(classes: int, each: int, dimensions: int, apart: float = 1.0, seed: int = 0) -> Drawn:
    """Correlated features of classes in turn."""
    rng = np.random.default_rng(seed)
    means = apart * np.random.default_rng(99).normal(size=(classes, dimensions))
    mixing = np.random.default_rng(98).normal(size=(dimensions, dimensions)) / 2
    labels = np.arange(classes * each) % classes
    return means[labels] + rng.normal(size=(len(labels), dimensions)) @ mixing, labels


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_it_matches_scikit_learn_with_equal_priors(shrinkage: float) -> None:
    features, labels = drawn(5, 20, 6)
    features = (features - features.mean(0)) / features.std(0)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=np.full(5, 0.2))
    fresh = drawn(5, 40, 6, seed=1)[0]
    found = LinearClassifier.fit(features, labels).predict(fresh, shrinkage)
    assert np.mean(found == oracle.fit(features, labels).predict(fresh)) > 0.99


def test_few_data_are_shrunk_and_many_are_not() -> None:
    few, many, test = drawn(10, 4, 40), drawn(10, 200, 40), drawn(10, 20, 40, seed=1)
    model, shrinkage = fit_linear(*few)
    assert shrinkage > fit_linear(*many)[1]
    plain = LinearDiscriminantAnalysis(solver="lsqr").fit(*few).predict(test[0])
    assert np.mean(model.predict(test[0], shrinkage) == test[1]) > np.mean(plain == test[1]) + 0.2


def test_sessions_are_held_out_together() -> None:
    """A feature that separates sessions, not classes, is used only if sessions are split."""
    rng = np.random.default_rng(0)
    labels = np.arange(8).repeat(20)
    sessions = np.arange(16).repeat(10)
    voice, room = rng.normal(size=(8, 4))[labels], rng.normal(size=(16, 12))[sessions]
    features = np.concatenate([voice + rng.normal(size=voice.shape), room + 0.05 * rng.normal(size=room.shape)], 1)
    torn, together = (fit_linear(features, labels, sessions=given)[1] for given in (None, sessions))
    assert together > torn


def test_a_held_out_class_counts_by_its_answer() -> None:
    features, speakers = drawn(4, 30, 8, apart=3)
    sessions = np.arange(120) // 4 % 5 + 5 * speakers
    model, shrinkage = fit_linear(features, sessions, speakers, sessions)
    assert np.mean(model.predict(features, shrinkage) // 5 == speakers) > 0.95


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2), st.integers(0, 4)), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_any_data_give_a_classifier(rows: list[tuple[int, int, int]], constant: bool, known: bool) -> None:
    """One utterance per class, one class, one session, a repeated utterance, constant features."""
    labels, sessions, values = (np.array(column) for column in zip(*rows, strict=True))
    features = np.stack([values, np.zeros(len(rows)), 1e6 + 0.0 * values], 1).astype(np.float64)
    features[:, 0] *= not constant
    model, shrinkage = fit_linear(features, labels, sessions=4 * labels + sessions if known else None)
    found = model.predict(features, shrinkage)
    assert set(found) <= set(labels)
    assert shrinkage in SHRINKAGES
    again, shrinkage_again = fit_linear(features, labels, sessions=4 * labels + sessions if known else None)
    assert (found == again.predict(features, shrinkage_again)).all()


def test_one_utterance_of_each_class_is_the_nearest_centroid() -> None:
    features = np.array([[0.0, 0.0], [4.0, 100.0], [0.0, 100.0]])
    model, shrinkage = fit_linear(features, np.array([7, 3, 5]))
    assert model.predict(features + np.array([0.9, -20]), shrinkage).tolist() == [7, 3, 5]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_constant_frames(dtype: type) -> None:
    store = FrameStore(np.full((60, 4), -20.72, dtype), 10 * np.arange(6), np.full(6, 10))
    assert linear_baseline(store, range(4), [0, 1, 0, 1], store, [4, 5]).tolist() == [0, 0]


def test_few_are_held_out_where_there_are_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same predictions in blocks, and a choice made on one utterance in four."""
    features, labels = drawn(5, 40, 6)
    model, shrinkage = fit_linear(features, labels)
    expected = model.predict(features, shrinkage)
    monkeypatch.setattr(linear_classifier, "_CELLS", 35)
    assert model.predict(features, shrinkage).tolist() == expected.tolist()
    assert model.predict(features[:0], shrinkage).tolist() == []
    judged: list[int] = []
    predict = LinearClassifier.predict

    def counted(self: LinearClassifier, rows: NDArray[np.float64], shrinkage: float) -> NDArray[np.integer]:
        judged.append(len(rows))
        return predict(self, rows, shrinkage)

    monkeypatch.setattr(LinearClassifier, "predict", counted)
    monkeypatch.setattr(linear_classifier, "MOST_COMPARED", 250)
    fit_linear(features, labels)
    assert sum(judged) == 50 * len(SHRINKAGES)
