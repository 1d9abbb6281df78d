"""Transcripts in JSON, as whisperX and OpenAI's diarization write them: segments with start, end and speaker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from speakerid.annotations.turns import Annotation, Label, Turn, turn
from speakerid.base.errors import UserError
from speakerid.base.printing import short

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?P<colon>\s*:\s*)?')


def read_transcript(text: str) -> Annotation:
    """Read the turns of a transcript.

    A segment is one turn, or several where its words are of several speakers: whisperX gives the segment the speaker of
    most of it, and leaves out the times of words that it could not align.

    Raises:
        UserError: the text is not JSON with such segments.
    """
    content = _parsed(text)
    segments = content.get("segments") if isinstance(content, dict) else content
    if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
        raise UserError("segments: missing; expected a transcript with segments that have start, end and speaker")
    turns: list[Turn] = []
    for count, segment in enumerate(segments, 1):
        turns += _turns(segment, f"segment {count}")
    return Annotation(turns, _labels(text, content))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"not complete JSON: {error}; write the transcript again") from error
    except RecursionError as error:
        raise UserError("found JSON nested too deeply, expected a transcript") from error


def _turns(segment: Mapping[str, Any], where: str) -> Iterator[Turn]:
    speaker = _speaker(segment, where)
    words = [word for word in _words(segment) if _time(word, "start") is not None and _time(word, "end") is not None]
    spoken = {one for word in words if (one := _speaker(word, where)) is not None}
    if spoken - {speaker}:
        for one, some in groupby(words, lambda word: _speaker(word, where) or speaker):
            run = list(some)
            found = turn(_seconds(run[0], "start", where), _seconds(run[-1], "end", where), one, where)
            yield from [found] if found else []
        return
    found = turn(_seconds(segment, "start", where), _seconds(segment, "end", where), speaker, where)
    yield from [found] if found else []


def _words(segment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    words = segment.get("words")
    return [word for word in words if isinstance(word, dict)] if isinstance(words, list) else []


def _speaker(one: Mapping[str, Any], where: str) -> str | None:
    speaker = one.get("speaker")
    if speaker is not None and not isinstance(speaker, str):
        raise UserError(f"{where}: speaker: found {short(speaker)}, expected a text")
    return (speaker or "").strip() or None


def _time(one: Mapping[str, Any], key: str) -> float | None:
    value = one.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _seconds(one: Mapping[str, Any], key: str, where: str) -> float:
    value = _time(one, key)
    if value is None:
        raise UserError(f"{where}: {key}: found {short(one.get(key))}, expected seconds")
    return value


def _labels(text: str, content: object) -> list[Label]:
    """Every value of `speaker`, with the times of its object: those of segments, of words and of repeated lists."""
    spans = list(_spans(text))
    objects = list(_speaking(content))
    if len(spans) != len(objects):  # a key twice in one object, of which only the last counts
        raise UserError("speaker: found twice in one object, expected once; write the transcript again")
    return [
        Label(first, last, one["speaker"].strip(), _time(one, "start"), _time(one, "end"))
        for (first, last), one in zip(spans, objects, strict=True)
    ]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Positions of the strings that are values of `speaker`, quotation marks included."""
    after_key = -1
    for string in _STRING.finditer(text):
        if string["colon"] is not None:
            is_speaker = json.loads(string[0][: -len(string["colon"])]) == "speaker"
            after_key = string.end() if is_speaker else -1
        elif string.start() == after_key:
            yield string.span()


def _speaking(content: object) -> Iterator[Mapping[str, Any]]:
    """Objects with a text as `speaker`, in the order of those texts."""
    waiting: list[object] = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Speaking):
            yield one.content
        elif isinstance(one, dict):
            waiting.extend(
                _Speaking(one) if key == "speaker" and isinstance(value, str) else value
                for key, value in reversed(one.items())
            )
        elif isinstance(one, list):
            waiting.extend(reversed(one))


class _Speaking:
    """Marks the place of an object's own `speaker` among its values."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
