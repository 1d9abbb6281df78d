"""Quality checks of a corpus: each finding says what is wrong with which files, and what to do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speakerid.audio.measure import Measured
from speakerid.base.printing import counted, listed
from speakerid.config import DataConfig, FeatureConfig
from speakerid.preparation.quality.duplicates import same_content, same_sound
from speakerid.preparation.quality.likeness import doubted_labels, equal_means, mixed_speakers, whiten

KINDS = (
    "leakage",
    "duplicate across speakers",
    "near duplicate across speakers",
    "wrong label?",
    "one person under two names?",
    "left out",
    "duplicate",
    "near duplicate",
    "too little",
    "single session",
    "opposite channels",
    "clipped",
    "noisy",
    "mostly silence",
    "quiet",
    "low sample rate",
    "annotations",
    "company",
)
"""Kinds of findings, the most serious first."""

LITTLE_SECONDS = 60.0
"""Minimum seconds of sound per speaker, about 50 training crops of 1.28 s without overlap."""
LITTLE_UTTERANCES = round(1 / DataConfig().valid_fraction)
"""Minimum utterances per speaker: with fewer, validation takes more than its share, because it takes at least one."""
CLIPPED_SHARE = 1e-3
"""Share of samples at full scale above which a recording is clipped; loud recordings have a few."""
NOISY_DB = 10.0
"""Signal-to-noise ratio below which noise masks the quieter sounds of speech."""
SILENCE_SHARE = 0.75
"""Share of silence above which a recording is mostly silence."""
QUIET_DB = -40.0
"""Peak level, in dB of full scale, below which a 16-bit recording uses less than 10 bits."""


@dataclass(frozen=True)
class Examined:
    """Measurements of R recordings, as columns in corpus order.

    Attributes:
        names: names of the recordings.
        speakers: speaker of each recording.
        sessions: session of each recording, None if unknown.
        measured: level, noise and other properties of each recording.
        digests: digest of each recording's content.
        fingerprints: R arrays (K,) from `speakerid.audio.measure.fingerprint`.
        statistics: (R, 2 M) mean and standard deviation over frames of each of the M log-mel bands.
    """

    names: Sequence[str]
    speakers: Sequence[str]
    sessions: Sequence[str | None]
    measured: Sequence[Measured]
    digests: Sequence[str]
    fingerprints: Sequence[NDArray[np.uint32]]
    statistics: NDArray[np.float32]


@dataclass(frozen=True)
class Finding:
    """One possible problem."""

    kind: str
    """One of `KINDS`."""
    text: str
    """Description in one line, with some of the file names."""
    files: tuple[str, ...]
    """Names of all affected files."""
    advice: str
    """What to do, in one line that is the same for all findings of a kind."""


def findings(
    examined: Examined, left_out: Sequence[str], sample_rate: int = FeatureConfig().sample_rate
) -> list[Finding]:
    """Find possible problems, the most serious kinds first; the same for the same recordings.

    Args:
        examined: at least one recording.
        left_out: "name: reason" for each recording that could not be used.
        sample_rate: sample rate of the corpus's features, in Hz.
    """
    speakers = by_speaker(examined)
    found = [
        *_duplicates(examined),
        *_near_duplicates(examined),
        *_contradictions(examined, speakers),
        *(_left_out(line) for line in left_out),
        *_too_little(examined, speakers),
        *_single_sessions(examined, speakers),
        *_opposite_channels(examined),
        *_poor_recordings(examined, speakers),
        *_low_sample_rates(examined, sample_rate),
    ]
    return sorted(found, key=lambda finding: KINDS.index(finding.kind))


def by_speaker(examined: Examined) -> dict[str, list[int]]:
    """Indices of each speaker's recordings, in corpus order."""
    speakers: dict[str, list[int]] = {}
    for index, speaker in enumerate(examined.speakers):
        speakers.setdefault(speaker, []).append(index)
    return speakers


def _duplicates(examined: Examined) -> Iterator[Finding]:
    for group in same_content(examined.digests):
        yield _copies(examined, group, "duplicate", "the same file")


def _near_duplicates(examined: Examined) -> Iterator[Finding]:
    first = {digest: index for index, digest in reversed(list(enumerate(examined.digests)))}
    indices = sorted(first.values())  # exact copies have their own finding
    for group in same_sound([examined.fingerprints[index] for index in indices]):
        yield _copies(examined, [indices[member] for member in group], "near duplicate", "likely one recording")


def _copies(examined: Examined, group: Sequence[int], kind: str, what: str) -> Finding:
    files = tuple(examined.names[index] for index in group)
    speakers = sorted({examined.speakers[index] for index in group})
    if len(speakers) > 1:
        return Finding(
            f"{kind} across speakers",
            f"{what} under {listed(speakers)}: {listed(files)}",
            files,
            "find out who speaks and delete it from the others; a recording under two names is useless for training",
        )
    return Finding(
        kind,
        f"{what}, {len(group)} times: {listed(files)}",
        files,
        "keep one; copies in both training and validation inflate the accuracy",
    )


def _contradictions(examined: Examined, speakers: dict[str, list[int]]) -> Iterator[Finding]:
    """Find labels that contradict the sound."""
    names, sessions = examined.speakers, examined.sessions
    points = whiten(examined.statistics, names, sessions)
    pairs = sorted({*mixed_speakers(points, names, sessions), *equal_means(examined.statistics, names, sessions)})
    for one, other in pairs:
        files = tuple(examined.names[index] for speaker in (one, other) for index in speakers[speaker])
        yield Finding(
            "one person under two names?",
            f"{one} and {other} sound like one person: "
            f"compare {examined.names[speakers[one][0]]} with {examined.names[speakers[other][0]]}",
            files,
            "if it is one person, put the recordings under one name; otherwise leave them",
        )
    for doubt in doubted_labels(points, names, sessions):
        name, speaker = examined.names[doubt.index], names[doubt.index]
        if (min(speaker, doubt.nearest_speaker), max(speaker, doubt.nearest_speaker)) not in pairs:
            yield Finding(
                "wrong label?",
                f"{name}: {doubt.ratio:.1f} times as far from {speaker}'s other recordings as from those of "
                f"{doubt.nearest_speaker}",
                (name,),
                "compare it with both speakers; move it if it belongs to the other, delete it if it belongs to neither",
            )


def _left_out(line: str) -> Finding:
    advice = "repair the file or delete it, then prepare again; everything else is kept"
    return Finding("left out", line, (line.partition(": ")[0],), advice)


def _too_little(examined: Examined, speakers: dict[str, list[int]]) -> Iterator[Finding]:
    for speaker, indices in speakers.items():
        measured = [examined.measured[index] for index in indices]
        seconds = sum(recording.seconds * (1 - recording.silence) for recording in measured)
        if seconds < LITTLE_SECONDS or len(indices) < LITTLE_UTTERANCES:
            yield Finding(
                "too little",
                f"{speaker}: {seconds:.0f} s of sound in {counted(len(indices), 'recording')}",
                tuple(examined.names[index] for index in indices),
                f"record at least {LITTLE_SECONDS:.0f} s without silence in at least {LITTLE_UTTERANCES} recordings, "
                "or leave the speaker out",
            )


def _single_sessions(examined: Examined, speakers: dict[str, list[int]]) -> Iterator[Finding]:
    advice = "record on another day, with a folder for each session: validation needs a session of its own"
    single = [name for name, indices in speakers.items() if len({examined.sessions[index] for index in indices}) < 2]
    files = tuple(examined.names[index] for name in single for index in speakers[name])
    if single and all(session is None for session in examined.sessions):
        text = (
            f"sessions of {counted(len(files), 'recording')} are unknown: validation may share occasions with training"
        )
        yield Finding("single session", text, files, advice)
    elif single:
        text = f"{len(single)} of {counted(len(speakers), 'speaker')} with only one session: {listed(single)}"
        yield Finding("single session", text, files, advice)


def _poor_recordings(examined: Examined, speakers: dict[str, list[int]]) -> Iterator[Finding]:
    """Yield one finding per flaw and speaker."""
    for flaw in _FLAWS:
        for speaker, indices in speakers.items():
            bad = [index for index in indices if flaw.excess(examined.measured[index]) > 0]
            if bad:
                files = tuple(examined.names[index] for index in bad)
                worst = flaw.shown(max((examined.measured[index] for index in bad), key=flaw.excess))
                share = f"{len(bad)} of {counted(len(indices), 'recording')}"
                yield Finding(
                    flaw.kind, f"{speaker}: {share} {flaw.what}, worst {worst}: {listed(files)}", files, flaw.advice
                )


@dataclass(frozen=True)
class _Flaw:
    kind: str
    what: str
    excess: Callable[[Measured], float]
    """Positive if a recording has the flaw; larger is worse."""
    shown: Callable[[Measured], str]
    advice: str


_FLAWS = (
    _Flaw(
        "clipped",
        f"with over {100 * CLIPPED_SHARE:.1f} % of the samples at full scale",
        lambda recording: recording.clipped - CLIPPED_SHARE,
        lambda recording: f"{100 * recording.clipped:.1f} %",
        "lower the input level and record again; delete what is audibly distorted",
    ),
    _Flaw(
        "noisy",
        f"with a signal-to-noise ratio below {NOISY_DB:.0f} dB",
        lambda recording: NOISY_DB - recording.snr_db,
        lambda recording: f"{recording.snr_db:.1f} dB",
        "keep it if the model must work in such noise and all speakers have it; noise that only some have reveals them",
    ),
    _Flaw(
        "mostly silence",
        f"with over {100 * SILENCE_SHARE:.0f} % silence",
        lambda recording: recording.silence - SILENCE_SHARE,
        lambda recording: f"{100 * recording.silence:.0f} %",
        "look for a click that makes the rest count as silence (37 dB below the peak); only the rest is used",
    ),
    _Flaw(
        "quiet",
        f"with a peak below {QUIET_DB:.0f} dB of full scale",
        lambda recording: QUIET_DB - recording.peak_db,
        lambda recording: f"{recording.peak_db:.0f} dB",
        "raise the input level and record again; amplifying it afterwards also amplifies the quantization noise",
    ),
)


def _opposite_channels(examined: Examined) -> Iterator[Finding]:
    files = tuple(name for name, measured in zip(examined.names, examined.measured, strict=True) if measured.cancelled)
    if files:
        yield Finding(
            "opposite channels",
            f"{counted(len(files), 'recording')} with channels of opposite sign, which cancel each other out: "
            f"{listed(files)}",
            files,
            "only the loudest channel was used; swap the wires of the other one before you record more",
        )


def _low_sample_rates(examined: Examined, sample_rate: int) -> Iterator[Finding]:
    rates = [recording.sample_rate for recording in examined.measured]
    for rate in sorted({rate for rate in rates if rate < sample_rate}):
        indices = [index for index, found in enumerate(rates) if found == rate]
        files = tuple(examined.names[index] for index in indices)
        few = len({examined.speakers[index] for index in indices})
        yield Finding(
            "low sample rate",
            f"{counted(len(files), 'recording')} of {counted(few, 'speaker')} at {rate:,} Hz, "
            f"nothing above {rate // 2:,} Hz: {listed(files)}",
            files,
            f"record at {sample_rate:,} Hz, or prepare everything with --features sample_rate={rate}: "
            "bands that are empty for only some speakers identify them",
        )
