import numpy as np
import pytest

from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Utterance, Utterances
from speakerid.evaluation.embedding_map import embedding_map
from speakerid.evaluation.leakage import Leakage, leakage
from speakerid.evaluation.results import EmbeddingMap
from speakerid.evaluation.sufficiency import NotMeasured, no_trials


def corpus(rows: list[tuple[str, str | None]], constant: bool = False) -> tuple[FrameStore, Utterances]:
    rng = np.random.default_rng(0)
    frames = np.full((10 * len(rows), 4), -20.0) if constant else rng.normal(size=(10 * len(rows), 4))
    store = FrameStore(frames.astype(np.float32), 10 * np.arange(len(rows)), np.full(len(rows), 10))
    return store, Utterances.of([Utterance(f"u{n}", 10, *row) for n, row in enumerate(rows)])


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("anna", f"day {n}") for n in range(6)], "only one speaker"),
        ([("anna", "a"), ("ben", "a"), ("cleo", None)], "every speaker has one recording"),
        ([(name, f"day {n}") for name in ("anna", "ben") for n in range(6)], "every session has one recording"),
        ([(name, f"day {n}") for name in ("anna", "ben") for n in range(2)], "every session has one recording"),
    ],
)
def test_why_there_is_no_leakage(rows: list[tuple[str, str | None]], reason: str) -> None:
    found = leakage(*corpus(rows))
    assert isinstance(found, NotMeasured)
    assert reason in str(found)
    assert str(found).startswith("not measured: ")


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    "rows",
    [
        [("anna", None), ("ben", None)] * 2,
        [("anna", "a"), ("ben", "a")] * 2,
        [("anna", "a"), ("ben", "a"), ("anna", "a"), ("ben", "b"), ("cleo", None)],
        [("anna", f"day {n // 2}") for n in range(12)] + [("ben", "a"), ("ben", "b")],
    ],
)
def test_leakage_of_little(rows: list[tuple[str, str | None]], constant: bool) -> None:
    found = leakage(*corpus(rows, constant))
    assert isinstance(found, Leakage)
    assert 0 <= found.random <= 1
    assert 0 <= found.disjoint <= 1


@pytest.mark.parametrize("targets", [[], [True], [False, False]])
def test_trials_of_one_kind(targets: list[bool]) -> None:
    assert no_trials(np.array(targets, bool)) is not None
    assert no_trials(np.array([*targets, True, False])) is None


@pytest.mark.parametrize("count", [2, 12, 40, 1200])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_embeddings_that_are_all_the_same_have_no_map(count: int, value: float) -> None:
    found = embedding_map(np.full((count, 4), value, np.float32), np.zeros(count, int), ["anna"])
    assert str(found) == "not measured: all embeddings are the same"


@pytest.mark.parametrize("count", [2, 12, 40])
def test_maps_of_few_different_embeddings(count: int) -> None:
    embeddings = np.zeros((count, 4), np.float32)
    embeddings[count // 2 :, 1] = 1
    found = embedding_map(embeddings, np.arange(count) % 2, ["anna", "ben"])
    assert isinstance(found, EmbeddingMap)
    assert np.isfinite(found.points).all()


def test_a_single_embedding_has_no_map() -> None:
    assert str(embedding_map(np.ones((1, 4)), np.zeros(1, int), ["anna"])).endswith("only one utterance")
