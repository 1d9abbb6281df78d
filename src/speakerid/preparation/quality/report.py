"""Corpus report for the terminal: amount of data per speaker, its quality, and the findings."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from speakerid.base.printing import counted
from speakerid.preparation.quality.findings import Examined, Finding, by_speaker

SHOWN = 5
"""Maximum number of findings per kind in the terminal."""
QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}


@dataclass(frozen=True)
class Spread:
    """Quantiles of one quantity over speakers, sessions or recordings."""

    of: str
    what: str
    quantiles: tuple[str, ...]
    """Formatted values in the order of `QUANTILES`."""


def terminal_report(examined: Examined, findings: Sequence[Finding]) -> str:
    """Format the report as plain text without colors.

    Args:
        examined: at least one recording.
        findings: findings from `quality.findings`, in its order.
    """
    lines = [overview(examined), rates(examined), ""]
    lines.append(f"{'':34}" + "".join(f"{name:>10}" for name in QUANTILES))
    of = ""
    for spread in spreads(examined):
        if spread.of != of:
            of = spread.of
            lines.append(f"per {of}")
        lines.append(f"  {spread.what:32}" + "".join(f"{text:>10}" for text in spread.quantiles))
    lines += ["", counted(len(findings), "finding") + ("" if findings else ": nothing to fix")]
    for kind, members in grouped(findings).items():
        lines += ["", f"{kind}: {len(members):,}", f"  → {members[0].advice}"]
        lines += [f"  - {finding.text}" for finding in members[:SHOWN]]
        if len(members) > SHOWN:
            lines.append(f"  … and {len(members) - SHOWN:,} more")
    return "\n".join(lines)


def overview(examined: Examined) -> str:
    """Size of the corpus in one line."""
    seconds = sum(recording.seconds for recording in examined.measured)
    sound = sum(recording.seconds * (1 - recording.silence) for recording in examined.measured)
    sessions = len(sizes_of_sessions(examined))
    return (
        f"{counted(len(set(examined.speakers)), 'speaker')}, {counted(len(examined.names), 'utterance')}, "
        f"{duration(seconds)} ({duration(sound)} without silence), "
        + (counted(sessions, "session") if sessions else "sessions unknown")
    )


def rates(examined: Examined) -> str:
    """Number of recordings per sample rate and number of channels, the most frequent first, in one line."""
    hertz = Counter(recording.sample_rate for recording in examined.measured)
    channels = Counter(recording.channels for recording in examined.measured)
    return "; ".join(
        [f"{rate:,} Hz: {count:,}" for rate, count in _by_count(hertz)]
        + [f"{counted(number, 'channel')}: {count:,}" for number, count in _by_count(channels)]
    )


def spreads(examined: Examined) -> list[Spread]:
    """Compute the quantiles over speakers, sessions (if known) and recordings."""
    measured, speakers = examined.measured, by_speaker(examined)
    minutes = [sum(measured[index].seconds for index in indices) / 60 for indices in speakers.values()]
    sessions = sizes_of_sessions(examined)
    by_owner = Counter(speaker for speaker, _ in sessions)
    rows = [
        _spread("speaker", "utterances", (len(indices) for indices in speakers.values()), ",.0f"),
        _spread("speaker", "minutes", minutes, ",.1f"),
    ]
    if sessions:
        rows += [
            _spread("speaker", "sessions", (by_owner[speaker] for speaker in speakers), ",.0f"),
            _spread("session", "utterances", (count for count, _ in sessions.values()), ",.0f"),
            _spread("session", "minutes", (seconds / 60 for _, seconds in sessions.values()), ",.1f"),
        ]
    return [
        *rows,
        _spread("recording", "seconds", (recording.seconds for recording in measured), ",.1f"),
        _spread("recording", "silence, %", (100 * recording.silence for recording in measured), ".0f"),
        _spread("recording", "peak, dB of full scale", (recording.peak_db for recording in measured), ".1f"),
        _spread("recording", "level, dB of full scale", (recording.level_db for recording in measured), ".1f"),
        _spread("recording", "samples at full scale, %", (100 * recording.clipped for recording in measured), ".2f"),
        _spread("recording", "signal-to-noise, dB", (recording.snr_db for recording in measured), ".0f"),
    ]


def sizes_of_sessions(examined: Examined) -> dict[tuple[str, str], tuple[int, float]]:
    """Number of utterances and seconds by speaker and session, in corpus order; unknown sessions are left out."""
    sizes: dict[tuple[str, str], tuple[int, float]] = {}
    for speaker, session, recording in zip(examined.speakers, examined.sessions, examined.measured, strict=True):
        if session is not None:
            count, seconds = sizes.get((speaker, session), (0, 0.0))
            sizes[speaker, session] = (count + 1, seconds + recording.seconds)
    return sizes


def grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Group findings by kind, in order."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    return kinds


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours, depending on its length."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:,.1f} h"


def _spread(of: str, what: str, values: Iterable[float], form: str) -> Spread:
    column = np.fromiter(values, np.float64)
    # Do not interpolate: no speaker has 32.5 utterances.
    quantiles = np.quantile(column, list(QUANTILES.values()), method="inverted_cdf")
    return Spread(of, what, tuple(format(float(value), form) for value in quantiles))


def _by_count(numbers: "Counter[int]") -> list[tuple[int, int]]:
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
