"""Corpus report as an HTML page."""

from collections.abc import Iterator, Sequence

import numpy as np

from speakerid.base.html import render
from speakerid.base.printing import counted
from speakerid.preparation.quality.findings import (
    LITTLE_SECONDS,
    LITTLE_UTTERANCES,
    NOISY_DB,
    SILENCE_SHARE,
    Examined,
    Finding,
    by_speaker,
)
from speakerid.preparation.quality.report import QUANTILES, grouped, overview, rates, sizes_of_sessions, spreads
from speakerid.preparation.quality.report_plots import plots

ENTRIES = 20_000
"""Maximum number of files, and of sessions, listed on the page besides the text of findings; keeps it below 5 MB."""


def html_report(examined: Examined, findings: Sequence[Finding], title: str) -> str:
    """Format the report as an HTML page; the same bytes for the same recordings.

    Args:
        examined: at least one recording.
        findings: findings from `quality.findings`, in its order.
        title: title of the page, for example the folder of the corpus.
    """
    kinds = grouped(findings)
    speakers = by_speaker(examined)
    return render(
        "corpus.html",
        title=title,
        overview=overview(examined),
        rates=rates(examined),
        kinds=kinds,
        plots=plots(examined),
        quantiles=QUANTILES,
        spreads=spreads(examined),
        counted=counted,
        names_all_files=lambda finding: all(name in finding.text for name in finding.files),
        most_files=max(1, ENTRIES // max(1, len(findings))),
        columns=_COLUMNS,
        speakers=_rows(examined),
        most_sessions=max(1, ENTRIES // max(1, len(speakers))),
    )


_COLUMNS = (
    "speaker", "utterances", "minutes", "without silence", "sessions", "seconds, median", "level, dB", "SNR, dB",
    "silence, %", "clipped, %", "Hz",
)  # fmt: skip


def _rows(examined: Examined) -> Iterator[tuple[str, list[tuple[str, bool]], list[str]]]:
    """Name of each speaker, the other columns with whether they are beyond their limit, and the sessions."""
    sessions: dict[str, list[str]] = {}
    for (speaker, session), (count, seconds) in sizes_of_sessions(examined).items():
        line = f"{session}: {counted(count, 'utterance')}, {seconds / 60:.1f} min"
        sessions.setdefault(speaker, []).append(line)
    for speaker, indices in by_speaker(examined).items():
        yield speaker, _cells(examined, indices), sessions.get(speaker, [])


def _cells(examined: Examined, indices: Sequence[int]) -> list[tuple[str, bool]]:
    measured = [examined.measured[index] for index in indices]
    seconds = [recording.seconds for recording in measured]
    sound = sum(recording.seconds * (1 - recording.silence) for recording in measured)
    snr = float(np.median([recording.snr_db for recording in measured]))
    silence = float(np.median([recording.silence for recording in measured]))
    return [
        (f"{len(indices):,}", len(indices) < LITTLE_UTTERANCES),
        (f"{sum(seconds) / 60:.1f}", False),
        (f"{sound / 60:.1f}", sound < LITTLE_SECONDS),
        (f"{np.median(seconds):.1f}", False),
        (f"{np.median([recording.level_db for recording in measured]):.0f}", False),
        (f"{snr:.0f}", snr < NOISY_DB),
        (f"{100 * silence:.0f}", silence > SILENCE_SHARE),
        (f"{100 * np.median([recording.clipped for recording in measured]):.2f}", False),
        (", ".join(f"{rate:,}" for rate in sorted({recording.sample_rate for recording in measured})), False),
    ]
