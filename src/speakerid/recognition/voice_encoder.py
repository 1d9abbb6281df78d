"""Embed recordings with the encoder of a bundle.

Shapes: N samples, B recordings, T frames, M mel bands, D width of a voice print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from speakerid.audio.decode import Sound, decode
from speakerid.audio.frontends import Frontend
from speakerid.audio.log_mel import Samples
from speakerid.audio.mixing import mixed
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.corpus.batching import CPU_FRAMES
from speakerid.corpus.store import FrameStore
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.network import Network
from speakerid.recognition.results import Unheard, Voice
from speakerid.recognition.sample_digest import SampleDigest
from speakerid.recognition.waveforms import Recording, path_of, rate_of, waveform_of

SHORTEST = 0.5
"""Shortest duration without pauses, in seconds, for which a name is given."""
SILENT = 1e-4
"""Largest sample, as a share of full scale, of a recording that counts as silent: −80 dB."""
MAX_SECONDS = 1200.0
"""Longest recording in seconds; longer ones are for a timeline."""
WORTH_THREADS = 1e9
"""Number of parameters times frames embedded at a time below which one thread is used: several would mostly wait for
one another, and on a busy machine almost always."""


class VoiceEncoder:
    """Makes voice prints of recordings.

    Args:
        bundle: bundle with the model and its features.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.fingerprint = bundle.encoder
        self.sample_rate = bundle.features.sample_rate
        self._features = bundle.features
        self._bundle = bundle
        self.threads = ThreadpoolController()

    @cached_property
    def network(self) -> Network:
        """The network, built when it is first needed: to forget a speaker it is not."""
        return self._bundle.network()

    @cached_property
    def frontend(self) -> Frontend:
        """Front end of the bundle."""
        return self._bundle.frontend()

    def listen(self, recording: Recording | Sound, sample_rate: int | None = None) -> Voice:
        """See `Recognizer.listen`."""
        waveform, rate = sound_of(recording, sample_rate, self.sample_rate)
        frames = self.frames(waveform, rate)
        voice = self.voice(frames)
        waveform = resample(waveform, rate, self.sample_rate)  # so that samples have the same digest as their file
        digest = SampleDigest(self.sample_rate)
        digest.update(waveform)
        return replace(voice, digest=digest.value, source=str(path_of(recording) or ""))

    def voice(self, frames: NDArray[np.float32], voice_print: NDArray[np.float32] | None = None) -> Voice:
        """Voice in the (T, M) features of a recording, with its (D,) voice print if that has been computed."""
        print_ = self.embed([frames])[0] if voice_print is None else voice_print
        return Voice(len(frames) / self._features.frames_per_second, print_, self.fingerprint)

    def embed(self, frames: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(B, D) voice prints of (T, M) features of B recordings; each is independent of the others."""
        store = FrameStore.from_utterances(frames, self._features.n_mels)
        at_a_time = max(int(store.lengths.max()), min(len(store.frames), CPU_FRAMES))
        with self.threads.limit(limits=1 if at_a_time * self.network.size < WORTH_THREADS else None):
            prints = self.network.embed(store, range(len(store)))
        if not np.isfinite(prints).all():
            raise UserError("the bundle's model gives voice prints that are not finite numbers; export it again")
        return prints

    def frames(self, waveform: Samples, sample_rate: int) -> NDArray[np.float32]:
        """(T, M) features of (N,) samples.

        Raises:
            Unheard: there is no voice in the samples.
        """
        seconds = len(waveform) / sample_rate
        if not len(waveform):
            raise Unheard("too short", "holds no samples", 0.0)
        peak = max(-float(waveform.min()), float(waveform.max()))  # NaN if any sample is NaN
        if not np.isfinite(peak):
            raise Unheard("broken", "holds samples that are not finite numbers", seconds)
        if peak <= SILENT:
            raise Unheard("silent", f"{seconds:.2f} s of silence", 0.0)
        try:
            frames = self.frontend(waveform, sample_rate)
        except UserError as error:
            raise Unheard("too short" if seconds < SHORTEST else "broken", str(error), seconds) from error
        duration = len(frames) / self._features.frames_per_second
        if duration < SHORTEST:
            raise Unheard("too short", f"{duration:.2f} s of sound, expected {SHORTEST:g} at least", duration)
        return frames


def sound_of(
    recording: Recording | Sound, sample_rate: int | None = None, target: int | None = None
) -> tuple[Samples, int]:
    """(N,) samples of a file, decoded or not, or of an array, and their rate in Hz.

    A file that is decoded here is resampled to `target`, if given.

    Raises:
        Unheard: the file cannot be decoded.
        UserError: the recording is neither a path nor samples with a rate.
    """
    if isinstance(recording, Sound):
        return recording.waveform, recording.sample_rate
    rate, path = rate_of(sample_rate), path_of(recording)
    if path is None:
        waveform = waveform_of(recording)
        if rate is None:
            raise UserError("sample_rate: missing; samples need their rate in Hz, a file says its own")
        return mixed(waveform), rate
    try:
        sound = decode(path, max_seconds=MAX_SECONDS, sample_rate=target)
    except UserError as error:
        raise Unheard("broken", str(error)) from error
    return sound.waveform, sound.sample_rate
