"""Names for the labels of a transcript: `speakerid label`."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from annotations import writing
from recognition.bundles import Trained
from speakerid.annotations.formats import read_annotation
from speakerid.annotations.turns import Annotation, Label, Turn
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.cli.label import name_at
from speakerid.recognition import turn_names
from speakerid.recognition.decision import RATES, Rule, Thresholds
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Voice
from speakerid.recognition.turn_frames import Part
from speakerid.recognition.turn_names import name_voices

RATE = 16_000
EACH = 6
"""Turns of each person."""


@pytest.fixture(scope="module")
def people(trained: Trained) -> list[str]:
    """The two speakers whom the small model knows best, and a stranger."""
    recognizer = Recognizer(trained.bundle)

    def sure(name: str) -> float:
        samples = np.concatenate([soundfile.read(path)[0] for path in trained.clips(name)[:EACH]])
        return dict(recognizer.identify(samples, RATE, top=100).ranking)[name]

    return [*sorted(recognizer.speakers, key=sure)[-2:], trained.stranger]


@pytest.fixture(scope="module")
def meeting(
    trained: Trained, people: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[writing.Turn]]:
    """A recording in which they take turns, and who speaks when."""
    path = tmp_path_factory.mktemp("meeting") / "meeting.wav"
    sound, turns, seconds = [], [], 0.0
    for number in range(EACH):
        for name in people:
            samples, _ = soundfile.read(trained.clips(name)[number])
            turns.append((round(seconds, 3), round(seconds + len(samples) / RATE, 3), name))
            sound += [samples, np.zeros(RATE // 2)]
            seconds += len(samples) / RATE + 0.5
    soundfile.write(path, np.concatenate(sound), RATE)
    return path, turns


def labeled(turns: list[writing.Turn], people: list[str]) -> list[writing.Turn]:
    return [(start, end, f"SPEAKER_{people.index(name):02d}") for start, end, name in turns]


@pytest.mark.parametrize("form", ["whisperX", "OpenAI", "srt of whisperX", "vtt", "rttm"])
def test_labels_become_names_and_a_stranger_keeps_the_label(
    form: str, meeting: tuple[Path, list[writing.Turn]], people: list[str], bundle: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    recording, turns = meeting
    ending, write = writing.WRITERS[form]
    transcript, out = tmp_path / f"t{ending}", tmp_path / f"named{ending}"
    transcript.write_text(write(labeled(turns, people)), encoding="utf-8")
    arguments = ["label", str(bundle), str(recording), str(transcript), "--false-accepts", "0.5"]
    assert run([*arguments, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    voices = name_voices(Recognizer.load(bundle), recording, read_annotation(transcript).turns, 0.5)
    names = {str(voice.label): voice.name for voice in voices}
    assert list(names) == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    assert people[1] in names.values()
    assert all(names[f"SPEAKER_{index:02d}"] in (None, people[index]) for index in range(2))
    text = transcript.read_text(encoding="utf-8")
    for label, name in names.items():
        text = text.replace(label, name or label)
    assert out.read_text(encoding="utf-8") == text
    assert run(arguments) == 0  # without --out, on standard output
    assert capsys.readouterr().out == text
    lines = captured.err.splitlines()
    assert lines[-4].split() == ["label", "name", "probability", "speech"]
    assert [line.split()[0] for line in lines[-3:]] == list(names)
    assert run([*arguments[:-1], "0.001"]) == 0
    assert "SPEAKER_02" in capsys.readouterr().out


def test_a_label_is_enrolled_and_is_then_the_nearest_speaker(
    meeting: tuple[Path, list[writing.Turn]], people: list[str], bundle: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    recording, turns = meeting
    mine, transcript = tmp_path / "mine.safetensors", tmp_path / "t.rttm"
    shutil.copy(bundle, mine)
    transcript.write_text(writing.WRITERS["rttm"][1](labeled(turns, people)), encoding="utf-8")
    source = ["--from", str(recording), "--transcript", str(transcript)]
    assert run(["enroll", str(mine), "Zoë", *source, "--speaker", "SPEAKER_02"]) == 0
    count = len(Recognizer.load(bundle).speakers) + 1
    assert capsys.readouterr().out == f"Zoë: enrolled from 1 recording; {count} speakers in all\n"
    kept = [one for one in Recognizer.load(mine).bundle.kept.prints if one.name == "Zoë"]
    times = {(round(start, 2), round(end, 2)) for start, end, name in turns if name == people[2]}
    found = {(round(one.start, 2), round(one.end, 2)) for one in kept}
    assert found <= times
    assert len(found) >= EACH - 2  # turns with little sound are left out
    assert run(["label", str(mine), str(recording), str(transcript), "--false-accepts", "0.5"]) == 0
    said = capsys.readouterr().err.splitlines()[-1].split()  # the small model is not always sure
    assert said[0] == "SPEAKER_02"
    assert "Zoë" in said[1:4]
    assert run(["forget", str(mine), "Zoë"]) == 0
    assert not Recognizer.load(mine).bundle.kept.prints


def test_turns_of_two_people_under_one_name_cost_a_warning(
    meeting: tuple[Path, list[writing.Turn]], people: list[str], trained: Trained
) -> None:
    recording, turns = meeting

    def warnings(*names: str) -> list[str]:
        times = [(start, end) for start, end, name in turns if name in names]
        said = Recognizer(trained.bundle).enroll_turns("Zoë", recording, times).warnings
        return [line for line in said if "one speaker" in line or "speaker of the others" in line]

    assert not warnings(people[0])
    assert not warnings(people[1])
    assert warnings(people[0], people[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speaker", "SPEAKER_07"], "--speaker: found SPEAKER_07, expected a label of {transcript}: SPEAKER_00"),
        (["--speaker", "SPEAKER_00", "--false-accepts", "0.1"], "--false-accepts: expected a stranger of a timeline"),
        (["{recording}", "--speaker", "SPEAKER_00"], "--transcript: expected its one recording"),
    ],
)
def test_what_cannot_be_enrolled_from_a_transcript_is_refused(
    arguments: list[str], said: str, meeting: tuple[Path, list[writing.Turn]], people: list[str], bundle: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    recording, turns = meeting
    transcript = tmp_path / "t.rttm"
    transcript.write_text(writing.WRITERS["rttm"][1](labeled(turns, people)), encoding="utf-8")
    first = ["enroll", str(bundle), "Zoë", "--transcript", str(transcript), "--from", str(recording)]
    with pytest.raises(UserError, match="^" + re.escape(said.format(transcript=transcript))):
        run([*first, *(argument.format(recording=recording) for argument in arguments)])


def some_parts(who: Sequence[int], seconds: float = 3.0) -> list[Part]:
    """Parts whose frames have the number of their speaker."""
    frames = round(100 * seconds)
    return [Part(i, 10.0 * i, 10.0 * i + seconds, np.full((frames, 40), one, np.float32)) for i, one in enumerate(who)]


class ByNumber(Recognizer):
    """Gives the center of the speaker whose number most frames have."""

    def embed_features(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack([self.bundle.profiles.centers[int(np.median(one)), 0] for one in frames])

    def voice(self, frames: NDArray[np.float32]) -> Voice:
        return Voice(len(frames) / 100, self.embed_features([frames])[0], self.bundle.encoder)


@pytest.mark.parametrize(
    ("who", "seconds", "voices"),
    [
        ([0, 1, 0, 1, 1, 0], 3.0, [[0, 2, 5], [1, 3, 4]]),
        ([0, 0, 0, 0], 3.0, [[0, 1, 2, 3]]),
        ([0, 0, 1, 0], 3.0, [[0, 1, 2, 3]]),  # 3 s are too few to say that it is another voice
        ([0, 1, 0, 1], 0.9, [[0, 1, 2, 3]]),  # too short to compare
    ],
)
def test_a_label_is_divided_where_it_is_clearly_of_two_voices(
    who: list[int], seconds: float, voices: list[list[int]], trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    thresholds = Thresholds(np.array([1.0]), np.array(RATES), np.zeros((1, len(RATES))))
    plain = Rule(np.array([1000.0]), np.array([0.0]), thresholds)  # of two likelihoods, the larger one
    recognizer = ByNumber(replace(trained.bundle, verification=plain))
    monkeypatch.setattr(turn_names, "parts_of", lambda *_: some_parts(who, seconds))
    turns = [Turn(10.0 * index, 10.0 * index + seconds, "A") for index in range(len(who))]
    found = name_voices(recognizer, Path("unread.wav"), turns)
    assert len(found) == len(voices)
    assert all(voice.label == "A" for voice in found)
    if len(voices) > 1:
        assert [[round(start / 10) for start, _ in voice.spans] for voice in found] == voices
        names = [name_at(Label(0, 1, "A", turn.start + 1, turn.end, ""), found, Annotation(turns)) for turn in turns]
        assert names == [found[one].name for one in who]


def test_every_turn_is_named_by_itself(
    meeting: tuple[Path, list[writing.Turn]], bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording, turns = meeting
    transcript = tmp_path / "t.srt"
    transcript.write_text(writing.srt(turns, ""), encoding="utf-8")
    arguments = ["label", str(bundle), str(recording), str(transcript)]
    with pytest.raises(UserError, match="found no labels to replace; to name every turn on its own, add --each-turn"):
        run(arguments)
    assert run([*arguments, "--each-turn", "--false-accepts", "0.2"]) == 0
    named = tmp_path / "named.srt"
    named.write_text(capsys.readouterr().out, encoding="utf-8")
    found = read_annotation(named).turns
    recognizer = Recognizer.load(bundle)
    voices = name_voices(recognizer, recording, read_annotation(transcript).turns, 0.2, each_turn=True)
    assert [turn.speaker for turn in found] == [voice.name for voice in voices]
    assert sum(voice.name == name for voice, (_, _, name) in zip(voices, turns, strict=True)) > len(turns) / 6


def test_overlapping_speech_is_no_evidence(
    meeting: tuple[Path, list[writing.Turn]], bundle: Path, tmp_path: Path
) -> None:
    recording, turns = meeting
    start, end, _ = turns[0]
    path = tmp_path / "t.rttm"
    path.write_text(writing.rttm([(start, end, "A"), (start, end - 0.2, "B"), (end + 100, end + 101, "C")]))
    found = name_voices(Recognizer.load(bundle), recording, read_annotation(path).turns[:2])
    assert [(voice.label, voice.name, voice.answer) for voice in found] == [("A", None, None), ("B", None, None)]
    assert found[0].seconds <= 0.21
    assert found[1].seconds == 0


@pytest.mark.parametrize("count", [1, 3])
def test_progress_counts_turns_however_many_parts_they_have(
    count: int, meeting: tuple[Path, list[writing.Turn]], bundle: Path, tmp_path: Path
) -> None:
    recording, turns = meeting
    path, calls = tmp_path / "t.rttm", list[int]()
    path.write_text(writing.rttm([(0.0, turns[-1][1], f"S{index}") for index in range(count)]))  # all, or no speech
    name_voices(Recognizer.load(bundle), recording, read_annotation(path).turns, advance=lambda: calls.append(1))
    assert len(calls) == count


MISTAKES = {
    "t.eaf": ("", r"found the ending \.eaf, expected \.json, \.srt, \.vtt or \.rttm"),
    "t.srt": (
        writing.srt([(5000, 5001, "A")]),
        r"t\.srt: line 2: start: found 5000 s, but .*meeting\.wav is .* s long",
    ),
    "t.vtt": ("WEBVTT\n", "found no cues"),
    "t.rttm": (
        writing.rttm([(1, 2, "A")], "x") + writing.rttm([(1, 2, "A")], "y"),
        "found the recordings x, y, expected",
    ),
    "t.json": ('{"segments": [{"start": 1, "end": 2}]}', "found no labels to replace; diarize it first"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_give_one_line(
    name: str, meeting: tuple[Path, list[writing.Turn]], bundle: Path, tmp_path: Path
) -> None:
    text, problem = MISTAKES[name]
    transcript = tmp_path / name
    transcript.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=problem) as error:
        run(["label", str(bundle), str(meeting[0]), str(transcript)])
    assert "\n" not in str(error.value)


def test_the_output_replaces_transcripts_alone(
    meeting: tuple[Path, list[writing.Turn]], bundle: Path, tmp_path: Path
) -> None:
    transcript, other = tmp_path / "t.json", tmp_path / "other.json"
    transcript.write_text(writing.openai([(0.0, 1.0, "A")]))
    arguments = ["label", str(bundle), str(meeting[0]), str(transcript), "--out"]
    other.write_text(json.dumps({"n_mels": 40}))
    for out, problem in ((other, "found JSON, expected a new name or a transcript"), (transcript, "is an input"),
                         (tmp_path / "t.srt", r"found the ending \.srt, expected \.json")):  # fmt: skip
        with pytest.raises(UserError, match=problem):
            run([*arguments, str(out)])
    other.write_text(writing.whisperx([(0.0, 1.0, "B")]))
    assert run([*arguments, str(other)]) == 0
    assert "seg_000" in other.read_text()
