"""Write the answers of `identify` as text, JSON or CSV.

Each function writes an answer as soon as it is available, and yields it.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from speakerid.base.printing import printable, visible
from speakerid.cli.output import json_line
from speakerid.recognition.live import Change
from speakerid.recognition.results import Answer, Segment
from speakerid.recognition.timeline_files import as_text, clock
from speakerid.recognition.timeline_labels import UNKNOWN

_COLUMNS = ("file", "answer", "name", "probability", "seconds", "threshold")


def write_text(file: TextIO, answers: Iterable[tuple[Path, Answer]]) -> Iterator[Answer]:
    """Write one line per recording."""
    for path, answer in answers:
        ranking = [f"{printable(name)} {probability:.1%}" for name, probability in answer.ranking]
        if answer.name is not None:
            others = ", ".join(ranking[1:])
            line = f"{printable(answer.name)} {answer.probability:.1%}" + (f" (then {others})" if others else "")
        elif answer.said == "unknown":
            line = f"unknown (nearest: {', '.join(ranking)}; threshold {answer.threshold:.1%})"
        else:
            line = f"{answer.said}: {visible(answer.reason)}"
        print(f"{printable(path)}: {line}", file=file, flush=True)
        yield answer


def write_json(file: TextIO, answers: Iterable[tuple[Path, Answer]]) -> Iterator[Answer]:
    """Write one JSON object per line; names of files and speakers are preserved exactly."""
    for path, answer in answers:
        print(json_line(_plain(path, answer)), file=file, flush=True)
        yield answer


def write_csv(file: TextIO, answers: Iterable[tuple[Path, Answer]]) -> Iterator[Answer]:
    """Write a table with a header; names are escaped as in `write_text`, so every row is one line."""
    writer = csv.writer(file)
    writer.writerow([*_COLUMNS, "ranking", "reason"])
    for path, answer in answers:
        plain = _plain(path, answer) | {"file": printable(path), "name": answer.name and printable(answer.name)}
        ranking = " ".join(f"{printable(one['name'])}={one['probability']:.4f}" for one in plain["ranking"])
        writer.writerow([*(plain[column] for column in _COLUMNS), ranking, visible(plain["reason"])])
        file.flush()
        yield answer


def write_timelines(file: TextIO, found: Mapping[Path, Sequence[Segment]], form: str, many: bool) -> None:
    """Write timelines as text, JSON or CSV.

    Args:
        file: file to write to.
        found: segments of each recording.
        form: text, json or csv.
        many: whether there are several recordings, so that each text line starts with the path.
    """
    if form == "text":
        for path, segments in found.items():
            for line in as_text(segments) or ["no speech"]:
                print(f"{printable(path)}: {line}" if many else line, file=file)
        return
    header = ["file", "start", "end", "name", "probability", "stranger"]
    turns = [(path, s) for path, segments in found.items() for s in segments]
    if form == "json":
        for path, s in turns:
            values = [str(path), round(s.start, 3), round(s.end, 3), s.name, round(s.probability, 6), s.stranger]
            print(json_line(dict(zip(header, values, strict=True))), file=file)
        return
    writer = csv.writer(file)
    writer.writerow(header)
    for path, s in turns:
        name = s.name and printable(s.name)
        writer.writerow(
            [printable(path), round(s.start, 3), round(s.end, 3), name, round(s.probability, 6), s.stranger]
        )


def write_changes(file: TextIO, changes: Iterable[Change], as_json: bool) -> None:
    """Write every change of speaker as soon as it is found, as text or JSON.

    Args:
        file: file to write to.
        changes: see `speakerid.recognition.live.LiveTimeline.feed`.
        as_json: whether to write JSON objects with `start`, `said`, `name` and `probability`.
    """
    for change in changes:
        name = UNKNOWN if change.name is None else printable(change.name)
        line = f"{clock(change.start)}  {change.probability:>6.1%}  {name}"
        if as_json:
            times = {"start": round(change.start, 3), "said": round(change.said, 3)}
            line = json_line(times | {"name": change.name, "probability": round(change.probability, 6)})
        print(line, file=file, flush=True)


def _plain(path: Path, answer: Answer) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return round(value, 6) if value == value else None

    return {
        "file": str(path),
        "answer": answer.said,
        "name": answer.name,
        "probability": number(answer.probability),
        "ranking": [{"name": name, "probability": number(probability)} for name, probability in answer.ranking],
        "seconds": number(answer.seconds),
        "threshold": number(answer.threshold),
        "reason": answer.reason,
    }
