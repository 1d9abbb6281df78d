"""Feed conversations to `speakerid listen`, and measure what it shows and how late."""

from collections.abc import Iterator, Sequence

import numpy as np

from result_tables import cell
from speakerid import Recognizer, Segment
from speakerid.audio.resample import resample
from speakerid.metrics import bootstrap_interval
from speakerid.recognition.live import Change, LiveTimeline

from .conversations import UNKNOWN, Conversation, Turn


def changes_of(live: LiveTimeline, talk: Conversation) -> list[Change]:
    """Changes of speaker in a conversation, as a stream shows them."""
    return [*live.feed(resample(talk.waveform, talk.sample_rate, live.sample_rate)), *live.finish()]


def shown(changes: Sequence[Change], end: float) -> list[Segment]:
    """Names by the time at which they were shown, each until the next one, not by the time to which they apply."""
    ends = [*(change.said for change in changes[1:]), end]
    return [
        Segment(one.said, until, one.name, one.probability)
        for one, until in zip(changes, ends, strict=True)
        if one.said < until
    ]


def delays(turns: Sequence[Turn], segments: Sequence[Segment], names: Sequence[str]) -> Iterator[float]:
    """Seconds from the beginning of each turn until its speaker is shown, `unknown` for a stranger; infinite if never.

    Args:
        turns: true turns.
        segments: see `shown`.
        names: names of the known speakers.
    """
    for start, end, speaker in turns:
        name = speaker if speaker in names else None
        right = [max(one.start, start) for one in segments if one.name == name and one.start < end and one.end > start]
        yield min(right) - start if right else float("inf")


def delay_table(talks: Sequence[tuple[Conversation, Sequence[Segment]]], recognizer: Recognizer) -> str:
    """Sentences on the delays of turns that are recognized, and the share of turns that are."""
    lines = []
    for who in ("known speakers", "strangers"):
        found: list[list[float]] = []
        for talk, segments in talks:
            turns = [turn for turn in talk.turns if (turn[2] in recognizer.speakers) == (who == "known speakers")]
            found.append(list(delays(turns, segments, recognizer.speakers)))
        finite = np.array([delay for some in found for delay in some if np.isfinite(delay)])
        shares = np.array([100 * np.mean(np.isfinite(some)) for some in found if some])
        if not len(finite):
            continue
        low, high = bootstrap_interval(
            lambda drawn, shares=shares: np.average(shares, weights=drawn), np.arange(len(shares))
        )
        share = cell(float(shares.mean()), interval=(float(low), float(high)))
        lines.append(
            f"{UNKNOWN if who == 'strangers' else 'right name'} shown in {share} % of the turns of {who}, after "
            f"{np.median(finite):.1f} s (median) and {np.quantile(finite, 0.95):.1f} s (95 %)"
        )
    return "\n".join(lines)
