from pathlib import Path

import numpy as np
import pytest

from corpora import write_recording
from experiments import answer
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Utterance, Utterances
from speakerid.evaluation import leakage as module
from speakerid.evaluation.leakage import Leakage, leakage

N_MELS = 6


def corpus(sessions: int, channel: float, voice: float, speakers: int = 8) -> tuple[FrameStore, Utterances]:
    """Five utterances per session, with a mean spectrum that is the sum of the voice's and the session's."""
    rng = np.random.default_rng(0)
    rows, frames = [], []
    for speaker in range(speakers):
        spectrum = voice * rng.standard_normal(N_MELS)
        for session in range(sessions):
            colour = spectrum + channel * rng.standard_normal(N_MELS)
            for n in range(5):
                frames.append(colour + rng.standard_normal((20, N_MELS)))
                rows.append(Utterance(f"{speaker}-{session}-{n}", 20, f"s{speaker}", f"day {session}"))
    offsets = 20 * np.arange(len(rows))
    store = FrameStore(np.concatenate(frames).astype(np.float32), offsets, np.full(len(rows), 20))
    return store, Utterances.of(rows)


def measured(store: FrameStore, utterances: Utterances) -> Leakage:
    found = leakage(store, utterances)
    assert isinstance(found, Leakage)
    return found


def test_channel_without_a_voice_is_found_out() -> None:
    found = measured(*corpus(sessions=4, channel=10, voice=0))
    assert found.random > 0.9
    assert found.disjoint < 0.4
    assert "whole sessions" in found.how
    assert str(found).startswith("a linear classifier of sessions finds 100.0 % of the speakers if validation ")


def test_voice_without_a_channel_leaks_nothing() -> None:
    found = measured(*corpus(sessions=4, channel=0, voice=10))
    assert found.random == found.disjoint == 1


def test_without_sessions_it_says_how_validation_is_drawn() -> None:
    store, utterances = corpus(sessions=1, channel=10, voice=0)
    found = measured(store, utterances)
    assert found.disjoint > 0.9
    assert "inflated" in found.how


def test_large_corpus_is_judged_by_its_first_speakers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[int] = []
    baseline = module.linear_baseline

    def counted(store: FrameStore, rows: list[int], *others: object) -> object:
        seen.append(len(rows))
        return baseline(store, rows, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "linear_baseline", counted)
    monkeypatch.setattr(module, "LARGEST", 65)
    store, utterances = corpus(sessions=4, channel=0, voice=10)
    assert measured(store, utterances).random == 1
    assert seen == [3 * 18, 3 * 15]


@pytest.mark.parametrize("name", ["{speaker}/{take}.wav", "{speaker}/day{take}/a.wav"])
def test_two_recordings_of_each_speaker_are_prepared_with_a_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for speaker in ("anna", "ben", "cleo"):
        for take in range(2):
            write_recording(tmp_path / "source" / name.format(speaker=speaker, take=take))
    assert answer(monkeypatch, "prepare", tmp_path / "source", tmp_path / "corpus", "--workers", 1) == 0
    expected = "not measured: every session has one recording" if "day" in name else "a linear classifier of sessions"
    assert (
        f"leakage: 1\n  → quote accuracy only on sessions that were not used for training\n  - {expected}"
        in capsys.readouterr().out
    )
    assert expected in (tmp_path / "corpus" / "report.html").read_text()
