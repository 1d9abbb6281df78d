"""Lists of verification trials, in the formats of common evaluations.

A line has two names, with a label before or after them:

    1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav     VoxCeleb
    id00800-enroll id00800-singing-01-001 1                           CN-Celeb
    enrollment test target                                            Kaldi, SRE; tgt and imp in VOiCES
    enrollment,test                                                   no label: the corpus knows the speakers

Columns are separated by spaces, tabs, commas or semicolons. A header, empty lines and lines that start with # are
skipped, and so is NIST's channel (`a`, `b` or `x`) between the names and the label.

Shapes: T trials.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, check_regular
from speakerid.base.printing import printable

FORMATS = (
    "'label enrollment test', 'enrollment test label' or 'enrollment test', the label 1/0, target/nontarget or tgt/imp"
)
TARGET = {"1", "target", "tgt", "true", "same"}
NONTARGET = {"0", "nontarget", "non-target", "imp", "impostor", "imposter", "false", "different"}
LABELS = {word: word in TARGET for word in TARGET | NONTARGET}
HEADINGS = {
    "label", "key", "target", "targettype", "is_target", "same", "same_speaker", "answer",
    "enroll", "enrol", "enrollment", "enrolment", "enroll_id", "enroll_path", "enrollment_id", "enrollment_path",
    "test", "test_id", "test_path", "modelid", "model", "model_id", "segmentid", "segment", "segment_id", "side",
    "utterance1", "utterance2", "utt1", "utt2", "file1", "file2", "path1", "path2", "wav1", "wav2", "audio1", "audio2",
}  # fmt: skip
CHANNELS = {"a", "b", "x"}
_SEPARATORS = ("\t", ",", ";", None)
"""Separators in the order in which they are tried; None is whitespace."""


@dataclass(frozen=True, eq=False)
class TrialList:
    """Trials with the names of a file."""

    enrolment: tuple[str, ...]
    test: tuple[str, ...]
    targets: NDArray[np.bool_] | None
    """(T,) whether both utterances are of the same speaker; None if the file has no labels."""


def read_trials(path: StrPath) -> TrialList:
    """Read a list of trials.

    Raises:
        UserError: the file cannot be read, a line is not a trial, the column of the label is ambiguous, or all trials
            are of one kind.
    """
    path = Path(path)
    lines = _lines(path)
    separator = _separator(lines)
    rows = [(number, line, _fields(line, separator)) for number, line in lines]
    if rows and _is_heading(rows[0][2]):
        del rows[0]
    if not rows:
        raise UserError(f"{path}: found no trials, expected lines of {FORMATS}")
    label_first = _label_first(path, rows)
    trials: list[tuple[str, str, bool | None]] = []
    for number, line, fields in rows:
        trial = _trial(fields, label_first)
        if trial is None or (trials and (trials[0][2] is None) != (trial[2] is None)):
            raise UserError(f"{path}: line {number}: found {printable(line[:200])!r}, expected {FORMATS}")
        trials.append(trial)
    enrollment, test, labels = zip(*trials, strict=True)
    if labels[0] is None:
        return TrialList(enrollment, test, None)
    return TrialList(enrollment, test, checked_kinds(path, np.array(labels, bool)))


def checked_kinds(path: Path, targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Check that the labels of a list are of both kinds, and return them.

    Raises:
        UserError: all labels are of one kind.
    """
    if not (targets.any() and (~targets).any()):
        found = f"{targets.sum()} target and {(~targets).sum()} non-target trials"
        raise UserError(f"{path}: found {found}, expected some of both")
    return targets


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that may be trials, with their line numbers."""
    try:
        check_regular(path)
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; expected a list of trials, {FORMATS}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]


def _separator(lines: Sequence[tuple[int, str]]) -> str | None:
    """Separator with which the first lines are trials with a label, or otherwise pairs of names."""
    first = [line for _, line in lines[:3]]
    for labeled in (True, False):
        for separator in _SEPARATORS:
            rows = [_fields(line, separator) for line in first]
            if any(_is_trial(row, labeled) for row in rows if not _is_heading(row)):
                return separator
    return None


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except csv.Error:  # a line too long for the reader
        return [line]


def _is_heading(fields: Sequence[str]) -> bool:
    return len(fields) > 1 and all(field.lower() in HEADINGS for field in fields)


def _is_trial(fields: Sequence[str], labeled: bool) -> bool:
    if not labeled:
        return len(fields) == 2 and all(fields)
    return len(fields) in (3, 4) and any(field.lower() in LABELS for field in (fields[0], fields[-1]))


def _label_first(path: Path, rows: Sequence[tuple[int, str, list[str]]]) -> bool | None:
    """Whether the label is the first column rather than the last; None if every line is unambiguous.

    Raises:
        UserError: the list is ambiguous as a whole.
    """
    ends = [(fields[0].lower() in LABELS, fields[-1].lower() in LABELS) for _, _, fields in rows if len(fields) == 3]
    first, last = all(first for first, _ in ends), all(last for _, last in ends)
    if (True, True) not in ends:
        return None
    if first != last:
        return first
    number, line = next(
        row[:2] for row in rows if len(row[2]) == 3 and {row[2][0].lower(), row[2][2].lower()} <= set(LABELS)
    )
    raise UserError(
        f"{path}: line {number}: found {printable(line[:200])!r}, whose label could be the first or the last "
        "column; write target and nontarget as labels"
    )


def _trial(fields: Sequence[str], label_first: bool | None) -> tuple[str, str, bool | None] | None:
    """Enrollment, test and label of a trial; None if the fields are not a trial."""
    match fields:
        case [enrollment, test] if enrollment and test:
            return enrollment, test, None
        case [enrollment, test, channel, label] if channel.lower() in CHANNELS and label.lower() in LABELS:
            return enrollment, test, LABELS[label.lower()]
        case [label, enrollment, test] if label.lower() in LABELS and label_first is not False:
            return enrollment, test, LABELS[label.lower()]
        case [enrollment, test, label] if label.lower() in LABELS:
            return enrollment, test, LABELS[label.lower()]
    return None
