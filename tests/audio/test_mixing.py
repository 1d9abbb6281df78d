"""Mix to mono: the mean, or the loudest channel if the channels cancel each other out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speakerid.audio.decode import decode, pieces
from speakerid.demo.voices import Voice, speak

RATE = 16_000


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    spoken = speak(Voice.draw(rng), 2.0, rng).astype(np.float64)
    return 0.5 * spoken / np.abs(spoken).max()


def hiss(like: NDArray[np.float64], level: float, seed: int = 1) -> NDArray[np.float64]:
    return level * np.random.default_rng(seed).standard_normal(len(like))


def hum(like: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    return level * np.sin(2 * np.pi * 50 / RATE * np.arange(len(like)))


def written(path: Path, *channels: NDArray[np.float64]) -> Path:
    soundfile.write(path, np.stack(channels, 1), RATE, "FLOAT")
    return path


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_opposite_channels_give_the_loudest(tmp_path: Path, speech: NDArray[np.float64], subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([0.9 * speech, -speech], 1), RATE, subtype)
    sound = decode(path)
    assert sound.cancelled
    assert sound.channels == 2
    np.testing.assert_allclose(sound.waveform, -speech, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(list(pieces(path, 0.6, RATE))), sound.waveform)
    np.testing.assert_array_equal(decode(path, 0.5, 1.5).waveform, sound.waveform[RATE // 2 : RATE * 3 // 2])


def test_many_kinds_of_opposite_channels(tmp_path: Path, speech: NDArray[np.float64]) -> None:
    kinds = {
        "exact": (speech, -speech),
        "one quieter": (speech, -0.6 * speech),
        "noise of their own": (speech + hiss(speech, 0.005), -speech + hiss(speech, 0.005, 2)),
        "an offset": (speech + 0.3, -speech + 0.3),
        "hum in both": (speech + hum(speech, 0.01), -speech + hum(speech, 0.01)),
        "four, in pairs": (speech, -speech, speech, -speech),
        "speech in two of six": (0 * speech, 0 * speech, speech, -speech, 0 * speech, 0 * speech),
        "a little later": (speech, -np.roll(speech, 1)),
        "quiet": (speech / 300, -speech / 300),
    }
    for name, channels in kinds.items():
        sound = decode(written(tmp_path / "a.wav", *channels))
        assert sound.cancelled, name
        assert abs(np.corrcoef(sound.waveform, speech)[0, 1]) > 0.9, name


def test_other_channels_are_averaged(tmp_path: Path, speech: NDArray[np.float64]) -> None:
    zero, other = 0 * speech, hiss(speech, 0.2)
    kinds = {
        "equal": (speech, speech),
        "one is dead": (speech, zero),
        "one is nearly dead": (speech, -0.01 * speech),
        "unrelated": (speech, other),
        "one is quiet and opposite": (speech, -0.3 * speech),
        "speech in the center of 5.1": (zero, zero, speech, zero, zero, zero),
        "5.1 with music left and right": (other, hiss(speech, 0.2, 3), speech, zero, zero, zero),
        "one later": (speech, np.roll(speech, 5)),
        "silent": (zero, zero),
        "constant": (zero + 0.2, zero - 0.2),
        "too short to tell": (speech[:999], -speech[:999]),
    }
    for name, channels in kinds.items():
        sound = decode(written(tmp_path / "a.wav", *channels))
        assert not sound.cancelled, name
        np.testing.assert_allclose(sound.waveform, np.mean(channels, 0), rtol=0, atol=1e-6, err_msg=name)


def test_a_given_channel_is_not_mixed(tmp_path: Path, speech: NDArray[np.float64]) -> None:
    sound = decode(written(tmp_path / "a.wav", speech, -speech), channel=0)
    assert not sound.cancelled
    np.testing.assert_allclose(sound.waveform, speech, rtol=0, atol=1e-6)


def test_samples_that_are_not_finite_do_not_choose_a_channel(tmp_path: Path, speech: NDArray[np.float64]) -> None:
    for bad in (np.nan, np.inf, 1e30):
        spoiled = speech.copy()
        spoiled[100] = bad
        assert not decode(written(tmp_path / "a.wav", spoiled, speech)).cancelled
