"""Say who speaks while the sound arrives.

A step is a cell of sound. Its window is the last second and a half of sound since the last pause, and the windows are
assigned to voices (`speakerid.recognition.online_voices`). The sound of the current voice accumulates, also over
several turns, and is answered by the bundle's rule for its duration. The first answer for another voice is shown at
once, and another answer for the same voice after some steps.

Shapes: N samples, T frames, M mel bands.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from speakerid.audio.log_mel import SILENCE_LEVEL, Samples, gain_to, peak_of, sound_segments
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.online_voices import PATIENCE, OnlineVoices
from speakerid.recognition.timeline import name_of
from speakerid.recognition.timeline_cells import STEP_SECONDS, WINDOW_SECONDS, WORDS_PAUSE_SECONDS
from speakerid.recognition.voice_encoder import SHORTEST, SILENT, VoiceEncoder

PAUSE_SECONDS = 0.25
"""Shortest pause after which a window starts again."""
VOICE_SECONDS = 16.0
"""Duration of the latest sound of a voice that is answered, which bounds the computing time of a step."""
SHORT_VOICE = 4.0
"""Duration up to which a voice is answered at every step, and beyond which once in as many steps."""
NAME_STEPS = 4
"""Number of steps for which the current voice has to have another answer than is shown, before that replaces it."""
PEAK_HALF_LIFE = 60.0
"""Seconds in which the level that silence is measured by falls by half, after loud sound."""


@dataclass(frozen=True)
class Change:
    """Another speaker than before, known or not."""

    start: float
    """Time at which the voice began to speak, in seconds from the beginning of the stream; an estimate."""
    said: float
    """Time up to which there was sound when the name was given, in seconds; the difference is the delay."""
    name: str | None
    """Name of the speaker; None for a stranger."""
    probability: float
    """Probability of the name, or of a stranger."""


class LiveTimeline:
    """Who speaks in a stream.

    Args:
        bundle: knows the speakers.
        encoder: the bundle's encoder.
        false_accepts: share of strangers that may be given a name; by default a name is given where it is more
            probable than a stranger.
        voices: follows the voices; by default with the hysteresis of `speakerid.recognition.online_voices`.
        name_steps: see `NAME_STEPS`.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: VoiceEncoder,
        false_accepts: float | None = None,
        voices: OnlineVoices | None = None,
        name_steps: int = NAME_STEPS,
    ) -> None:
        self.seconds = self.skipped = 0.0
        """Durations of all sound, and of the sound that no step was computed for."""
        self.spoken: dict[str | None, float] = {}
        """Seconds of sound while each name was shown; None for strangers."""
        self.sample_rate = bundle.features.sample_rate
        self._bundle, self._encoder, self._false_accepts = bundle, encoder, false_accepts
        self._voices = OnlineVoices(bundle.profiles.plda) if voices is None else voices
        self._frontend = bundle.frontend().without_trimming()  # silence has been cut
        self._step = round(STEP_SECONDS * self.sample_rate)
        self._rest = np.empty(0, np.float32)
        self._peak, self._quiet = 0.0, 0.0
        self._turn: list[Samples] = []
        self._cells: deque[Samples] = deque()  # of the turn, up to half a window back, whose voice is open
        self._sound: dict[int, list[Samples]] = {}
        self._start, self._after_pause = 0.0, True
        self._shown: tuple[str | None] | None = None
        self._next: tuple[str | None, float] | None = None
        self._answered = self._shown_voice = -1  # voices
        self._age = 0  # number of steps for which the answered voice has been the current one
        self._steps, self._name_steps = 0, name_steps

    def feed(self, waveform: Samples, compute: bool = True) -> list[Change]:
        """Add the next (N,) samples, at the sample rate of the bundle, and return the changes of speaker in them.

        Args:
            waveform: samples in [-1, 1].
            compute: whether to compute the steps; without, the sound is counted as `skipped`, which takes no time.

        Raises:
            UserError: samples are not finite.
        """
        sound = np.concatenate([self._rest, waveform])
        whole = len(sound) // self._step * self._step
        self._rest = sound[whole:]
        changes = [self._add(cell, compute) for cell in sound[:whole].reshape(-1, self._step)]
        return [change for change in changes if change is not None]

    def finish(self) -> list[Change]:
        """Add what is left of the sound, and return a change that is still waiting for further steps."""
        changes = [self._add(self._rest, True)] if len(self._rest) else []
        self._rest = self._rest[:0]
        changes += [self._show(self._name_steps)]
        return [change for change in changes if change is not None]

    def worst_delay(self) -> tuple[float, float]:
        """Seconds from the beginning of a voice to its name, if its windows are recognized, and the share of computing.

        The window has to contain the voice alone, then the hysteresis passes, and a step has to be complete. Computing
        is measured with the longest voice that is answered.
        """
        noise = np.random.default_rng(0).normal(0, 0.1, round(VOICE_SECONDS * self.sample_rate)).astype(np.float32)
        window = noise[: round(WINDOW_SECONDS * self.sample_rate)]
        self._compute_once(window, noise)  # the first time is longer
        began = time.perf_counter()
        self._compute_once(window, noise)
        computing = time.perf_counter() - began
        return WINDOW_SECONDS + STEP_SECONDS * PATIENCE + computing, computing

    def _add(self, cell: Samples, compute: bool) -> Change | None:
        """Add a cell of sound or silence."""
        self.seconds += len(cell) / self.sample_rate
        sound = self._without_silence(cell)
        if not len(sound):
            self._quiet += len(cell) / self.sample_rate
            short = sum(map(len, self._turn)) < SHORTEST * self.sample_rate
            if self._quiet >= (WORDS_PAUSE_SECONDS if short else PAUSE_SECONDS):
                self._end_turn()
            return None
        self._quiet = 0.0
        if not self._turn:
            self._start = self.seconds - len(cell) / self.sample_rate
        self._turn.append(sound)
        if not compute:
            self.skipped += len(cell) / self.sample_rate
            return None
        self._cells.append(sound)
        change = self._compute()
        if self._shown:
            self.spoken[self._shown[0]] = self.spoken.get(self._shown[0], 0.0) + len(cell) / self.sample_rate
        return change

    def _without_silence(self, cell: Samples) -> Samples:
        self._peak = max(peak_of(cell), self._peak * 0.5 ** (len(cell) / self.sample_rate / PEAK_HALF_LIFE))
        if self._peak <= SILENT:
            return cell[:0]
        silence = SILENCE_LEVEL / gain_to(np.array([self._peak], np.float32), self._bundle.features.level)
        return np.concatenate([cell[part] for part in sound_segments(cell, self.sample_rate, silence)])

    def _end_turn(self) -> None:
        """End a turn at a pause; its last cells are of the voice that spoke last."""
        while self._cells:
            self._assign()
        self._turn, self._after_pause = [], True

    def _assign(self) -> None:
        """Assign the oldest open cell to the likeliest voice."""
        self._sound.setdefault(self._voices.likeliest, []).append(self._cells.popleft())

    def _compute(self) -> Change | None:
        """Compute a step: find the voice of the window that ends here, and answer all sound of it."""
        width = round(WINDOW_SECONDS * self.sample_rate)
        while sum(map(len, self._turn[1:])) >= width:
            self._turn.pop(0)
        window = np.concatenate(self._turn)[-width:]
        if len(window) < SHORTEST * self.sample_rate:
            return None
        before = self._voices.current
        (voice_print,) = self._encoder.embed([self._frontend(window, self.sample_rate)])
        self._voices.add(voice_print, self._after_pause)
        if self._voices.current != before and not self._after_pause:
            self._start = max(self._start, self.seconds - WINDOW_SECONDS / 2 - STEP_SECONDS * self._voices.won)
        self._after_pause = False
        while len(self._cells) * STEP_SECONDS > WINDOW_SECONDS / 2:
            self._assign()
        self._sound = {number: self._sound[number] for number in self._voices.known if number in self._sound}
        return self._answer()

    def _answer(self) -> Change | None:
        voice = self._voices.current
        cells = self._sound.get(voice, []) + (list(self._cells) if self._voices.likeliest == voice else [])
        longest = round(VOICE_SECONDS * self.sample_rate)
        sound = np.concatenate([np.empty(0, np.float32), *cells])[-longest:]
        if len(sound) < SHORTEST * self.sample_rate:
            return None
        self._age = self._age + 1 if voice == self._answered else 0
        self._answered = voice
        every = max(1, round(len(sound) / self.sample_rate / SHORT_VOICE))
        if self._next is None or self._age % every == 0:
            name, probability = self._name(sound)
            self._steps = self._steps if self._next and self._next[0] == name else 0
            self._next = name, probability
        self._steps += 1
        return self._show(self._steps)

    def _show(self, steps: int) -> Change | None:
        """Show the answer, if it is another than before and has been the same for long enough."""
        if self._next is None or self._shown == self._next[:1]:
            self._shown_voice = self._answered
            return None
        if self._answered == self._shown_voice and steps < self._name_steps:
            return None
        self._shown, self._shown_voice = self._next[:1], self._answered
        return Change(self._start, self.seconds, *self._next)

    def _compute_once(self, window: Samples, sound: Samples) -> None:
        self._encoder.embed([self._frontend(window, self.sample_rate)])
        self._name(sound)

    def _name(self, sound: Samples) -> tuple[str | None, float]:
        voice = self._encoder.voice(self._frontend(sound, self.sample_rate))
        return name_of(self._bundle, voice, self._false_accepts)
