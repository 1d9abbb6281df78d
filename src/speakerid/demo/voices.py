"""Synthetic voices: a source-filter model of speech (Fant 1970) that speaks random syllables.

Glottal flow (Rosenberg 1971) and aspiration noise excite a cascade of formant resonators with one nasal pole-zero pair;
frication noise is added in parallel (Klatt 1980). The filters change every 5 ms (K frames) and are applied by
overlap-add of short-time spectra. Vowels are based on the mean formants of Peterson & Barney (1952).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

Array = NDArray[np.floating]

SAMPLE_RATE = 16_000
HOP = 80
WINDOW, FFT = 2 * HOP, 5 * HOP

MALE_TRACT_CM = 17.5
NASAL_POLE_HZ, NASAL_ZERO_HZ, HIGHEST_FORMANT_HZ = 270.0, 550.0, 7600.0

# F1, F2, F3 in Hz of men, Peterson & Barney (1952), table II: iy ih eh ae aa ao uh uw ah er.
VOWELS = np.array([
    [270, 2290, 3010], [390, 1990, 2550], [530, 1840, 2480], [660, 1720, 2410], [730, 1090, 2440],
    [570, 840, 2410], [440, 1020, 2240], [300, 870, 2240], [640, 1190, 2390], [490, 1350, 1690],
], dtype=float)  # fmt: skip
UPPER_FORMANTS = np.array([3500, 4500, 5500, 6500], dtype=float)  # of a uniform tube of 17.5 cm

# F1, F2, F3 in Hz; voicing, aspiration, frication; center and width of the frication in Hz; nasality; seconds.
CONSONANTS = np.array([
    [250, 1100, 2150, 0.50, 0.00, 0.00, 1000, 900, 1.0, 0.070],  # m
    [250, 1650, 2600, 0.50, 0.00, 0.00, 4500, 900, 1.0, 0.065],  # n
    [250, 2200, 2800, 0.45, 0.00, 0.00, 2000, 900, 1.0, 0.075],  # ng
    [360, 1150, 2800, 0.65, 0.00, 0.00, 1000, 900, 0.1, 0.060],  # l
    [330, 1150, 1550, 0.65, 0.00, 0.00, 1000, 900, 0.0, 0.065],  # r
    [290, 650, 2200, 0.60, 0.00, 0.00, 1000, 900, 0.0, 0.060],  # w
    [270, 2250, 3000, 0.60, 0.00, 0.00, 3000, 900, 0.0, 0.060],  # y
    [320, 1650, 2550, 0.00, 0.00, 0.30, 6000, 900, 0.0, 0.110],  # s
    [300, 1850, 2500, 0.00, 0.00, 0.35, 3200, 800, 0.0, 0.110],  # sh
    [340, 1050, 2100, 0.00, 0.00, 0.07, 4500, 3500, 0.0, 0.095],  # f
    [320, 1650, 2550, 0.40, 0.00, 0.15, 5800, 900, 0.0, 0.080],  # z
    [300, 1050, 2100, 0.45, 0.00, 0.05, 4500, 3500, 0.0, 0.065],  # v
    [500, 1500, 2500, 0.00, 0.45, 0.00, 1500, 900, 0.0, 0.050],  # h, and the release of p t k
    [250, 1000, 2150, 0.00, 0.00, 0.00, 1000, 900, 0.0, 0.070],  # p b, closure
    [320, 1000, 2150, 0.00, 0.00, 0.12, 900, 900, 0.0, 0.012],  # p b, burst
    [250, 1700, 2600, 0.00, 0.00, 0.00, 4500, 1400, 0.0, 0.060],  # t d, closure
    [320, 1700, 2600, 0.00, 0.00, 0.35, 4500, 1400, 0.0, 0.015],  # t d, burst
    [250, 2000, 2500, 0.00, 0.00, 0.00, 2000, 600, 0.0, 0.065],  # k g, closure
    [320, 2000, 2500, 0.00, 0.00, 0.30, 2000, 600, 0.0, 0.022],  # k g, burst
    [500, 1500, 2500, 0.00, 0.00, 0.00, 2000, 900, 0.0, 0.200],  # pause
])  # fmt: skip
PAUSE = (19,)
# Rows of CONSONANTS that can begin and end a syllable.
ONSETS = (*((row,) for row in range(13)), (13, 14, 12), (13, 14), (15, 16, 12), (15, 16), (17, 18, 12), (17, 18), ())
CODAS = ((0,), (1,), (2,), (3,), (4,), (7,), (8,), (9,))
CODA_PROBABILITY = 0.35

# Columns of a control track: seven formants as log Hz, the excitation, and semitones from the middle pitch.
FORMANTS = slice(0, 7)
VOICING, ASPIRATION, FRICATION, CENTER, WIDTH, NASALITY, PITCH = range(7, 14)
EXCITATION, INTONATION = slice(VOICING, PITCH), slice(PITCH, PITCH + 1)
COLUMNS = 14


@dataclass(frozen=True, eq=False)
class Voice:
    """Parameters of one speaker, each drawn from a continuous distribution.

    Attributes:
        pitch_hz, pitch_span: middle of the pitch range in Hz, and its largest deviation in semitones.
        declination, final: fall of the pitch over a phrase, and change on its last syllable, in semitones.
        jitter, shimmer: relative standard deviations of period and amplitude from cycle to cycle.
        open_quotient, tilt: share of the cycle with an open glottis; pole of the low-pass on the source, 0 to 1.
        breathiness, bandwidth: aspiration noise relative to the voicing; factor on the formant bandwidths.
        vowels, vowel_seconds: (10, 3, 14) targets at the beginning, middle and end under full accent; (10,).
        consonants, consonant_seconds: (20, 14) targets of each consonantal segment and the pause; (20,).
        coarticulation, attack: seconds over which formants blend, and excitation sets in (standard deviations).
        phrase_syllables: mean number of syllables between pauses.
    """

    pitch_hz: float
    pitch_span: float
    declination: float
    final: float
    jitter: float
    shimmer: float
    open_quotient: float
    tilt: float
    breathiness: float
    bandwidth: float
    vowels: Array
    vowel_seconds: Array
    consonants: Array
    consonant_seconds: Array
    coarticulation: float
    attack: float
    phrase_syllables: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Voice":
        """Draw a random speaker."""
        # Larynx size and vocal tract length are loosely correlated.
        size = rng.uniform(-1, 1)
        scale = MALE_TRACT_CM / (15.8 - 0.7 * size + rng.normal(0, 0.3))
        upper = np.log(UPPER_FORMANTS * scale) + rng.normal(0, 0.01, UPPER_FORMANTS.size)
        pace = np.exp(rng.uniform(np.log(0.08), np.log(0.20)))
        return cls(
            pitch_hz=150 * 2 ** (0.65 * size + rng.normal(0, 0.13)),
            pitch_span=rng.uniform(6, 10),
            declination=rng.uniform(-1, 5),
            final=rng.normal(0, 2.5),
            jitter=rng.uniform(0.003, 0.02),
            shimmer=rng.uniform(0.02, 0.12),
            open_quotient=rng.uniform(0.5, 0.7),
            tilt=rng.uniform(0.2, 0.5),
            breathiness=np.exp(rng.uniform(np.log(0.006), np.log(0.03))),
            bandwidth=rng.uniform(0.9, 1.3),
            vowels=_vowels(scale, upper, rng),
            vowel_seconds=pace * np.exp(rng.normal(0, 0.1, len(VOWELS))),
            consonants=_consonants(scale, upper, rng),
            consonant_seconds=CONSONANTS[:, -1] * np.exp(rng.normal(0, 0.2, len(CONSONANTS))),
            coarticulation=rng.uniform(0.008, 0.035),
            attack=rng.uniform(0.004, 0.02),
            phrase_syllables=rng.uniform(4, 9),
        )


def _vowels(scale: float, upper: Array, rng: np.random.Generator) -> Array:
    """(10, 3, 14) vowel targets of one speaker, for formants `scale` times those of men."""
    count = len(VOWELS)
    target = np.concatenate([np.log(VOWELS * scale), np.tile(upper, (count, 1))], axis=1)
    target += rng.normal(0, 1, target.shape) * [0.04, 0.04, 0.04, 0.02, 0.02, 0.02, 0.02]
    # Vowels change over time in a way that depends on dialect and speaker (Nearey & Assmann 1986).
    glide = rng.normal(0, 1, target.shape) * [0.16, 0.16, 0.12, 0.06, 0.06, 0.06, 0.06]
    vowels = np.zeros((count, 3, COLUMNS))
    vowels[..., FORMANTS] = target[:, None] + np.array([-1, 0, 1])[:, None] * glide[:, None]
    vowels[..., FORMANTS] = np.minimum(vowels[..., FORMANTS], np.log(HIGHEST_FORMANT_HZ))
    loudness, pitch = rng.normal(0, [[6], [4]], (2, 3))
    vowels[..., VOICING] = 10 ** ((loudness - loudness.mean()) / 20)
    vowels[..., PITCH] = pitch - pitch.mean()
    vowels[..., CENTER:NASALITY] = 2000
    return vowels


def _consonants(scale: float, upper: Array, rng: np.random.Generator) -> Array:
    """(20, 14) targets of one speaker's consonants and pause, for formants `scale` times those of men."""
    count = len(CONSONANTS)
    consonants = np.zeros((count, COLUMNS))
    consonants[:, FORMANTS] = np.concatenate([np.log(CONSONANTS[:, :3] * scale), np.tile(upper, (count, 1))], axis=1)
    consonants[:, FORMANTS] += rng.normal(0, 1, (count, 7)) * [0.05, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03]
    consonants[:, FORMANTS] = np.minimum(consonants[:, FORMANTS], np.log(HIGHEST_FORMANT_HZ))
    consonants[:, EXCITATION] = CONSONANTS[:, 3:9]
    # The cavity in front of the tongue determines the peak of the frication; it depends less on the vocal tract.
    consonants[:, CENTER] *= scale**0.5 * np.exp(rng.normal(0, 0.06, count))
    consonants[:, WIDTH] *= np.exp(rng.normal(0, 0.1, count))
    return consonants


def speak(voice: Voice, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthesize random syllables, without noise and reverberation.

    Args:
        voice: the speaker.
        seconds: duration, positive.
        rng: generator for the syllables and their variation.

    Returns:
        (samples,) at 16 kHz, in [-0.9, 0.9].
    """
    assert seconds > 0, f"seconds: found {seconds}, expected a positive number"
    samples = round(seconds * SAMPLE_RATE)
    tracks = _control_tracks(voice, -(-samples // HOP) + 1, rng)
    frication = rng.standard_normal(len(tracks) * HOP, dtype=np.float32)
    spectrum = _short_time_spectrum(_source(voice, tracks, rng)) * _vocal_tract(voice, tracks)
    spectrum += _short_time_spectrum(frication) * _frication_filter(tracks)
    waveform = _overlap_add(spectrum)[:samples]
    return 0.9 / max(float(np.abs(waveform).max()), 1e-6) * waveform


def _control_tracks(voice: Voice, frames: int, rng: np.random.Generator) -> Array:
    """(K, 14) control tracks; for the columns, see FORMANTS to PITCH."""
    targets, counts = list[Array](), list[int]()
    for target, seconds in _segments(voice, rng):
        targets.append(target)
        counts.append(max(1, round(seconds * SAMPLE_RATE / HOP)))
        if sum(counts) >= frames:
            break
    tracks = np.repeat(np.stack(targets), counts, axis=0)[:frames]
    for columns, seconds in ((FORMANTS, voice.coarticulation), (EXCITATION, voice.attack), (INTONATION, 0.03)):
        blend = seconds * SAMPLE_RATE / HOP
        tracks[:, columns] = gaussian_filter1d(tracks[:, columns], blend, axis=0, mode="nearest")
    tracks[:, PITCH] = voice.pitch_span * np.tanh(tracks[:, PITCH] / voice.pitch_span)
    return tracks


def _segments(voice: Voice, rng: np.random.Generator) -> Iterator[tuple[Array, float]]:
    """Yield endless phrases as (14,) targets with their durations in seconds."""
    tempo, register = np.exp(rng.normal(0, 0.07)), rng.normal(0, 1.0)
    # One utterance uses some sounds often and others never.
    onsets, vowels, codas = (rng.dirichlet(np.full(len(kind), 0.5)) for kind in (ONSETS, VOWELS, CODAS))

    def consonant(rows: tuple[int, ...], pitch: float) -> Iterator[tuple[Array, float]]:
        for row in rows:
            yield np.append(voice.consonants[row, :PITCH], pitch), tempo * voice.consonant_seconds[row]

    while True:
        count = 2 + rng.poisson(voice.phrase_syllables - 2)
        yield from consonant(PAUSE, register)
        for index in range(count):
            pitch = register + voice.declination * (0.5 - index / (count - 1)) + voice.final * (index == count - 1)
            yield from consonant(ONSETS[rng.choice(len(ONSETS), p=onsets)], pitch)
            vowel, accent = rng.choice(len(VOWELS), p=vowels), rng.uniform(0, 1.5)
            seconds = tempo * voice.vowel_seconds[vowel] * (0.7 + 0.4 * accent) * np.exp(rng.normal(0, 0.1))
            for target in voice.vowels[vowel].copy():
                target[PITCH] = pitch + accent * target[PITCH]
                target[VOICING] *= 0.8 + 0.2 * accent
                yield target, seconds / 3
            if rng.random() < CODA_PROBABILITY:
                yield from consonant(CODAS[rng.choice(len(CODAS), p=codas)], pitch)


def _source(voice: Voice, tracks: Array, rng: np.random.Generator) -> NDArray[np.float32]:
    """(K × 80,) voicing and aspiration at the glottis."""
    count = len(tracks) * HOP
    sample, frame = np.arange(count), np.arange(len(tracks)) * HOP + HOP // 2
    pitch = voice.pitch_hz * 2 ** (np.interp(sample, frame, tracks[:, PITCH]) / 12)
    cycle = np.cumsum(pitch / SAMPLE_RATE).astype(int)
    pitch *= 1 + voice.jitter * rng.standard_normal(cycle[-1] + 1)[cycle]
    phase = rng.random() + np.cumsum(pitch / SAMPLE_RATE)
    flow = _glottal_flow(phase % 1, voice.open_quotient)
    flow *= 1 + voice.shimmer * rng.standard_normal(int(phase[-1]) + 1)[phase.astype(int)]
    voicing = np.interp(sample, frame, tracks[:, VOICING])
    aspiration = np.interp(sample, frame, tracks[:, ASPIRATION]) + voice.breathiness * voicing
    # Differencing the sampled flow, instead of sampling its derivative, avoids aliasing at the closure.
    source = voicing * np.diff(flow, prepend=flow[0]) * SAMPLE_RATE / voice.pitch_hz / 4
    source += aspiration * rng.standard_normal(count) * (0.3 + flow)
    effort = np.clip(voice.tilt + rng.normal(0, 0.15), 0, 0.8)
    return lfilter([1 - effort], [1, -effort], source).astype(np.float32)


def _glottal_flow(phase: Array, open_quotient: float) -> Array:
    """Trigonometric pulse (Rosenberg 1971), 0 to 1: rises over 2/3 of the open phase and falls over the rest."""
    rise, fall = open_quotient * 2 / 3, open_quotient / 3
    falling = np.cos(np.pi / 2 * np.clip((phase - rise) / fall, 0, 1))
    return np.where(phase < rise, 0.5 * (1 - np.cos(np.pi * phase / rise)), falling)


def _vocal_tract(voice: Voice, tracks: Array) -> NDArray[np.complex64]:
    """(K, 201) frequency response of the formants and the nasal pole-zero pair in each frame."""
    formants = np.exp(tracks[:, FORMANTS])
    # Losses increase with frequency; a lowered velum increases those of the first formant.
    bandwidths = voice.bandwidth * 50 * (1 + (formants / 2450) ** 2)
    bandwidths[:, 0] *= 1 + 1.5 * tracks[:, NASALITY]
    zero = NASAL_POLE_HZ + (NASAL_ZERO_HZ - NASAL_POLE_HZ) * tracks[:, [NASALITY]]
    pole, width = np.full_like(zero, NASAL_POLE_HZ), np.full_like(zero, 100.0)
    poles = _polynomial(np.concatenate([formants, pole], axis=1), np.concatenate([bandwidths, width], axis=1))
    response = fft.rfft(_polynomial(zero, width), FFT) / fft.rfft(poles, FFT)
    return response.astype(np.complex64, copy=False)


def _polynomial(frequencies: Array, bandwidths: Array) -> NDArray[np.float32]:
    """(K, 2n + 1) coefficients for n conjugate pairs of roots (K, n), scaled to one at 0 Hz."""
    radius = np.exp(-np.pi * bandwidths / SAMPLE_RATE)
    linear = -2 * radius * np.cos(2 * np.pi * frequencies / SAMPLE_RATE)
    frames, pairs = frequencies.shape
    product = np.zeros((frames, 2 * pairs + 1))
    product[:, 0] = 1
    for index in range(pairs):
        earlier = product.copy()
        product[:, 1:] += linear[:, [index]] * earlier[:, :-1]
        product[:, 2:] += radius[:, [index]] ** 2 * earlier[:, :-2]
    return (product / product.sum(axis=1, keepdims=True)).astype(np.float32)


def _frication_filter(tracks: Array) -> NDArray[np.float32]:
    """(K, 201) gain of the frication noise in each frame."""
    bins = np.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=np.float32)
    level, center, width = (tracks[:, [column]].astype(np.float32) for column in (FRICATION, CENTER, WIDTH))
    return level * (np.exp(-0.5 * ((bins - center) / width) ** 2) + np.float32(0.02))


def _short_time_spectrum(signal: NDArray[np.float32]) -> NDArray[np.complex64]:
    """(K × 80,) → (K, 201) spectra of 10 ms Hann windows, which overlap-add to one."""
    padded = np.pad(signal, (WINDOW // 2, WINDOW // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: signal.size : HOP]
    hann = 0.5 * (1 - np.cos(2 * np.pi * np.arange(WINDOW, dtype=np.float32) / WINDOW))
    return fft.rfft(windows * hann.astype(np.float32), FFT)


def _overlap_add(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """(K, 201) → (K × 80,)."""
    pieces = fft.irfft(spectrum, FFT).reshape(len(spectrum), FFT // HOP, HOP)
    total = np.zeros((len(spectrum) + FFT // HOP, HOP), dtype=np.float32)
    for part in range(FFT // HOP):
        total[part : part + len(spectrum)] += pieces[:, part]
    return total.reshape(-1)[WINDOW // 2 :][: len(spectrum) * HOP]
