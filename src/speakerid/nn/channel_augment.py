"""Channel augmentation of log-mel crops: reverberation, other voices, noise, equalization and band limits.

Shapes: B batch, T frames, M mel bands.
"""

import math

import torch
from torch import Tensor, nn

LOWEST_CUT, HIGHEST_CUT = 0.6, 0.15
"""Smallest share of the mel bands that a low-pass filter keeps, and largest share that a high-pass filter removes.
With 40 bands from 50 Hz to 8 kHz these are cuts at 2.9 kHz and above, and at 400 Hz and below, as in telephones."""
NOISE_DB = 0.0, 25.0
BABBLE_DB = 5.0, 25.0
"""Signal-to-noise ratios, in dB, of noise and of other voices."""
BABBLE_VOICES = 3
EQUALIZATION_DB = 6.0
"""Largest root mean square of an equalization curve."""
SPECTRUM_DB = 15.0
"""Largest root mean square of the slope and of the shape of a noise spectrum."""
CURVES = 5
"""Number of cosines in a smooth curve over the bands."""
REVERBERATION_SECONDS = 0.1, 0.85
"""Reverberation time: the tail falls by 60 dB in it."""
DIRECT_DB = -2.0, 12.0
"""Level of the direct sound relative to the tail."""
NEPER = 10 / math.log(10)
"""dB of power per unit of the natural logarithm."""


class ChannelAugment(nn.Module):
    """Pass every utterance of a batch through a random channel.

    The stages are in the order of a real recording: a room adds a decaying tail to each band's power, other voices of
    the batch and noise with a random smooth spectrum are added, a microphone shapes the spectrum, a band limit cuts it.
    Each has its own probability. Nothing depends on values on the host, so a step can be captured as a CUDA graph.

    Args:
        reverberation, babble, noise, equalization, band_limit: probability of each stage.
        floor: lowest value of a log-mel, to which a band limit sets the bands that it cuts.
        frames_per_second: frame rate of the features.
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
        additive = (
            (self.reverberation, _tail),
            (self.babble, _babble),
            (self.noise, _noise),
        )
        if any(probability for probability, _ in additive):
            power = features.exp()
            for probability, added in additive:
                if probability:
                    power = power + _bernoulli(power, probability) * added(power, self.frames_per_second)
            features = power.clamp(min=torch.finfo(power.dtype).tiny).log()
        if self.equalization:
            gain = _curves(features) * _uniform(features, 0, EQUALIZATION_DB) / NEPER
            features = features + _bernoulli(features, self.equalization) * gain
        if self.band_limit:
            cut = _bernoulli(features, self.band_limit) & _outside_band(features)
            features = torch.where(cut, self.floor, features)
        return features


def _tail(power: Tensor, frames_per_second: float) -> Tensor:
    """Reverberation tail: each frame's power added to the later frames, at a random decay and level."""
    seconds, direct = _uniform(power, *REVERBERATION_SECONDS), _uniform(power, *DIRECT_DB)
    slope = 60 / NEPER / (seconds * frames_per_second)  # nepers per frame
    frames = torch.arange(power.shape[1], device=power.device)
    lag = frames[:, None] - frames
    tail = torch.where(lag > 0, torch.exp(-slope * lag.clamp(min=1)), 0.0)
    tail = tail * (slope.exp() - 1) * torch.exp(-direct / NEPER)  # a unit impulse's tail sums to 1 / direct
    return tail @ power


def _babble(power: Tensor, _: float) -> Tensor:
    """Up to `BABBLE_VOICES` other utterances of the batch, shifted by half their length."""
    others = torch.zeros_like(power)
    for number in range(1, BABBLE_VOICES + 1):
        speaks = 1.0 if number == 1 else _bernoulli(power, 0.5)
        others = others + speaks * power.roll((number, power.shape[1] // 2), (0, 1))
    return _at_level(others, power, BABBLE_DB)


def _noise(power: Tensor, _: float) -> Tensor:
    """Noise with a random smooth spectrum."""
    bands = power.shape[2]
    tilt = torch.linspace(-1.7, 1.7, bands, device=power.device) * _normal(power)  # unit root mean square
    spectrum = (tilt + _curves(power)) * _uniform(power, 0, SPECTRUM_DB) / NEPER
    # A narrow band's power fluctuates like that of a single bin, a wide band's less.
    spread = torch.linspace(1.2, 0.4, bands, device=power.device)
    return _at_level(torch.exp(spectrum + spread * torch.randn_like(power)), power, NOISE_DB)


def _outside_band(x: Tensor) -> Tensor:
    """(B, 1, M), true where a random band limit cuts."""
    bands = x.shape[2]
    band = torch.arange(bands, device=x.device)
    low = _bernoulli(x, 0.5) * _uniform(x, 0, HIGHEST_CUT * bands)
    high = _uniform(x, LOWEST_CUT * bands, bands)
    return (band < low.floor()) | (band >= high.ceil())


def _at_level(added: Tensor, power: Tensor, decibels: tuple[float, float]) -> Tensor:
    """Scale `added` to a random level below `power` in each utterance, between the two bounds in dB."""
    below = torch.exp(-_uniform(power, *decibels) / NEPER)
    return added * (below * power.sum((1, 2), keepdim=True) / added.sum((1, 2), keepdim=True))


def _curves(x: Tensor) -> Tensor:
    """(B, 1, M) smooth random curves over the bands, with mean 0 and on average unit root mean square."""
    numbers = torch.arange(1, CURVES + 1, device=x.device, dtype=x.dtype)
    bands = (torch.arange(x.shape[2], device=x.device) + 0.5) / x.shape[2]
    cosines = torch.cos(math.pi * numbers[:, None] * bands) / numbers[:, None]
    size = math.sqrt(sum(0.5 / k**2 for k in range(1, CURVES + 1)))
    return torch.randn(len(x), 1, CURVES, device=x.device, dtype=x.dtype) @ cosines / size


def _bernoulli(x: Tensor, probability: float) -> Tensor:
    """(B, 1, 1) random booleans, true with this probability."""
    return torch.rand(len(x), 1, 1, device=x.device) < probability


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """(B, 1, 1) uniform random numbers between two bounds."""
    return low + (high - low) * torch.rand(len(x), 1, 1, device=x.device, dtype=x.dtype)


def _normal(x: Tensor) -> Tensor:
    return torch.randn(len(x), 1, 1, device=x.device, dtype=x.dtype)
