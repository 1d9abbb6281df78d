"""Timelines: known turns, pauses, and the files that are written."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from encoding import encode
from recognition.bundles import Trained
from speakerid.audio.decode import decode, write_wav
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.recognition import timeline as module
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.timeline import Segment, merged
from speakerid.recognition.timeline_files import as_rttm, as_text, clock, draw

RATE = 16_000
SEGMENTS = [Segment(0.0, 1.5, "Anna", 0.9), Segment(1.5, 2.0, None, 0.7), Segment(3.25, 3725.5, "Ben Noé", 0.8)]


@pytest.fixture
def recognizer(trained: Trained) -> Recognizer:
    return Recognizer(trained.bundle)


def speech(trained: Trained, name: str, seconds: float) -> NDArray[np.float32]:
    """Speech of one speaker in a number of utterances."""
    clips = [decode(clip).waveform for clip in trained.clips(name)]
    return np.resize(np.concatenate(clips), round(seconds * RATE))


def conversation(trained: Trained, path: Path, pause: float) -> list[tuple[float, float, str]]:
    """Recording of three speakers with pauses in between, and their turns."""
    samples, turns, now = [np.zeros(RATE, np.float32)], list[tuple[float, float, str]](), 1.0
    for name in trained.bundle.profiles.names[:3]:
        samples += [speech(trained, name, 6), np.zeros(round(pause * RATE), np.float32)]
        turns.append((now, now + 6, name))
        now += 6 + pause
    write_wav(path, np.concatenate(samples), RATE)
    return turns


@pytest.mark.parametrize("pause", [0.0, 1.5])
def test_speakers_take_turns(trained: Trained, recognizer: Recognizer, tmp_path: Path, pause: float) -> None:
    path = tmp_path / "talk.wav"
    turns = conversation(trained, path, pause)
    segments = recognizer.timeline(path, false_accepts=0.5)
    assert all(s.start < s.end and 0 <= s.probability <= 1 for s in segments)
    assert all(one.end <= other.start + 1e-6 for one, other in itertools.pairwise(segments))
    heard = right = 0.0
    for s, (start, end, name) in itertools.product(segments, turns):
        shared = max(0.0, min(s.end, end) - max(s.start, start))
        heard += shared
        right += shared * (s.name == name)
    assert heard > 0.7 * 18  # the synthetic voices pause as well
    assert right > 0.45 * heard  # the model has barely been trained; guessing would be 1 in 6
    if pause:  # in which nobody speaks
        silent = [(0.0, 1.0), *((end, end + pause) for _, end, _ in turns)]
        inside = sum(max(0.0, min(s.end, e) - max(s.start, b)) for s, (b, e) in itertools.product(segments, silent))
        assert inside < 0.1


def test_pieces_change_little(
    trained: Trained, recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.wav"
    conversation(trained, path, 1.0)
    grid = np.arange(0, 22, 0.05)

    def named() -> tuple[list[str | None], float]:
        segments = recognizer.timeline(path)
        return [next((s.name or "?" for s in segments if s.start <= t < s.end), None) for t in grid], segments[-1].end

    whole, end = named()
    monkeypatch.setattr(module, "PIECE_SECONDS", 7.25)  # each ends in a pause
    parts, other_end = named()
    assert other_end == pytest.approx(end, abs=0.3)
    # Each piece has a level of its own, by which silence is told from sound.
    assert np.mean([bool(a) == bool(b) for a, b in zip(whole, parts, strict=True)]) > 0.8
    # A voice is answered from what its piece holds of it, by a model that has barely been trained; chance is 1 in 7.
    assert np.mean([a == b for a, b in zip(whole, parts, strict=True)]) > 0.4


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (44_100, 2)])
def test_samples_and_their_file_have_one_timeline(
    trained: Trained,
    recognizer: Recognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rate: int,
    channels: int,
) -> None:
    conversation(trained, tmp_path / "talk.wav", 1.0)
    samples = decode(tmp_path / "talk.wav", sample_rate=rate).waveform
    integers = np.round(samples[:, None] * [32_000, -8_000][:channels]).astype(np.int16)
    soundfile.write(tmp_path / "other.wav", integers, rate, subtype="PCM_16")
    monkeypatch.setattr(module, "PIECE_SECONDS", 12.0)
    by_file = recognizer.timeline(tmp_path / "other.wav", false_accepts=0.5)
    by_samples = recognizer.timeline(integers, rate, 0.5)
    assert len(by_file) > 2
    for one, other in zip(by_file, by_samples, strict=True):
        assert one.name == other.name
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=1e-3)
        assert one.probability == pytest.approx(other.probability, abs=1e-2)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        ([], RATE, "holds no samples"),
        ([0.0] * RATE, None, "sample_rate: missing"),
        ([float("nan")] * RATE, RATE, "not finite"),
        ("nowhere.wav", None, "nowhere.wav: "),
    ],
)
def test_what_is_no_recording_is_refused(recognizer: Recognizer, samples: Any, rate: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recognizer.timeline(samples, sample_rate=rate)


def test_nobody_is_heard_in_silence_or_clicks(recognizer: Recognizer, tmp_path: Path) -> None:
    silence = np.zeros(3 * RATE, np.float32)
    write_wav(tmp_path / "silence.wav", silence, RATE)
    silence[RATE : RATE + 800] = 0.5
    write_wav(tmp_path / "click.wav", silence, RATE)
    assert recognizer.timeline(tmp_path / "silence.wav") == recognizer.timeline(tmp_path / "click.wav") == []


def test_words_with_pauses_between_them_are_heard_together(
    trained: Trained, recognizer: Recognizer, tmp_path: Path
) -> None:
    word = np.random.default_rng(0).normal(0, 0.1, round(0.3 * RATE)).astype(np.float32)
    near, far = (np.concatenate([word, np.zeros(round(s * RATE), np.float32), word]) for s in (0.8, 2.0))
    write_wav(tmp_path / "near.wav", near, RATE)
    write_wav(tmp_path / "far.wav", far, RATE)
    segments = recognizer.timeline(tmp_path / "near.wav")
    assert (segments[0].start, segments[-1].end) == pytest.approx((0.0, 1.4), abs=0.05)
    assert recognizer.timeline(tmp_path / "far.wav") == []


def test_a_stranger_is_not_named_at_a_small_rate(trained: Trained, recognizer: Recognizer, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", speech(trained, trained.stranger, 8), RATE)
    some, few = (
        sum(s.end - s.start for s in recognizer.timeline(tmp_path / "a.wav", false_accepts=rate) if s.name)
        for rate in (0.5, 0.001)
    )
    assert few <= some
    assert few < 4


def test_a_stranger_has_one_number_in_all_recordings(
    trained: Trained, recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, other = sorted(
        {path.name for path in trained.recordings.iterdir()} - set(recognizer.speakers)
    )  # two strangers
    pause = np.zeros(RATE, np.float32)
    sound = np.concatenate([speech(trained, guest, 7), pause, speech(trained, other, 7), pause])
    twice = np.concatenate([sound, sound])
    (alone,) = recognizer.timelines([sound], RATE)
    strangers = [s.stranger for s in alone if s.stranger is not None]
    assert list(dict.fromkeys(strangers)) == list(range(1, max(strangers) + 1))  # numbered as they appear
    assert alone == recognizer.timeline(sound, RATE)
    first, second = recognizer.timelines([sound, recognizer.speech(sound, RATE)], RATE)
    assert first == second == alone  # the same voice has the same number, and no other
    monkeypatch.setattr(module, "PIECE_SECONDS", 16.0)
    pieces = recognizer.timeline(twice, RATE)
    assert [(s.name, s.stranger) for s in pieces if s.start < 16] == [(s.name, s.stranger) for s in alone]
    assert [(s.name, s.stranger) for s in pieces if s.start >= 16] == [(s.name, s.stranger) for s in alone]


def test_neighbours_of_one_name_are_one_segment() -> None:
    parts = [
        Segment(0, 1, "a", 0.5), Segment(1.2, 4.2, "a", 0.9), Segment(4.2, 5, "b", 1), Segment(9, 10, "b", 1),
    ]  # fmt: skip
    first, *others = merged(parts)
    assert (first.start, first.end, first.name, first.probability) == (0, 4.2, "a", pytest.approx(0.8))
    assert others == parts[2:]


def test_rttm_has_ten_fields_a_line() -> None:
    talk = Path("board meeting.wav")
    lines = [line.split() for line in as_rttm({talk: SEGMENTS}, [talk], ["Anna", "Ben Noé"]).splitlines()]
    assert lines[0] == ["SPEAKER", "board_meeting", "1", "0.000", "1.500", "<NA>", "<NA>", "Anna", "<NA>", "<NA>"]
    assert [line[7] for line in lines] == ["Anna", "unknown", "Ben_Noé"]
    assert {len(line) for line in lines} == {10}


def test_strangers_have_numbers_in_every_output(tmp_path: Path) -> None:
    segments = [Segment(0, 1, None, 0.9, 2), Segment(1, 2, "Anna", 0.9), Segment(2, 3, None, 0.8, 1), SEGMENTS[1]]
    talk = Path("a.wav")
    assert [line.split()[7] for line in as_rttm({talk: segments}, [talk], ["Anna"]).splitlines()] == [
        "stranger_2", "Anna", "stranger_1", "unknown",
    ]  # fmt: skip
    assert [line.split("  ")[-1] for line in as_text(segments)] == ["stranger 2", "Anna", "stranger 1", "unknown"]
    draw(segments, "meeting", tmp_path / "a.svg")
    rows = re.findall(r"<!-- (Anna|stranger \d|unknown) -->", (tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert rows == ["Anna", "stranger 1", "stranger 2", "unknown"]


def test_lines_to_read() -> None:
    assert as_text(SEGMENTS)[2].split() == ["0:00:03.25", "–", "1:02:05.50", "80.0%", "Ben", "Noé"]
    assert clock(59.999) == "0:01:00.00"


@pytest.mark.parametrize("segments", [SEGMENTS, []], ids=["three", "none"])
def test_the_picture_has_a_row_a_speaker(tmp_path: Path, segments: list[Segment]) -> None:
    draw(segments, "meeting $5_.wav", tmp_path / "a.svg")
    draw(segments, "meeting", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.gif: found the format '\.gif', expected one of \.png"):
        draw(segments, "meeting", tmp_path / "a.gif")


def test_the_command_writes_what_it_prints(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, rttm, picture = tmp_path / "talk.wav", tmp_path / "talk.rttm", tmp_path / "talk.png"
    conversation(trained, talk, 1.0)
    arguments = ["identify", str(trained.path), str(talk), "--timeline"]
    assert run([*arguments, "--json", "--rttm", str(rttm), "--picture", str(picture)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = [line.split() for line in rttm.read_text(encoding="utf-8").splitlines()]
    assert [float(line[3]) for line in written] == [segment["start"] for segment in told]
    strangers = [f"stranger_{one['stranger']}" if one["stranger"] else "unknown" for one in told]
    assert [line[7] for line in written] == [one["name"] or label for one, label in zip(told, strangers, strict=True)]
    assert picture.stat().st_size > 1000
    assert run([*arguments, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "file,start,end,name,probability,stranger"
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert run([*arguments[:3], str(tmp_path / "broken.wav"), "--timeline"]) == 1
    printed = capsys.readouterr()
    assert f"error: {tmp_path / 'broken.wav'}: cannot be decoded" in printed.err
    assert len(printed.out.splitlines()) == len(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rttm", "a.rttm"], "--rttm: found without --timeline"),
        (["--picture", "a.png"], "--picture: found without --timeline"),
        (["--timeline", "--top", "2"], "--top: found with --timeline"),
        (["--timeline", "--picture", "a.gif"], "expected one of"),
        (["--timeline", "--picture", "a.png"], "--picture: found .* recordings, expected one"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(trained: Trained, arguments: list[str], message: str) -> None:
    several = str(trained.recordings / trained.stranger)
    with pytest.raises(UserError, match=message):
        run(["identify", str(trained.path), several, *arguments])


CODED = {
    "mp3 without a tag": ("mp3", "mp3", "libmp3lame", 16_000, {"write_xing": "0"}, 1_105),
    "mp3 with one": ("mp3", "mp3", "libmp3lame", 16_000, {}, 0),
    "mp3 in wav": ("wav", "wav", "libmp3lame", 8_000, {}, 1_105),
    "mp2": ("mp2", "mp2", "mp2", 16_000, {}, 481),
    "raw aac": ("aac", "adts", "aac", 16_000, {}, 1_024),
    "aac in m4a": ("m4a", "mp4", "aac", 16_000, {}, 0),
    "aac in fragments": ("mp4", "mp4", "aac", 16_000, {"movflags": "+frag_keyframe+empty_moov"}, 1_024),
    "ac3": ("ac3", "ac3", "ac3", 32_000, {}, 256),
    "amr": ("amr", "amr", "libopencore_amrnb", 8_000, {}, 40),
}  # fmt: skip
"""Extension, format, codec, sample rate, options, and delay in samples; see docs/sound.md."""


@pytest.mark.parametrize("name", CODED)
def test_turns_begin_when_they_did_before_encoding(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    extension, form, codec, rate, options, samples = CODED[name]
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate) * np.linspace(0.5, 0.4, 2 * rate)
    sound = np.concatenate([np.zeros(rate), tone, np.zeros(rate)]).astype(np.float32)
    path = tmp_path / f"b.{extension}"
    write_wav(tmp_path / "a.wav", sound, rate)
    encode(path, sound, rate, form, codec, 12_200 if rate == 8_000 else 64_000, options)
    (before,), (after,) = recognizer.timeline(tmp_path / "a.wav"), recognizer.timeline(path)
    assert (after.start, after.end) == pytest.approx((before.start, before.end), abs=0.02)  # a codec blurs edges
    monkeypatch.setattr(module, "lag", lambda _: 0.0)
    (heard,) = recognizer.timeline(path)
    assert (heard.start - after.start, heard.end - after.end) == pytest.approx((samples / rate,) * 2)


def test_no_turn_begins_before_the_original(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32), RATE)
    monkeypatch.setattr(module, "lag", lambda _: 0.1)
    segments = recognizer.timeline(tmp_path / "a.wav")
    assert segments[0].start == 0
    assert all(0 <= s.start < s.end for s in segments)
