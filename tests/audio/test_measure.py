import dataclasses
import io
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speakerid.audio.log_mel import LogMel, trim
from speakerid.audio.measure import HIGHEST_SNR, PRINT_VALUES, Measured, fingerprint, measure
from speakerid.config import FeatureConfig
from speakerid.demo.voices import Voice, speak
from speakerid.preparation.quality.duplicates import COMMON_VALUES, same_sound

RATE = 16_000
VOICES = Path(__file__).resolve().parents[3] / "shared" / "voices"
Samples = NDArray[np.float32]


def measured(samples: NDArray[np.floating], sample_rate: int = RATE) -> Measured:
    return measure(np.asarray(samples, np.float32), sample_rate, 1, 0.0)


def speech(seed: int, seconds: float = 4.0) -> Samples:
    rng = np.random.default_rng(seed)
    return speak(Voice.draw(rng), seconds, rng)


def tone(amplitude: float, seconds: float = 1.0) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * 200 * np.arange(round(seconds * RATE)) / RATE)


def test_level_and_length_of_a_tone() -> None:
    found = measured(tone(0.5, 1.5))
    assert found.seconds == 1.5
    assert found.peak_db == pytest.approx(20 * math.log10(0.5), abs=0.01)
    assert found.level_db == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    assert found.silence == 0


def test_values_from_the_decoder_are_passed_on() -> None:
    found = measure(np.ones(441, np.float32), 44_100, 6, 0.25)
    assert (found.seconds, found.sample_rate, found.channels, found.clipped) == (0.01, 44_100, 6, 0.25)


def test_level_does_not_count_silence() -> None:
    loud = measured(tone(0.5))
    with_pause = measured(np.concatenate([tone(0.5), np.zeros(2 * RATE), tone(0.5)]))
    assert with_pause.level_db == pytest.approx(loud.level_db, abs=0.01)
    assert with_pause.silence == 0.5


@settings(max_examples=60, deadline=None)
@given(
    segments=st.lists(st.tuples(st.integers(1, 4_000), st.booleans()), min_size=1, max_size=12),
    sample_rate=st.sampled_from([8_000, 16_000, 44_100]),
    gain=st.floats(0.001, 1),
)
def test_silence_is_that_cut_from_the_features(segments: list[tuple[int, bool]], sample_rate: int, gain: float) -> None:
    rng = np.random.default_rng(len(segments))
    parts = [(0.5 if loud else 1e-4) * rng.choice([-1.0, 1.0], length) for length, loud in segments]
    waveform = (gain * np.concatenate(parts)).astype(np.float32)
    left = len(trim(waveform, sample_rate, FeatureConfig(sample_rate=sample_rate)))
    found = measure(waveform, sample_rate, 1, 0.0)
    assert found.silence == pytest.approx(1 - left / len(waveform), abs=1e-9)


def noise(kind: str, samples: int, seed: int) -> NDArray[np.float64]:
    white = np.random.default_rng(seed).standard_normal(samples)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), samples)


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("snr", [5, 10, 20, 30])
def test_the_ratio_of_a_known_mixture_is_estimated(kind: str, snr: float) -> None:
    estimates = []
    for seed in range(4):
        clean = speech(seed)
        background = noise(kind, len(clean), seed)
        background *= np.sqrt(np.mean(np.square(clean)) / np.mean(background**2)) * 10 ** (-snr / 20)
        estimates.append(measured(clean + background).snr_db)
    assert np.median(estimates) == pytest.approx(snr, abs=3)


def test_digital_silence_does_not_change_the_ratio() -> None:
    noisy = speech(0) + 0.003 * noise("white", 4 * RATE, 0)
    padded = np.concatenate([np.zeros(3 * RATE), noisy, np.zeros(3 * RATE)])
    assert measured(padded).snr_db == pytest.approx(measured(noisy).snr_db, abs=0.5)


def test_digital_silence_is_silence() -> None:
    found = measured(np.zeros(RATE))
    assert (found.silence, found.snr_db) == (1, 0)
    assert found.peak_db == pytest.approx(found.level_db)
    assert -200 < found.level_db < -180


@settings(max_examples=100, deadline=None)
@given(
    samples=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=700),
    sample_rate=st.sampled_from([1, 49, 8_000, 16_000, 192_000]),
)
def test_every_recording_has_finite_measurements(samples: list[float], sample_rate: int) -> None:
    found = measured(np.array(samples), sample_rate)
    assert all(math.isfinite(value) for value in dataclasses.astuple(found))
    assert found.seconds == len(samples) / sample_rate
    assert 0 <= found.silence <= 1
    assert 0 <= found.snr_db <= HIGHEST_SNR
    assert found.peak_db <= 0


# Fingerprints


def frames_of(samples: NDArray[np.floating], sample_rate: int = RATE) -> Samples:
    return LogMel(FeatureConfig())(np.asarray(samples, np.float32), sample_rate)


def read(file: io.BytesIO | Path) -> Samples:
    samples, sample_rate = soundfile.read(file, dtype="float32")
    assert sample_rate == RATE
    return np.asarray(samples, np.float32)


def encoded(samples: Samples, form: str, subtype: str) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=form, subtype=subtype)
    file.seek(0)
    return read(file)


def common(first: Samples, second: Samples) -> int:
    """Number of common values."""
    return len(np.intersect1d(fingerprint(first), fingerprint(second)))


def are_copies(first: Samples, second: Samples) -> bool:
    return bool(same_sound([fingerprint(first), fingerprint(second)]))


CHANGES = {
    "quieter": lambda samples: 0.2 * samples,
    "without the beginning": lambda samples: samples[3_333:],
    "without the end": lambda samples: samples[:-5_555],
    "eight bits": lambda samples: encoded(samples, "WAV", "PCM_U8"),
    "Ogg Vorbis": lambda samples: encoded(samples, "OGG", "VORBIS"),
    "MP3": lambda samples: encoded(samples, "MP3", "MPEG_LAYER_III"),
    "quieter, shorter, MP3": lambda samples: encoded(0.5 * samples[1_234:-2_345], "MP3", "MPEG_LAYER_III"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_most_copies_are_recognized(change: str) -> None:
    originals = [speech(seed) for seed in range(6)]
    found = [are_copies(frames_of(original), frames_of(CHANGES[change](original))) for original in originals]
    assert sum(found) >= 5


def test_a_copy_at_eight_kilohertz_is_recognized() -> None:
    # Modulated tones every 40 Hz below 3.6 kHz, which can be decimated without a filter.
    time = np.arange(4 * RATE) / RATE
    rng = np.random.default_rng(0)
    hertz, rates, phases = np.arange(100, 3_600, 40), rng.uniform(0.5, 3, 88), rng.uniform(0, 6.28, 88)
    samples = sum(
        (1 + np.sin(2 * np.pi * rate * time + phase)) ** 3 * np.sin(2 * np.pi * frequency * time + phase)
        for frequency, rate, phase in zip(hertz, rates, phases, strict=True)
    )
    assert isinstance(samples, np.ndarray)
    assert are_copies(frames_of(samples), frames_of(samples[::2], RATE // 2))


def test_a_part_is_recognized() -> None:
    whole = frames_of(speech(5, seconds=12))
    assert are_copies(whole, whole[400:800])


def test_other_speech_has_another_fingerprint() -> None:
    voice = Voice.draw(np.random.default_rng(0))
    frames = [frames_of(speak(voice, 4.0, np.random.default_rng(seed))) for seed in range(12)]
    worst = max(common(frames[one], frames[other]) for one in range(12) for other in range(one))
    assert worst < COMMON_VALUES / 2


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 400), n_mels=st.integers(1, 90), constant=st.booleans(), seed=st.integers(0, 9))
def test_every_recording_has_a_fingerprint_of_bounded_size(length: int, n_mels: int, constant: bool, seed: int) -> None:
    frames = np.full((length, n_mels), -3.0) if constant else np.random.default_rng(seed).normal(size=(length, n_mels))
    values = fingerprint(frames.astype(np.float32))
    assert values.dtype == np.uint32
    assert len(values) <= PRINT_VALUES
    assert np.all(np.diff(values.astype(np.int64)) > 0), "ascending, each once"
    if constant or length < 60:
        assert not len(values), "nothing happens in it"


@pytest.mark.skipif(not VOICES.is_dir(), reason="needs the real recordings in ../shared/voices")
def test_real_recordings_are_distinguished_and_their_copies_found() -> None:
    paths = [path for folder in sorted(VOICES.iterdir()) for path in sorted(folder.glob("*.ogg"))[:9:4]]
    samples = [read(path) for path in paths]
    originals = [frames_of(recording) for recording in samples]
    copies = [frames_of(encoded(0.7 * recording[800:], "MP3", "MPEG_LAYER_III")) for recording in samples]
    found = [are_copies(original, copy) for original, copy in zip(originals, copies, strict=True)]
    assert np.mean(found) > 0.85
    prints = [set(fingerprint(frames).tolist()) for frames in originals]
    assert all(len(one & other) < COMMON_VALUES for index, one in enumerate(prints) for other in prints[:index])
