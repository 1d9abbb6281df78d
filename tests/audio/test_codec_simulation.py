"""Codecs preserve speech within their bandwidth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from speakerid.audio import codec_simulation as codecs
from speakerid.audio.codec_simulation import CODECS, NARROW, WIDE, Codec, check_codecs, encode_and_decode
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.demo.voices import SAMPLE_RATE, Voice, speak

pytest.importorskip("av", reason="needs PyAV, of the extra `av`")

ALL = [Codec(name, rate, bits) for rate, some in CODECS.items() for name, rates in some for bits in rates]


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    waveform = speak(Voice.draw(rng), 1.5, rng)
    return 0.5 * waveform / np.abs(waveform).max()


def spectrum(waveform: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Power in dB of 250 Hz bands up to 8 kHz."""
    power = np.abs(np.fft.rfft(resample(waveform, rate, SAMPLE_RATE).astype(np.float64))) ** 2
    return 10 * np.log10([band.mean() + 1e-9 for band in np.array_split(power, 32)])


@pytest.mark.parametrize("codec", ALL, ids=str)
def test_speech_stays_speech(codec: Codec, speech: NDArray[np.float32]) -> None:
    decoded, rate = encode_and_decode(speech, SAMPLE_RATE, codec)
    assert decoded.dtype == np.float32
    assert rate in (NARROW, WIDE, 48_000)
    assert len(speech) / SAMPLE_RATE <= len(decoded) / rate + 0.03
    assert len(decoded) / rate < len(speech) / SAMPLE_RATE + 0.15
    before, after = spectrum(speech, SAMPLE_RATE), spectrum(decoded, rate)
    loud = np.arange(32) < 12
    assert np.corrcoef(before[loud], after[loud])[0, 1] > 0.8
    if codec.sample_rate == NARROW:
        assert after[18:].max() < after[loud].max() - 30
    if codec.name:
        length = min(len(before_samples := resample(speech, SAMPLE_RATE, rate)), len(decoded))
        assert not np.allclose(before_samples[:length], decoded[:length], atol=1e-4)


@pytest.mark.parametrize("codec", ALL, ids=str)
def test_the_same_sound_gives_the_same_result(codec: Codec, speech: NDArray[np.float32]) -> None:
    first, second = (encode_and_decode(speech[:8000], SAMPLE_RATE, codec)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_every_codec_is_drawn_and_half_of_them_are_narrow() -> None:
    rng = np.random.default_rng(0)
    drawn = [Codec.draw(rng) for _ in range(1000)]
    assert set(drawn) == set(ALL)
    assert np.mean([codec.sample_rate == NARROW for codec in drawn]) == pytest.approx(0.5, abs=0.06)


def test_without_pyav_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_codecs("--occasions")
    monkeypatch.setattr(codecs.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"--occasions: AMR, Opus and MP3 need PyAV; pip install 'av>=13'"):
        check_codecs("--occasions")
