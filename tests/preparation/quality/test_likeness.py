"""Labels that contradict the sound. Features are drawn around means of sessions, and these around means of speakers."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.audio.log_mel import LogMel
from speakerid.config import FeatureConfig
from speakerid.preparation.quality.likeness import Doubt, Points, doubted_labels, equal_means, mixed_speakers, whiten

VOICES = Path(__file__).resolve().parents[4] / "shared" / "voices"


@dataclass(frozen=True)
class Drawn:
    statistics: Points
    speakers: list[str]
    sessions: list[str | None]

    def doubts(self) -> list[Doubt]:
        return doubted_labels(whiten(self.statistics, self.speakers, self.sessions), self.speakers, self.sessions)

    def mixed(self) -> list[tuple[str, str]]:
        return mixed_speakers(whiten(self.statistics, self.speakers, self.sessions), self.speakers, self.sessions)

    def equal(self) -> list[tuple[str, str]]:
        return equal_means(self.statistics, self.speakers, self.sessions)

    def relabelled(self, wrong: dict[int, str]) -> "Drawn":
        """Change the speakers; known sessions stay unique within their speaker."""
        speakers = [wrong.get(index, speaker) for index, speaker in enumerate(self.speakers)]
        return replace(self, speakers=speakers)


def drawn(
    speakers: int,
    sessions: int,
    each: int,
    distances: float = 5.0,
    channels: float = 4.0,
    dimensions: int = 20,
    seed: int = 0,
) -> Drawn:
    """Draw `each` recordings per session; with one session, sessions are unknown."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))[0] * np.geomspace(1, 8, dimensions)
    rows: list[np.ndarray] = []
    names: list[str] = []
    occasions: list[str | None] = []
    for speaker in range(speakers):
        voice = distances * rng.standard_normal(dimensions)
        for session in range(sessions):
            channel = channels * rng.standard_normal(dimensions) if sessions > 1 else 0
            rows += list(voice + channel + rng.standard_normal((each, dimensions)))
            names += [f"s{speaker:02d}"] * each
            occasions += [f"day {session}" if sessions > 1 else None] * each
    return Drawn((np.array(rows) @ mixing - 40).astype(np.float32), names, occasions)


def test_whitened_recordings_of_one_session_have_unit_covariance() -> None:
    corpus = drawn(20, 4, 10)
    points = whiten(corpus.statistics, corpus.speakers, corpus.sessions)
    sessions = points.reshape(80, 10, 20)
    deviations = (sessions - sessions.mean(1, keepdims=True)).reshape(-1, 20)
    covariance = deviations.T @ deviations / len(deviations)
    assert np.linalg.cond(np.cov(corpus.statistics.T)) > 20
    assert np.linalg.cond(covariance) < 2


@pytest.mark.parametrize(("sessions", "each"), [(1, 20), (5, 5)])
def test_clean_labels_are_not_doubted(sessions: int, each: int) -> None:
    corpus = drawn(15, sessions, each)
    assert corpus.doubts() == []
    assert corpus.mixed() == []
    assert corpus.equal() == []


@pytest.mark.parametrize(("sessions", "each"), [(1, 20), (5, 5)])
def test_wrong_labels_are_found_with_the_right_speaker(sessions: int, each: int) -> None:
    corpus = drawn(15, sessions, each)
    rng = np.random.default_rng(1)
    wrong = {
        int(index): f"s{(int(corpus.speakers[index][1:]) + int(rng.integers(1, 15))) % 15:02d}"
        for index in rng.choice(len(corpus.speakers), 6, replace=False)
    }
    found = corpus.relabelled(wrong).doubts()
    assert sorted(doubt.index for doubt in found) == sorted(wrong)
    for doubt in found:
        assert doubt.nearest_speaker == corpus.speakers[doubt.index]
        assert doubt.ratio > 1
    assert [doubt.ratio for doubt in found] == sorted((doubt.ratio for doubt in found), reverse=True)


def test_a_session_on_another_microphone_is_not_a_wrong_label() -> None:
    corpus = drawn(10, 4, 6, distances=3.0, channels=12.0)
    assert corpus.doubts() == []


def test_a_recording_alone_in_its_session_is_not_judged() -> None:
    corpus = drawn(10, 6, 4, distances=2.0, channels=8.0)
    first_of_session = [index for index in range(240) if index % 4 == 0 or index % 24 > 12]
    thinned = Drawn(
        corpus.statistics[first_of_session],
        [corpus.speakers[index] for index in first_of_session],
        [corpus.sessions[index] for index in first_of_session],
    )
    assert thinned.doubts() == []
    assert thinned.mixed() == []


def test_a_person_under_two_names_is_found() -> None:
    corpus = drawn(15, 1, 20)
    for step, start in ((2, 0), (1, 12)):  # every second recording, and the last ones
        split = corpus.relabelled(dict.fromkeys(range(60 + start, 80, step), "s03 again"))
        assert split.mixed() == [("s03", "s03 again")]


def test_a_person_under_two_names_is_found_across_sessions() -> None:
    corpus = drawn(20, 12, 4, distances=6.0, channels=4.0)
    indices = [index for index in range(48 * 7, 48 * 8) if corpus.sessions[index] in {f"day {day}" for day in range(6)}]
    split = corpus.relabelled(dict.fromkeys(indices, "s07 again"))
    assert split.mixed() == []
    assert split.equal() == [("s07", "s07 again")]


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "x", "y"])), min_size=1, max_size=14),
    kind=st.sampled_from(["noise", "constant", "copies", "an empty band"]),
)
def test_any_corpus_however_small_gets_an_answer(labels: list[tuple[str, str | None]], kind: str) -> None:
    rng = np.random.default_rng(len(labels))
    statistics = rng.standard_normal((len(labels), 8)).astype(np.float32)
    if kind == "constant":
        statistics[:] = 1.0
    elif kind == "copies":
        statistics[:] = statistics[rng.integers(0, min(2, len(labels)), len(labels))]
    elif kind == "an empty band":
        statistics[:, 3] = -20.723
    corpus = Drawn(statistics, [speaker for speaker, _ in labels], [session for _, session in labels])
    points = whiten(corpus.statistics, corpus.speakers, corpus.sessions)
    assert points.shape == statistics.shape
    assert np.isfinite(points).all()
    for doubt in corpus.doubts():
        assert 0 <= doubt.index < len(labels)
        assert doubt.nearest_speaker != corpus.speakers[doubt.index]
    for one, other in corpus.mixed() + corpus.equal():
        assert one < other


@pytest.fixture(scope="module")
def voices() -> Drawn:
    """16 recordings of each of 14 real speakers."""
    if not VOICES.is_dir():
        pytest.skip("needs the real recordings in ../shared/voices")
    log_mel = LogMel(FeatureConfig())
    rows: list[np.ndarray] = []
    speakers: list[str] = []
    for folder in [path for path in sorted(VOICES.iterdir()) if path.is_dir()][:14]:
        for path in sorted(folder.glob("*.ogg"))[:16]:
            samples, sample_rate = soundfile.read(path, dtype="float32")
            frames = log_mel(np.asarray(samples, np.float32), sample_rate)
            rows.append(np.concatenate([frames.mean(0), frames.std(0)]))
            speakers.append(folder.name)
    return Drawn(np.array(rows, np.float32), speakers, [None] * len(speakers))


def test_real_clean_labels_are_hardly_doubted(voices: Drawn) -> None:
    assert len(voices.doubts()) <= 2
    assert voices.mixed() == []


def test_most_real_wrong_labels_are_found(voices: Drawn) -> None:
    rng = np.random.default_rng(0)
    names = sorted(set(voices.speakers))
    found = wrong_count = false = 0
    for _ in range(10):
        indices = rng.choice(len(voices.speakers), 4, replace=False)  # 2 %
        wrong = {
            int(index): str(rng.choice([name for name in names if name != voices.speakers[index]])) for index in indices
        }
        doubted = {doubt.index for doubt in voices.relabelled(wrong).doubts()}
        found += len(doubted & wrong.keys())
        false += len(doubted - wrong.keys())
        wrong_count += len(wrong)
    assert found >= 0.8 * wrong_count
    assert false <= 0.25 * found


def test_most_real_people_under_two_names_are_found(voices: Drawn) -> None:
    found = 0
    for start in range(0, len(voices.speakers), 16):
        name = voices.speakers[start]
        pairs = voices.relabelled(dict.fromkeys(range(start, start + 16, 2), f"{name} again")).mixed()
        found += (name, f"{name} again") in pairs
        assert len(pairs) <= 1, "no other pair"
    assert found >= 12
