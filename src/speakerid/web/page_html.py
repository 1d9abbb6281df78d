"""Answers as HTML, in which all user input is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from speakerid.base.html import render
from speakerid.recognition.results import Answer

STYLE = (files("speakerid") / "templates" / "answer.css").read_text(encoding="utf-8")
"""Style sheet; blue bars and a vermilion line can be distinguished with any color vision (Okabe and Ito, 2008)."""


def ranking(answer: Answer) -> str:
    """The speaker, and a bar for each of the most probable ones, with a line at the threshold."""
    if not answer.ranking:
        return sentence(f"No speaker can be identified: {answer.reason}")
    if answer.name is not None:
        said, why = answer.name, f"{_percent(answer.probability)} probable"
    else:
        said, why = "Unknown speaker", f"{_percent(answer.probability)} probable that it is none of the known speakers"
    return render("answer.html", said=said, why=why, answer=answer, percent=_percent)


def speakers(rows: Iterable[tuple[str, int, bool]]) -> str:
    """Table of names, their numbers of recordings, and whether they were in the training."""
    return render("speakers.html", rows=rows)


def sentence(*texts: str) -> str:
    """Messages, one paragraph each."""
    return "".join(f"<p>{escape(text)}.</p>" for text in texts)


def _percent(probability: float) -> str:
    if 0 < probability < 0.001:
        return "under 0.1 %"
    return "over 99.9 %" if 0.999 < probability < 1 else f"{100 * probability:.1f} %"
