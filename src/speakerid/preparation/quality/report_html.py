"""Corpus report as an HTML page."""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from speakerid.base.html import html_page, html_plot
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
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(overview(examined))}</p><p class="faint">{escape(rates(examined))}</p>',
        *_glance(kinds),
        '<section class="plots">',
        *map(html_plot, plots(examined)),
        "</section>",
        '<p class="faint">The outermost bars of a histogram include everything beyond them.</p>',
        *_spreads(examined),
        *_findings(kinds),
        *_speakers(examined),
    ]
    return html_page(title, parts)


def _glance(kinds: dict[str, list[Finding]]) -> Iterator[str]:
    if not kinds:
        yield '<p class="glance">No problems were found.</p>'
        return
    yield '<ul class="glance">'
    for number, (kind, members) in enumerate(kinds.items()):
        yield f'<li><a href="#kind{number}"><b>{len(members):,}</b> {escape(kind)}</a></li>'
    yield "</ul>"


def _spreads(examined: Examined) -> Iterator[str]:
    yield "<h2>Summary</h2><div class='wide'><table><thead><tr><th></th>"
    yield "".join(f"<th>{name}</th>" for name in QUANTILES) + "</tr></thead><tbody>"
    of = ""
    for spread in spreads(examined):
        if spread.of != of:
            of = spread.of
            yield f'<tr class="group"><th colspan="{len(QUANTILES) + 1}">per {of}</th></tr>'
        yield f"<tr><th>{spread.what}</th>" + "".join(f"<td>{text}</td>" for text in spread.quantiles) + "</tr>"
    yield "</tbody></table></div>"


def _findings(kinds: dict[str, list[Finding]]) -> Iterator[str]:
    if not kinds:
        return
    yield "<h2>Findings</h2>"
    files = max(1, ENTRIES // sum(len(members) for members in kinds.values()))
    for number, (kind, members) in enumerate(kinds.items()):
        yield f'<section id="kind{number}"><h3>{escape(kind)} <span class="faint">{len(members):,}</span></h3>'
        yield f'<p class="advice">{escape(members[0].advice)}</p><ul class="findings">'
        for finding in members:
            yield f"<li>{escape(finding.text)}{_files(finding, files)}</li>"
        yield "</ul></section>"


def _files(finding: Finding, most: int) -> str:
    """List the files of a finding if its text does not name all of them."""
    if all(name in finding.text for name in finding.files):
        return ""
    return _folded(counted(len(finding.files), "file"), finding.files, most)


def _folded(summary: str, entries: Sequence[str], most: int) -> str:
    more = len(entries) - most
    shown = "<br>".join(escape(entry) for entry in entries[:most]) + (f"<br>… and {more:,} more" if more > 0 else "")
    return f"<details><summary>{escape(summary)}</summary><p>{shown}</p></details>"


_COLUMNS = (
    "speaker", "utterances", "minutes", "without silence", "sessions", "seconds, median", "level, dB", "SNR, dB",
    "silence, %", "clipped, %", "Hz",
)  # fmt: skip


def _speakers(examined: Examined) -> Iterator[str]:
    yield "<h2>Speakers</h2>"
    yield (
        '<p class="faint">Level, signal-to-noise ratio, silence and clipping are medians over the recordings. '
        "Values beyond their limit are colored.</p>"
    )
    yield "<div class='wide'><table><thead><tr>"
    yield "".join(f"<th>{column}</th>" for column in _COLUMNS) + "</tr></thead><tbody>"
    sessions: dict[str, list[str]] = {}
    for (speaker, session), (count, seconds) in sizes_of_sessions(examined).items():
        line = f"{session}: {counted(count, 'utterance')}, {seconds / 60:.1f} min"
        sessions.setdefault(speaker, []).append(line)
    speakers = by_speaker(examined)
    for speaker, indices in speakers.items():
        lines = sessions.get(speaker, [])
        folded = _folded(str(len(lines)), lines, max(1, ENTRIES // len(speakers))) if lines else "?"
        yield _speaker(examined, speaker, indices, folded)
    yield "</tbody></table></div>"


def _speaker(examined: Examined, speaker: str, indices: Sequence[int], sessions: str) -> str:
    measured = [examined.measured[index] for index in indices]
    seconds = [recording.seconds for recording in measured]
    sound = sum(recording.seconds * (1 - recording.silence) for recording in measured)
    snr = float(np.median([recording.snr_db for recording in measured]))
    silence = float(np.median([recording.silence for recording in measured]))
    cells = (
        (f"{len(indices):,}", len(indices) < LITTLE_UTTERANCES),
        (f"{sum(seconds) / 60:.1f}", False),
        (f"{sound / 60:.1f}", sound < LITTLE_SECONDS),
        (sessions, False),
        (f"{np.median(seconds):.1f}", False),
        (f"{np.median([recording.level_db for recording in measured]):.0f}", False),
        (f"{snr:.0f}", snr < NOISY_DB),
        (f"{100 * silence:.0f}", silence > SILENCE_SHARE),
        (f"{100 * np.median([recording.clipped for recording in measured]):.2f}", False),
        (", ".join(f"{rate:,}" for rate in sorted({recording.sample_rate for recording in measured})), False),
    )
    row = "".join(f'<td class="bad">{text}</td>' if bad else f"<td>{text}</td>" for text, bad in cells)
    return f"<tr><th>{escape(speaker)}</th>{row}</tr>"
