"""Answers as HTML, in which all user input is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from speakerid.recognition.results import Answer

STYLE = """
.answer .said {font-size: 1.7rem; font-weight: 600; margin: 0; overflow-wrap: anywhere}
.answer .why {margin: .2rem 0 1rem}
.ranking {display: grid; grid-template-columns: fit-content(8rem) 1fr max-content; align-items: center;
  column-gap: .8rem; line-height: 1.2}
.ranking .bar {display: contents}
.ranking .name {overflow-wrap: anywhere}
.ranking .track {position: relative; min-height: 2.1rem; align-self: stretch}
.ranking .fill {position: absolute; top: .4rem; bottom: .4rem; left: 0; min-width: 2px; border-radius: 2px;
  background: #999999}
.ranking .chosen {font-weight: 600}
.ranking .chosen .fill {background: #0072b2}
.ranking .line {position: absolute; top: 0; bottom: 0; border-left: 2px solid #d55e00; transform: translateX(-1px)}
.ranking .share {text-align: right; font-variant-numeric: tabular-nums}
.ranking .legend {grid-column: 2 / -1; display: flex; gap: .5rem; margin: .5rem 0 0}
.ranking .legend::before {content: ""; border-left: 2px solid #d55e00}
.listing {max-height: 60vh; overflow-y: auto}
.listing table {border-collapse: collapse; border: 0 !important; width: 100%; margin: 0}
.listing tr {border: 0 !important}
.listing th, .listing td {text-align: left; padding: .3rem .6rem; border: 0 !important; overflow-wrap: anywhere}
.listing tbody td {border-top: 1px solid var(--border-color-primary, #cccccc) !important}
.listing th:nth-child(2), .listing td:nth-child(2) {text-align: right}
"""
"""Style sheet; blue bars and a vermilion line can be distinguished with any color vision (Okabe and Ito, 2008)."""


def ranking(answer: Answer) -> str:
    """The speaker, and a bar for each of the most probable ones, with a line at the threshold."""
    if not answer.ranking:
        return sentence(f"No speaker can be identified: {answer.reason}")
    if answer.name is not None:
        said, why = answer.name, f"{_percent(answer.probability)} probable"
    else:
        said, why = "Unknown speaker", f"{_percent(answer.probability)} probable that it is none of the known speakers"
    bars = "".join(
        _bar(name, probability, name == answer.name, answer.threshold) for name, probability in answer.ranking
    )
    return (
        f'<div class="answer"><p class="said">{escape(said)}</p>'
        f'<p class="why">{why}; {answer.seconds:.1f} s of sound without pauses</p>'
        f'<div class="ranking">{bars}'
        f'<p class="legend">threshold {_percent(answer.threshold)}</p></div></div>'
    )


def speakers(rows: Iterable[tuple[str, int, bool]]) -> str:
    """Table of names, their numbers of recordings, and whether they were in the training."""
    body = "".join(
        f"<tr><td>{escape(name)}</td><td>{clips}</td><td>{'in training' if trained else 'enrolled'}</td></tr>"
        for name, clips, trained in rows
    )
    return (
        '<div class="listing"><table><thead><tr><th>Name</th><th>Recordings</th><th>Learned</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def sentence(*texts: str) -> str:
    """Messages, one paragraph each."""
    return "".join(f"<p>{escape(text)}.</p>" for text in texts)


def _bar(name: str, probability: float, chosen: bool, line: float) -> str:
    return (
        f'<div class="bar{" chosen" if chosen else ""}"><span class="name">{escape(name)}</span>'
        f'<span class="track"><span class="fill" style="width: {100 * probability:.2f}%"></span>'
        f'<span class="line" style="left: {100 * line:.2f}%"></span></span>'
        f'<span class="share">{_percent(probability)}</span></div>'
    )


def _percent(probability: float) -> str:
    if 0 < probability < 0.001:
        return "under 0.1 %"
    return "over 99.9 %" if 0.999 < probability < 1 else f"{100 * probability:.1f} %"
