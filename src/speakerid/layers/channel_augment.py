"""Other channels while training: band limits, noise, other voices, equalization and reverberation of log-mel crops.

Shapes: B utterances in a batch, T frames, M mel bands.
"""

import math

import torch
from torch import Tensor, nn

LOWEST_CUT, HIGHEST_CUT = 0.6, 0.15
"""Smallest share of the mel bands that a low-pass filter keeps, and largest share that a high-pass filter removes: with
40 bands from 50 Hz to 8 kHz, cuts at 2.9 kHz and above, and at 400 Hz and below, as those of telephones are."""
NOISE_DB = 0.0, 25.0
BABBLE_DB = 5.0, 25.0
"""Signal-to-noise ratios, in dB, of noise and of other voices."""
BABBLE_VOICES = 3
EQUALIZATION_DB = 6.0
"""Largest root mean square of an equalization curve."""
SPECTRUM_DB = 15.0
"""Root mean square of the slope and of the shape of a noise spectrum, at most."""
CURVES = 5
"""Cosines that a smooth curve over the bands is made of."""
REVERBERATION_SECONDS = 0.1, 0.85
"""Time in which the tail falls by 60 dB."""
DIRECT_DB = -2.0, 12.0
"""Direct sound over the tail."""
NEPER = 10 / math.log(10)
"""dB of power in one unit of a natural logarithm."""


class ChannelAugment(nn.Module):
    """Passes every utterance of a batch through a random channel, in the order of a recording.

    A room adds a decaying tail of each band's power; other voices of the batch and noise of a random smooth spectrum
    are added; a microphone shapes the spectrum; a band limit cuts it. Each happens with its own probability. Nothing
    depends on values on the host, so that a step can be captured as a CUDA graph.

    Args:
        reverberation, babble, noise, equalization, band_limit: probabilities.
        floor: lowest value of a log-mel, which a band limit leaves.
        frames_per_second: of the features.
    """

    def __init__(
        self,
        reverberation: float = 0.0,
        babble: float = 0.0,
        noise: float = 0.0,
        equalization: float = 0.0,
        band_limit: float = 0.0,
        floor: float = math.log(1e-9),
        frames_per_second: float = 100.0,
    ) -> None:
        super().__init__()
        self.reverberation, self.babble, self.noise = reverberation, babble, noise
        self.equalization, self.band_limit = equalization, band_limit
        self.floor, self.frames_per_second = floor, frames_per_second

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, M) natural log-mels to (B, T, M)."""
        for probability, channel in (
            (self.reverberation, self._reverberated),
            (self.babble, self._among_voices),
            (self.noise, self._noisy),
            (self.equalization, self._equalized),
            (self.band_limit, self._band_limited),
        ):
            if probability:
                chosen = torch.rand(len(features), 1, 1, device=features.device) < probability
                features = torch.where(chosen, channel(features), features)
        return features

    def _reverberated(self, x: Tensor) -> Tensor:
        """The power of a frame leaks into those behind it, at the decay of a room and the level of its tail."""
        seconds, direct = _uniform(x, *REVERBERATION_SECONDS), _uniform(x, *DIRECT_DB)
        slope = 60 / NEPER / (seconds * self.frames_per_second)  # nepers a frame
        frames = torch.arange(x.shape[1], device=x.device)
        behind = frames[:, None] - frames
        tail = torch.where(behind > 0, torch.exp(-slope * behind.clamp(min=1)), 0.0)
        tail = tail * (slope.exp() - 1) * torch.exp(-direct / NEPER)  # what a unit impulse leaves sums to 1 / direct
        return torch.log(x.exp() + tail @ x.exp())

    def _among_voices(self, x: Tensor) -> Tensor:
        """Up to `BABBLE_VOICES` other utterances of the batch, half their length apart."""
        others = torch.stack([x.roll(k + 1, 0).roll(x.shape[1] // 2, 1) for k in range(BABBLE_VOICES)])
        heard = torch.rand(BABBLE_VOICES, len(x), 1, 1, device=x.device) < 0.5
        heard[0] = True
        return _mixed(x, torch.where(heard, others, -math.inf).logsumexp(0), _uniform(x, *BABBLE_DB))

    def _noisy(self, x: Tensor) -> Tensor:
        bands = x.shape[2]
        tilt = torch.linspace(-1.7, 1.7, bands, device=x.device) * _normal(x)  # of unit root mean square
        spectrum = (tilt + _curves(x)) * _uniform(x, 0, SPECTRUM_DB) / NEPER
        # The power of a narrow band fluctuates as that of one bin does, of a wide one less.
        spread = torch.linspace(1.2, 0.4, bands, device=x.device)
        return _mixed(x, spectrum + spread * torch.randn_like(x), _uniform(x, *NOISE_DB))

    def _equalized(self, x: Tensor) -> Tensor:
        return x + _curves(x) * _uniform(x, 0, EQUALIZATION_DB) / NEPER

    def _band_limited(self, x: Tensor) -> Tensor:
        bands = x.shape[2]
        band = torch.arange(bands, device=x.device)
        low = (_uniform(x, 0, 1) < 0.5) * _uniform(x, 0, HIGHEST_CUT * bands)
        high = _uniform(x, LOWEST_CUT * bands, bands)
        return torch.where((band < low.floor()) | (band >= high.ceil()), self.floor, x)


def _mixed(x: Tensor, other: Tensor, ratio: Tensor) -> Tensor:
    """The sum of two powers, (B, T, M), with a (B, 1, 1) ratio between them in dB."""
    gain = x.logsumexp((1, 2), keepdim=True) - other.logsumexp((1, 2), keepdim=True) - ratio / NEPER
    return torch.logaddexp(x, other + gain)


def _curves(x: Tensor) -> Tensor:
    """(B, 1, M) smooth random curves over the bands, of unit root mean square on average and of mean 0."""
    numbers = torch.arange(1, CURVES + 1, device=x.device, dtype=x.dtype)
    places = (torch.arange(x.shape[2], device=x.device) + 0.5) / x.shape[2]
    cosines = torch.cos(math.pi * numbers[:, None] * places) / numbers[:, None]
    size = math.sqrt(sum(0.5 / k**2 for k in range(1, CURVES + 1)))
    return torch.randn(len(x), 1, CURVES, device=x.device, dtype=x.dtype) @ cosines / size


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """(B, 1, 1) numbers between two bounds."""
    return low + (high - low) * torch.rand(len(x), 1, 1, device=x.device, dtype=x.dtype)


def _normal(x: Tensor) -> Tensor:
    return torch.randn(len(x), 1, 1, device=x.device, dtype=x.dtype)
