"""Follow the voices of a stream, window by window, known or not.

The model is that of `speakerid.recognition.diarization`, of which only the forward pass is possible in a stream. Every
voice so far is a state, and one more state is a voice that has not spoken before. A window is compared with the
predictive distribution of each voice, which is wider the less of the voice there was.

Shapes: D width of a voice print, C voices so far and a new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from speakerid.recognition.diarization import STAY
from speakerid.recognition.plda import Plda

WINDOW_VARIANCE = 3.0
"""Variance of a window's voice print around its voice, as a multiple of that of utterances, which are longer."""
AFTER_PAUSE = 0.8
"""Probability that the first window after a pause has the voice before it, regardless of the voices."""
CERTAIN = 0.99
"""Probability from which another voice is the current one at once."""
PATIENCE = 2
"""Number of steps after which another voice is the current one, if it is the most probable in each of them."""
REFUTED = 0.05
"""Probability below which the windows that a new voice was suspected in are forgotten."""
MOST_VOICES = 20
"""Number of voices that are remembered; a new one replaces the one that has been silent for longest."""


class OnlineVoices:
    """Voices of a stream; each has a number, in the order of appearance.

    Args:
        plda: distribution of voice prints.
        certain, patience: hysteresis, see `CERTAIN` and `PATIENCE`.
    """

    def __init__(self, plda: Plda, certain: float = CERTAIN, patience: int = PATIENCE) -> None:
        self.current = -1
        """Number of the current voice; −1 before the first."""
        self.likeliest = -1
        """Number of the voice that the last window is most probably of; it becomes the current one if it stays."""
        self._certain, self._patience = certain, patience
        self._between, self._within = plda.between, WINDOW_VARIANCE * plda.within
        self._numbers = count()
        self._ids = [next(self._numbers)]
        self._counts = np.zeros(1)  # the last row is the new voice
        self._sums = np.zeros((1, len(plda.between)))
        self._shares = np.ones(1)
        self._last_spoke = [0]
        self.won = 0
        """Number of the last steps in which the likeliest voice has been this one."""
        self._steps = 0

    @property
    def known(self) -> Iterable[int]:
        """Numbers of the voices that are remembered, and of one that may be new."""
        return tuple(self._ids)

    def add(self, voice_print: NDArray[np.floating], after_pause: bool = False) -> None:
        """Add the (D,) voice print of the next window.

        Args:
            voice_print: unit vector.
            after_pause: whether there was a pause since the last window.
        """
        self._steps += 1
        stay = AFTER_PAUSE if after_pause else STAY
        priors = stay * self._shares + (1 - stay) / len(self._shares)
        logits = np.log(priors) + self._log_likelihoods(voice_print.astype(np.float64))
        self._shares = np.exp(logits - np.logaddexp.reduce(logits))
        self._counts += self._shares
        self._sums += self._shares[:, None] * voice_print
        self._decide(int(self._shares.argmax()))

    def _log_likelihoods(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(C,) log-likelihood of a (D,) voice print in each state."""
        counts = np.maximum(self._counts, 1e-9)[:, None]
        gain = self._between / (self._between + self._within / counts)
        variances = self._within + self._between * (1 - gain)
        return -0.5 * ((x - gain * self._sums / counts) ** 2 / variances + np.log(variances)).sum(1)

    def _decide(self, best: int) -> None:
        """Make the state of the highest share the current voice, if it is certain or has won for long enough."""
        new = len(self._ids) - 1
        self.won = self.won + 1 if self._ids[best] == self.likeliest else 1
        self.likeliest = self._ids[best]
        self._last_spoke[best] = self._steps
        if self.current < 0 or self._shares[best] >= self._certain or self.won >= self._patience:
            self.current = self.likeliest
            if best == new:
                self._expect_another()
                return
        if self._shares[new] < REFUTED and self._counts[new]:
            self._ids[new] = next(self._numbers)
            self._counts[new] = self._sums[new] = 0

    def _expect_another(self) -> None:
        """Append the state of a voice that has not spoken yet."""
        if len(self._ids) > MOST_VOICES:
            silent = int(np.argmin(self._last_spoke))
            self._ids.pop(silent)
            self._last_spoke.pop(silent)
            self._counts, self._shares = (np.delete(one, silent) for one in (self._counts, self._shares))
            self._sums = np.delete(self._sums, silent, axis=0)
        self._ids.append(next(self._numbers))
        self._last_spoke.append(self._steps)
        self._counts, self._shares = np.append(self._counts, 0.0), np.append(self._shares, 0.0)
        self._sums = np.vstack([self._sums, np.zeros(len(self._between))])
