"""Samples in any form get the same answer, or an error in one sentence."""

import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recognition.bundles import Trained
from speakerid.audio.decode import decode
from speakerid.base.errors import UserError
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.waveforms import waveform_of

RATE = 16_000
X = (0.5 * np.sin(np.arange(3000) / 7)).astype(np.float32)
SAME = {
    "float64": X.astype(np.float64),
    "float16": X.astype(np.float16),
    "int8": (X * 127).astype(np.int8),
    "int16": (X * 32767).astype(np.int16),
    "int16 of the other byte order": (X * 32767).astype(">i2"),
    "int32": (X * (2.0**31 - 1)).astype(np.int32),
    "uint8": np.round(X * 127 + 128).astype(np.uint8),
    "torch": torch.from_numpy(X),
    "torch, float16": torch.from_numpy(X).half(),
    "torch, bfloat16": torch.from_numpy(X).bfloat16(),
    "torch with a gradient": torch.from_numpy(X).requires_grad_(),
    "list": X.tolist(),
    "array": array.array("h", (X * 32767).astype(np.int16).tobytes()),
    "one channel": X[None],
    "(N, 1)": X[:, None],
    "every second": np.repeat(X, 2)[::2],
}


@pytest.mark.parametrize("name", SAME)
def test_every_type_of_samples_is_scaled_by_its_type(name: str) -> None:
    found = waveform_of(SAME[name])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], X, atol=1 / 50)
    assert found.shape == (1, 3000)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_the_shorter_axis_is_that_of_the_channels(channels: int) -> None:
    both = np.stack([X * (n + 1) / 6 for n in range(channels)])
    np.testing.assert_array_equal(waveform_of(both), both)
    np.testing.assert_array_equal(waveform_of(both.T), both)


REFUSED: dict[str, tuple[Any, str]] = {
    "int64": ((X * 32767).astype(np.int64), "int64, which has no known full scale"),
    "list of integers": ([1, 2, 3], "int64"),
    "uint16": (np.zeros(9, np.uint16), "uint16"),
    "16 bits in floats": (X * 32767, r"floats up to 1\d+.*divide 16-bit values by 32768"),
    "16 bits in int32": ((X * 32767).astype(np.int32), r"astype\(numpy.int16\)"),
    "bytes": (X.tobytes(), "raw bytes"),
    "None": (None, "NoneType"),
    "a number": (0.5, "float"),
    "truth values": (X > 0, "bool"),
    "complex": (X + 1j, "complex"),
    "objects": (np.array([X, None], object), "object"),
    "texts": (["a.wav", "b.wav"], "list"),
    "soundfile.read's pair": ((X, RATE), "tuple"),
    "ragged": ([X.tolist(), [0.0]], "list"),
    "a square": (np.zeros((8, 8), np.float32), "channels cannot be distinguished"),
    "hundreds of channels": (np.zeros((300, 500), np.float32), "channels cannot be distinguished"),
    "three dimensions": (X.reshape(1, 3, -1), r"shape \(1, 3, 1000\)"),
    "a dictionary": ({"array": X}, "dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_samples_gets_a_sentence(trained: Trained, name: str) -> None:
    samples, expected = REFUSED[name]
    recognizer = Recognizer(trained.bundle)
    for ask in (lambda: recognizer.identify(samples, RATE), lambda: recognizer.listen(samples, RATE),
                lambda: recognizer.verify(samples, X, RATE)):  # fmt: skip
        with pytest.raises(UserError, match=expected):
            ask()


@pytest.mark.parametrize("rate", [None, 0, -16_000, 0.05, "16000", float("nan"), True, [16_000], 10**9, 16_000.5])
def test_a_rate_that_is_none_gets_a_sentence(trained: Trained, rate: Any) -> None:
    with pytest.raises(UserError, match="sample_rate: "):
        Recognizer(trained.bundle).identify(X, rate)


def test_answers_do_not_depend_on_how_samples_are_handed_over(trained: Trained) -> None:
    recognizer = Recognizer(trained.bundle)
    clip = trained.clips(trained.bundle.profiles.names[0])[0]
    sound = decode(clip).waveform
    integers = np.round(sound * 32768).clip(-32768, 32767).astype(np.int16)
    want = recognizer.identify(clip)
    for samples in (sound, integers, np.stack([integers, integers]), np.stack([sound, sound], 1), str(clip)):
        found = recognizer.identify(samples, None if isinstance(samples, str) else RATE)
        assert found.ranking[0][0] == want.ranking[0][0]
        assert found.probability == pytest.approx(want.probability, abs=1e-3)
    same = recognizer.verify(str(clip), integers, RATE, 0.5)
    assert same == recognizer.verify(str(clip), integers, sample_rate=RATE, false_accepts=0.5)
    assert same.same
    assert recognizer.identify(sound, np.int64(RATE)) == want  # pyright: ignore[reportArgumentType]
    (many,) = recognizer.identify_many(str(clip))
    assert many == want


@pytest.mark.parametrize(
    ("samples", "said"),
    [([], "too short"), (np.zeros((2, 0), np.float32), "too short"), (np.full(RATE, np.nan, np.float32), "broken"),
     (np.r_[X, np.inf].astype(np.float32), "broken"), (np.zeros(RATE, np.int16), "silent"),
     (np.full(RATE, 128, np.uint8), "silent")],
)  # fmt: skip
def test_samples_without_a_voice_get_an_answer(trained: Trained, samples: Any, said: str) -> None:
    assert Recognizer(trained.bundle).identify(samples, RATE).said == said


@pytest.mark.parametrize("rate", [0, 1, -0.1, 16_000, float("nan")])
def test_a_rate_of_false_accepts_is_a_share(trained: Trained, rate: float) -> None:
    clip = trained.clips(trained.stranger)[0]
    recognizer = Recognizer(trained.bundle)
    for ask in (lambda: recognizer.identify(clip, None, rate), lambda: recognizer.verify(clip, clip, None, rate)):
        with pytest.raises(UserError, match="false_accepts: found"):
            ask()


def test_verify_says_which_recording_has_no_voice(trained: Trained, tmp_path: Path) -> None:
    clip, missing = trained.clips(trained.stranger)[0], tmp_path / "missing.wav"
    recognizer = Recognizer(trained.bundle)
    with pytest.raises(UserError, match=r"missing\.wav: broken: "):
        recognizer.verify(clip, missing)
    with pytest.raises(UserError, match="the first recording: silent: "):
        recognizer.verify(np.zeros(RATE, np.float32), clip, RATE)


@pytest.mark.parametrize("kind", ["(2, N)", "(N, 2)", "int16", "torch", "three channels"])
def test_channels_that_cancel_are_mixed_as_those_of_a_file(trained: Trained, kind: str) -> None:
    clip = decode(trained.clips(trained.bundle.profiles.names[0])[0]).waveform
    both = np.stack([clip, -clip])
    samples = {
        "(2, N)": both,
        "(N, 2)": both.T,
        "int16": (both * 32767).astype(np.int16),
        "torch": torch.from_numpy(both),
        "three channels": np.stack([clip, -clip, 0.001 * clip]),
    }[kind]
    recognizer = Recognizer(trained.bundle)
    found, want = recognizer.identify(samples, RATE), recognizer.identify(clip, RATE)
    assert found.probability == pytest.approx(want.probability, abs=1e-3)


def test_a_tensor_without_memory_gets_a_sentence(trained: Trained) -> None:
    with pytest.raises(UserError, match="samples: found Tensor"):
        Recognizer(trained.bundle).identify(torch.zeros(RATE, device="meta"), RATE)  # pyright: ignore[reportArgumentType]


def test_a_name_with_a_nul_is_no_file(trained: Trained) -> None:
    assert "No such file" in Recognizer(trained.bundle).identify("a\0b.wav").reason
    with pytest.raises(UserError, match="No such file"):
        Recognizer.load("a\0b")
