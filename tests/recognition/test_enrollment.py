"""Enrollment: names, more recordings of a speaker, repeated recordings, and doubts."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recognition.bundles import Trained
from speakerid.audio.decode import decode
from speakerid.base.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.enrollment import doubts
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Voice

RESERVED = ("unknown", "Unknown", "UNKNOWN 3", "stranger 12", "silent", "too short", "ｕｎｋｎｏｗｎ")
UNPRINTABLE = ("", " ", "a\nb", "a\tb", "\x1b[31mred", " Anna", "a\u202eb", "x" * 101, "a\x00b", "\udcff")


@pytest.mark.parametrize("name", [*RESERVED, *UNPRINTABLE])
def test_names_that_answers_need_or_nobody_can_read_are_refused(trained: Trained, bundle: Path, name: str) -> None:
    recognizer = Recognizer.load(bundle)
    clip = trained.clips(trained.stranger)[0]
    for change in (lambda: recognizer.enroll(name, [clip]), lambda: recognizer.rename(recognizer.speakers[0], name)):
        with pytest.raises(UserError, match="name: found"):
            change()
    assert bundle.read_bytes() == trained.path.read_bytes()


def test_a_reserved_name_in_a_former_bundle_can_be_read_and_changed(trained: Trained, tmp_path: Path) -> None:
    from recognition.hostile import rewrite

    path, first = tmp_path / "b.safetensors", trained.bundle.profiles.names[0]

    def unknown(content: dict, _: dict) -> None:
        content["speakers"][0]["name"] = "unknown"
        content["evidence_speakers"] = [
            ["unknown" if name == first else name for name in some] for some in content["evidence_speakers"]
        ]

    rewrite(trained.path, path, unknown)
    recognizer = Recognizer.load(path)
    recognizer.rename("unknown", "Anna")
    assert Bundle.load(path).profiles.names[0] == "Anna"


@pytest.mark.parametrize("trained_on", [True, False])
def test_more_recordings_of_a_speaker(trained: Trained, bundle: Path, trained_on: bool) -> None:
    recognizer = Recognizer.load(bundle)
    name = trained.bundle.profiles.names[0] if trained_on else "Zoe"
    clips = trained.clips(trained.stranger)
    if not trained_on:
        recognizer.enroll(name, clips[:2])
    before = recognizer.bundle.profiles.clips[recognizer.bundle.profiles.index(name)]
    added = recognizer.enroll(name, clips[2:5], add=True)
    assert (added.added, added.recordings, added.skipped) == (3, before + 3, ())
    profiles = Bundle.load(bundle).profiles
    index = profiles.index(name)
    assert profiles.clips[index] == before + 3
    assert profiles.trained[index] == trained_on
    if not trained_on:
        at_once = Recognizer(trained.bundle)
        at_once.enroll(name, clips[:5])
        np.testing.assert_allclose(profiles.centers[index], at_once.bundle.profiles.centers[-1], atol=1e-5)


def test_a_recording_counts_once(trained: Trained, bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(bundle)
    first, second = trained.clips(trained.stranger)[:2]
    copy = Path(shutil.copy(first, tmp_path / "copy.wav"))
    sound = decode(first)
    enrollment = recognizer.enroll("Zoe", [first, copy, first])
    assert (enrollment.added, len(enrollment.skipped)) == (1, 2)
    assert "holds the same samples as" in enrollment.skipped[0]
    again = Recognizer.load(bundle).enroll("Zoe", [copy, second], add=True)
    assert (again.added, again.recordings) == (1, 2)
    assert "is a recording of 'Zoe' already" in again.skipped[0]
    nothing = Recognizer.load(bundle).enroll("Zoe", sound.waveform, sound.sample_rate, add=True)
    assert (nothing.added, nothing.recordings) == (0, 2)


def test_whom_to_add_to_and_whom_not(trained: Trained, bundle: Path) -> None:
    recognizer, clips = Recognizer.load(bundle), trained.clips(trained.stranger)
    with pytest.raises(UserError, match="no speaker has this name"):
        recognizer.enroll("Zoe", clips[:1], add=True)
    with pytest.raises(UserError, match="`speakerid enroll --add`"):
        recognizer.enroll(recognizer.speakers[0], clips[:1])
    with pytest.raises(UserError, match="no recordings"):
        recognizer.enroll("Zoe", [])


def test_what_is_forgotten_leaves_no_digest(trained: Trained, bundle: Path) -> None:
    recognizer, clips = Recognizer.load(bundle), trained.clips(trained.stranger)
    recognizer.enroll("Zoe", clips[:2])
    assert len(recognizer.bundle.profiles.recordings[-1]) == 2
    recognizer.forget("Zoe")
    recognizer.enroll("Anna", clips[2:3])
    assert [len(some) for some in Bundle.load(bundle).profiles.recordings] == [0] * 6 + [1]


def test_a_voice_that_is_there_is_doubted_under_another_name(trained: Trained, bundle: Path) -> None:
    recognizer, clips = Recognizer.load(bundle), trained.clips(trained.stranger)
    recognizer.enroll("Zoe", clips[:4])
    enrollment = recognizer.enroll("Anna", [*clips[:1], *clips[4:6]])
    (line,) = [line for line in enrollment.warnings if "'Zoe'" in line]
    assert f"{clips[0]} (the same recording)" in line
    assert "forget 'Anna' and add the recordings to 'Zoe'" in line
    assert "Anna" in Bundle.load(bundle).profiles.names


def voice(bundle: Bundle, speaker: int, seed: int, name: str = "") -> Voice:
    """Voice near a center of a speaker."""
    center = bundle.profiles.centers[speaker, 0] / np.linalg.norm(bundle.profiles.centers[speaker, 0])
    noise = np.random.default_rng(seed).normal(0, 0.02, len(center)).astype(np.float32)
    return Voice(8.0, (center + noise) / np.linalg.norm(center + noise), bundle.encoder, source=name)


def test_recordings_of_several_people_are_doubted(trained: Trained) -> None:
    rule = trained.bundle.verification
    assert rule is not None
    sure = replace(rule, scale=np.full_like(rule.scale, 1e4), unknown=np.zeros_like(rule.unknown))
    bundle = replace(trained.bundle, verification=sure)
    mine = [voice(bundle, 0, seed, f"{seed}.wav") for seed in range(3)]
    assert not any("do not sound like" in line for line in doubts(bundle, "Zoe", mine))
    other = replace(mine[0], voice_print=-mine[0].voice_print, source="other.wav")
    lines = doubts(bundle, "Zoe", [*mine, other])
    pair = doubts(bundle, "Zoe", [mine[0], other])
    assert any("0.wav, other.wav: do not sound like one speaker" in line for line in pair)
    assert any("other.wav" in line and "enroll each person under a name of their own" in line for line in lines)


COMPOSED, APART = "Zoë", "Zoe\u0308"


@pytest.mark.parametrize("stored", [COMPOSED, APART])
def test_composed_and_decomposed_letters_are_one_name(trained: Trained, tmp_path: Path, stored: str) -> None:
    """Also in a bundle of a corpus with decomposed names."""
    from recognition.hostile import rewrite

    path, first = tmp_path / "b.safetensors", trained.bundle.profiles.names[0]

    def named(content: dict, _: dict) -> None:
        content["speakers"][0]["name"] = stored
        content["evidence_speakers"] = [
            [stored if name == first else name for name in some] for some in content["evidence_speakers"]
        ]

    rewrite(trained.path, path, named)
    recognizer, clips = Recognizer.load(path), trained.clips(trained.stranger)
    for name in (COMPOSED, APART):
        with pytest.raises(UserError, match="is enrolled already"):
            recognizer.enroll(name, clips[:1])
        with pytest.raises(UserError, match="is enrolled already"):
            recognizer.rename(recognizer.speakers[1], name)
    assert recognizer.enroll(COMPOSED, clips[:1], add=True).added == 1
    assert recognizer.enroll(APART, clips[:1], add=True).skipped
    assert recognizer.speakers.count(stored) == 1
    recognizer.rename(APART, "Ann")
    recognizer.rename("Ann", APART)
    assert Bundle.load(path).profiles.names[0] == COMPOSED
    recognizer.forget(APART)
    assert COMPOSED not in Bundle.load(path).profiles.names
    recognizer.enroll(APART, clips[:1])
    assert Bundle.load(path).profiles.names[-1] == COMPOSED
