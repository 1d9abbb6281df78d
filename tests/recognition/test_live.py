"""Streams: who is shown when, how late, and what does not fit."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recognition.bundles import Trained
from speakerid.audio import capture
from speakerid.audio.capture import Block, Source, microphone, pipe
from speakerid.audio.decode import decode
from speakerid.base.errors import UserError
from speakerid.cli import listen, run
from speakerid.recognition.live import LiveTimeline
from speakerid.recognition.online_voices import MOST_VOICES, OnlineVoices
from speakerid.recognition.plda import Plda
from speakerid.recognition.recognizer import Recognizer

RATE = 16_000
WIDTH = 32


@pytest.fixture
def recognizer(trained: Trained) -> Recognizer:
    return Recognizer(trained.bundle)


def speech(trained: Trained, name: str, seconds: float) -> NDArray[np.float32]:
    clips = [decode(clip).waveform for clip in trained.clips(name)]
    return np.resize(np.concatenate(clips), round(seconds * RATE))


def voices(count: int, seed: int) -> NDArray[np.float64]:
    """(V, D) voice prints at right angles."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(WIDTH, count)))[0].T


def follow(online: OnlineVoices, prints: NDArray[np.float64], noise: float = 0.03) -> list[int]:
    rng, found = np.random.default_rng(1), []
    for one in prints:
        online.add(one + rng.normal(0, noise, WIDTH))
        found.append(online.current)
    return found


PLDA = Plda(0.01, np.full(WIDTH, 0.03))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(0, 99))
def test_a_voice_that_returns_has_its_number_again(turns: list[int], seed: int) -> None:
    turns = [voice for voice, _ in itertools.groupby(turns)]
    people, each = voices(4, seed), 12
    found = follow(OnlineVoices(PLDA), people[np.repeat(turns, each)])
    numbers = {}
    for turn, voice in enumerate(turns):
        late = found[turn * each + 4 : (turn + 1) * each]  # PATIENCE passes before
        assert late == [numbers.setdefault(voice, late[0])] * len(late)
    assert len(set(numbers.values())) == len(numbers)


def test_one_odd_window_changes_no_voice() -> None:
    one, other, odd = voices(3, 0)
    doubtful = 0.5 * one + 0.5 * odd
    assert set(follow(OnlineVoices(PLDA), np.stack([one] * 8 + [doubtful] + [one] * 8))) == {0}
    assert follow(OnlineVoices(PLDA), np.stack([one] * 8 + [other] * 4))[-1] != 0


def test_the_number_of_voices_is_bounded() -> None:
    online = OnlineVoices(PLDA)
    found = follow(online, voices(MOST_VOICES + 5, 3).repeat(6, 0))
    assert len(set(found)) == MOST_VOICES + 5
    assert len(tuple(online.known)) == MOST_VOICES + 1


def test_the_stream_is_the_same_in_any_blocks(trained: Trained, recognizer: Recognizer) -> None:
    names = trained.bundle.profiles.names[:2]
    pause = np.zeros(RATE, np.float32)
    talk = np.concatenate([pause, speech(trained, names[0], 4), pause, speech(trained, names[1], 4)])
    whole, live = recognizer.live(), recognizer.live()
    expected = [*whole.feed(talk), *whole.finish()]
    found = [change for block in np.split(talk, range(777, len(talk), 7_777)) for change in live.feed(block)]
    assert [*found, *live.finish()] == expected
    assert expected
    assert live.seconds == pytest.approx(len(talk) / RATE)
    for change in expected:
        assert 1 <= change.start < change.said <= live.seconds
        assert 0 <= change.probability <= 1
    assert all(one.name != other.name for one, other in itertools.pairwise(expected))
    assert sum(live.spoken.values()) < 8.5  # nothing is shown of the pauses


@pytest.mark.parametrize("sound", [np.zeros(3 * RATE), np.eye(1, 3 * RATE, RATE)[0]], ids=["silence", "a click"])
def test_without_a_voice_nothing_is_shown(recognizer: Recognizer, sound: NDArray[np.float64]) -> None:
    live = recognizer.live()
    assert [*live.feed(sound.astype(np.float32)), *live.finish()] == []
    assert live.seconds == pytest.approx(3)
    assert live.spoken == {}


def test_sound_that_is_not_computed_is_counted(trained: Trained, recognizer: Recognizer) -> None:
    live = recognizer.live()
    assert live.feed(speech(trained, trained.stranger, 2), compute=False) == []
    assert 1 < live.skipped <= live.seconds == pytest.approx(2)
    with pytest.raises(UserError, match="not finite"):
        live.feed(np.full(RATE, np.nan, np.float32))


class TimedLines(io.StringIO):
    """Standard output that remembers when lines were written."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def write(self, text: str) -> int:
        self.times.append(time.monotonic())
        return super().write(text)


def test_a_stream_in_time_is_answered_in_time(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line comes while the stream still runs, not later than what was announced."""
    data = (speech(trained, trained.bundle.profiles.names[0], 3.6) * 20_000).astype("<i2").tobytes()
    reading, writing = os.pipe()
    began: list[float] = []

    def speak() -> None:
        size = 2 * RATE // 20
        with open(writing, "wb", buffering=0) as stream:
            began.append(time.monotonic())
            for number, start in enumerate(range(0, len(data), size), 1):
                time.sleep(max(0.0, began[0] + number / 20 - time.monotonic()))
                stream.write(data[start : start + size])

    lines, speaker = TimedLines(), threading.Thread(target=speak)
    introduce = listen._introduce
    monkeypatch.setattr(listen, "_introduce", lambda *given: (introduce(*given), speaker.start()))
    monkeypatch.setattr("sys.stdout", lines)
    with open(reading, "rb") as stream:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stream))
        assert run(["listen", str(trained.path), "--stdin", "--json"]) == 0
    speaker.join()
    first = json.loads(lines.getvalue().splitlines()[0])
    said = capsys.readouterr().err.splitlines()
    announced = float(said[0].split(" s at most")[0].split()[-1])
    assert first["said"] < announced
    assert first["said"] - 0.1 <= lines.times[0] - began[0] < first["said"] + 1.5  # other tests run beside this one
    assert said[-1].startswith("3.6 s of sound: ")


def blocks(*late: float) -> Source:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, (len(late), 2 * RATE)).astype(np.float32)
    return Source("a test", RATE, (Block(x, time.monotonic() - s) for x, s in zip(sound, late, strict=True)))


def test_a_stream_that_is_ahead_skips_steps_and_says_so(
    recognizer: Recognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    live: LiveTimeline = recognizer.live()
    list(listen._changes(live, blocks(0, 3.0, 1.0, 0.1, -5)))
    assert live.skipped == pytest.approx(4)  # until the delay is small again
    assert live.seconds == pytest.approx(10)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "note: 2.0 s: 3.0 s behind the sound; skipping steps to catch up"
    listen._summarize(live)
    assert "; 4.0 s not computed" in capsys.readouterr().err


def test_a_pipe_faster_than_speech_is_never_late() -> None:
    samples = np.arange(-RATE, RATE, dtype="<i2")
    with pipe(io.BytesIO(samples.tobytes() + b"\1"), 8_000) as source:
        found = list(source.blocks)
    np.testing.assert_array_equal(np.concatenate([one.samples for one in found]) * 2**15, samples)
    assert all(one.late < 0.2 for one in found)
    assert found[-1].due - found[0].due == pytest.approx(len(samples) / 8_000, abs=0.2)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (io.BytesIO(b"RIFF\x24\x00\x00\x00WAVEfmt "), "found a WAVE file, expected raw samples without a header"),
        (SimpleNamespace(isatty=lambda: True), "found a terminal, expected a pipe"),
    ],
)
def test_what_is_no_raw_sound_is_refused(stream: Any, message: str) -> None:
    with pytest.raises(UserError, match=message), pipe(stream, RATE) as source:
        list(source.blocks)


def test_a_rate_without_stdin_is_refused(trained: Trained) -> None:
    with pytest.raises(UserError, match="--rate: found without --stdin"):
        run(["listen", str(trained.path), "--rate", "8000"])


def test_ctrl_c_ends_with_a_summary(trained: Trained) -> None:
    command = [sys.executable, "-m", "speakerid", "listen", str(trained.path), "--stdin"]

    def restore() -> None:  # a shell's background jobs ignore the signal, and so would their processes
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        introduction = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert introduction.startswith("standard input, 16,000 Hz; 6 speakers; window 1.5 s, step 0.25 s, ")
        # The signal may interrupt the write of the first line, which is then written twice.
        assert process.stderr.read().endswith("0.0 s of sound: no speech\n")


class PortAudioError(Exception):
    pass


def devices(*inputs: str, rate: float = 48_000) -> SimpleNamespace:
    """A stand-in for sounddevice, whose streams deliver 0.3 s and end as an unplugged device does."""
    found = [{"name": name, "max_input_channels": 1, "default_samplerate": rate} for name in inputs]

    def query(device: object = None, kind: str | None = None) -> Any:
        if kind is None:
            return [*found, {"name": "loudspeaker", "max_input_channels": 0}]
        for number, one in enumerate(found):
            if device in (None, number, one["name"]):
                return one
        raise PortAudioError(f"Error querying device {device}") if device is None else ValueError(f"No {device!r}")

    class InputStream:
        def __init__(self, rate: int, size: int, *_: object, callback: Any, finished_callback: Any) -> None:
            self.callback, self.finished, self.size = callback, finished_callback, size

        def start(self) -> None:
            for number in range(3):
                self.callback(
                    np.full((self.size, 1), 0.5), self.size, None, SimpleNamespace(input_overflow=number == 1)
                )
            self.finished()

        def close(self) -> None:
            self.size = 0

    return SimpleNamespace(PortAudioError=PortAudioError, query_devices=query, InputStream=InputStream)


def test_a_microphone_is_recorded_until_it_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", devices("built-in", "headset"))
    found: list[Block] = []
    with microphone("1") as source:
        assert (source.name, source.sample_rate) == ("headset", 48_000)
        with pytest.raises(UserError, match="--device: headset stopped; connect it again"):
            found += iter(source.blocks)
    assert [len(block.samples) for block in found] == [4_800] * 3
    assert [block.lost for block in found] == [False, True, False]


@pytest.mark.parametrize(
    ("module", "device", "message"),
    [
        (None, None, "listen: a microphone needs sounddevice; pip install 'sounddevice>=0.5'"),
        (devices("built-in"), "headset", r"--device: No 'headset'; expected one of 0 \(built-in\)"),
        (devices(), None, "--device: Error querying device None; found no device that records"),
    ],
)
def test_without_a_microphone_there_is_a_remedy(
    monkeypatch: pytest.MonkeyPatch, module: object, device: str | None, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(UserError, match=message), microphone(device):
        pass


def test_without_portaudio_there_is_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sounddevice raises this when it is imported."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(UserError, match="PortAudio library not found; install PortAudio") as error, microphone():
        pass
    assert "\n" not in str(error.value)
    assert capture.install("listen") not in str(error.value)
