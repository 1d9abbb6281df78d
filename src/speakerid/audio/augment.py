"""Augmented copies of recordings: with noise, in a room, at another speed.

Noise as in Snyder et al. (2018), "X-vectors: robust DNN embeddings for speaker recognition"; rooms as in Ko et al.
(2017), "A study on data augmentation of reverberant speech for robust speech recognition"; speed as in Ko et al.
(2015), "Audio augmentation for speech recognition".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from speakerid.audio.channel import room_response
from speakerid.audio.noises import NOISES, generate_noise
from speakerid.audio.resample import resample
from speakerid.audio.sound_folder import NoiseFolder, RoomFolder
from speakerid.errors import UserError

Samples = NDArray[np.float32]

KINDS = ("noise", "reverb", "speed")
"""What can be asked for."""
SPEEDS = (0.9, 1.1)
"""Each turns a speaker into another one, of another pitch and tract, who is for training alone."""

SNR_DB = {
    "noise": (0, 15),
    "music": (5, 15),
    "speech": (13, 20),
    "stationary": (0, 15),
    "fluctuating": (0, 15),
    "hum": (0, 15),
}
"""Lowest and highest signal-to-noise ratio."""
BABBLE = (3, 7)
"""Fewest and most people who speak in the background."""
REVERBERATION_SECONDS = (0.15, 0.8)
"""Shortest and longest time in which a generated room's tail falls by 60 dB."""
DIFFUSE = (0.005, 0.06)
"""Of a generated room's tail, see `room_response`; its energy is from 28 dB below the direct sound's to 4 dB above."""

FRAME_SECONDS = 0.02
ACTIVE_DB = 30.0
"""Frames this far below the loudest one are pauses, which do not count in a level."""
LONGEST_STRETCH = 30.0
"""Seconds of noise that are read or generated at once; looped for longer recordings."""


@dataclass(frozen=True)
class Copy:
    """One augmented copy of a recording.

    Attributes:
        kind: `noise`, `reverb`, `speed 0.9` or `speed 1.1`.
        new_speaker: speed changes the voice, so that the copy is another speaker's.
    """

    kind: str
    new_speaker: bool


def copies(kinds: Sequence[str]) -> tuple[Copy, ...]:
    """The copies that preparation makes of every recording.

    Args:
        kinds: any of `KINDS`; their order and repetitions do not count.

    Raises:
        UserError: another kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(f"augment: found {unknown[0]!r}, expected {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    same_speaker = [Copy(kind, new_speaker=False) for kind in ("noise", "reverb") if kind in kinds]
    speeds = [Copy(f"speed {speed}", new_speaker=True) for speed in SPEEDS if "speed" in kinds]
    return (*same_speaker, *speeds)


class Augmenter:
    """Makes augmented copies. It holds names and no sound, so that it can be sent to other processes.

    Args:
        noise: folder of noise: MUSAN's, RIRS_NOISES's, or any; by default noise is generated.
        rooms: folder of impulse responses: RIRS_NOISES's, or any; by default rooms are generated.

    Raises:
        UserError: a folder that is missing or holds no sound files.
    """

    def __init__(self, noise: Path | None = None, rooms: Path | None = None) -> None:
        self._noise = None if noise is None else NoiseFolder.scan(noise)
        self._rooms = None if rooms is None else RoomFolder.scan(rooms)

    def fingerprint(self) -> str:
        """What is drawn from: it changes with the name or the size of any file in the folders."""
        noise, rooms = ("built-in" if folder is None else folder.digest for folder in (self._noise, self._rooms))
        return f"noise {noise}, rooms {rooms}"

    def __call__(self, waveform: Samples, sample_rate: int, copy: Copy, rng: np.random.Generator) -> Samples:
        """One copy of one recording.

        Args:
            waveform: (N,) float32 samples; a peak above 1 is no harm, before or after.
            sample_rate: in Hz.
            copy: which one.
            rng: decides everything, so that the same generator makes the same copy.

        Returns:
            (N',) float32; N' = N, but for a speed: about N / speed.

        Raises:
            UserError: samples that are not finite numbers, or a file of noise or of a room that cannot be used.
        """
        assert waveform.ndim == 1, f"waveform: found {waveform.shape}, expected (N,)"
        if not len(waveform):
            return waveform
        peak = float(np.abs(waveform).max())
        if not np.isfinite(peak):
            raise UserError("holds samples that are not finite numbers")
        scale = peak or 1.0  # near a peak of one no power can overflow or vanish
        speech = np.divide(waveform, scale, dtype=np.float32)
        match copy.kind.split():
            case ["noise"]:
                augmented = self._add_noise(speech, sample_rate, rng)
            case ["reverb"]:
                augmented = self._reverberate(speech, sample_rate, rng)
            case ["speed", factor]:
                augmented = resample(speech, round(10_000 * float(factor)), 10_000)  # only their ratio counts
            case _:
                raise AssertionError(f"kind: found {copy.kind!r}, expected one of those that copies() makes")
        return augmented * np.float32(scale)

    def _add_noise(self, speech: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """With noise of one kind at a random signal-to-noise ratio."""
        sources = NOISES if self._noise is None else tuple(self._noise.names)
        source = sources[rng.integers(len(sources))]
        count = int(rng.integers(BABBLE[0], BABBLE[1] + 1)) if source == "speech" else 1
        # At least a second, for the level of the noise to be that of more than a moment.
        samples = max(len(speech), sample_rate)
        noise = self._draw_noise(source, samples, sample_rate, rng)
        for _ in range(count - 1):
            noise = noise + self._draw_noise(source, samples, sample_rate, rng)
        noise = _unit_power(noise, sample_rate)
        gain = np.sqrt(_active_power(speech, sample_rate)) * 10 ** (-rng.uniform(*SNR_DB[source]) / 20)
        return speech + np.float32(gain) * noise[: len(speech)]

    def _draw_noise(self, source: str, samples: int, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(samples,) of unit power."""
        seconds = min((samples + 1) / sample_rate, LONGEST_STRETCH)
        if self._noise is None:
            noise, rate = generate_noise(source, seconds, sample_rate, rng)
        else:
            noise, rate = self._noise.stretch(source, seconds, rng)
        noise = resample(noise, rate, sample_rate)
        if len(noise) < samples:
            noise = np.resize(np.roll(noise, int(rng.integers(len(noise)))), samples)
        return _unit_power(noise[:samples], sample_rate)

    def _reverberate(self, speech: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """In a random room, as loud as before; the direct sound is not delayed."""
        if self._rooms is None:
            longest = REVERBERATION_SECONDS[1]
            response = room_response(rng, longest, REVERBERATION_SECONDS, DIFFUSE, sample_rate).astype(np.float32)
        else:
            response, rate = self._rooms.response(rng)
            response = resample(response, rate, sample_rate)
        direct = int(np.abs(response).argmax())
        reverberant = oaconvolve(speech, response)[direct : direct + len(speech)]
        energy = np.linalg.norm(reverberant)
        return reverberant * np.float32(np.linalg.norm(speech) / energy) if energy else reverberant


def _active_power(samples: Samples, sample_rate: int) -> float:
    """Mean square of the frames that are no pauses."""
    frame = min(len(samples), max(1, round(FRAME_SECONDS * sample_rate)))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    power = np.einsum("tn,tn->t", frames, frames, dtype=np.float64) / frame
    return float(power[power >= power.max() * 10 ** (-ACTIVE_DB / 10)].mean())


def _unit_power(samples: Samples, sample_rate: int) -> Samples:
    """Scaled to an active power of 1; silence stays."""
    power = _active_power(samples, sample_rate)
    return samples * np.float32(power**-0.5) if power else samples
