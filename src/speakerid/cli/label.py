"""Put names into a transcript: replace labels such as SPEAKER_00 by the speakers that a bundle recognizes.

  speakerid label speaker.safetensors meeting.wav meeting.json --out named.json

TRANSCRIPT is the JSON of whisperX or of OpenAI's diarized transcription, SRT, WebVTT or RTTM; the output is in the same
format, and all but the names stays as it is. A label is replaced where all of its turns together reach the threshold
for their duration, so that a stranger is given a name at the rate of --false-accepts; else it stays. A label that is
clearly of several voices is divided, and each is named by its own turns. Speech over which others speak is not used.

A table on standard error has the name, the probability and the seconds of speech for every label. With --each-turn,
every turn is named on its own: for subtitles without labels, in which names are then added.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.base.printing import printable
from speakerid.cli.arguments import add_false_accepts

if TYPE_CHECKING:
    from speakerid.annotations.turns import Annotation, Label
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.turn_names import NamedVoice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle, made by `speakerid export`")
    parser.add_argument("recording", type=Path, metavar="RECORDING", help="the recording of the transcript")
    parser.add_argument("transcript", type=Path, metavar="TRANSCRIPT", help=".json, .srt, .vtt or .rttm")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: standard output)")
    add_false_accepts(parser)
    parser.add_argument("--each-turn", action="store_true", help="name every turn on its own, also without labels")


def run(options: argparse.Namespace) -> int:
    import sys

    from speakerid.annotations.formats import format_of, read_annotation
    from speakerid.annotations.rewriting import rewritten
    from speakerid.annotations.turns import read_text
    from speakerid.base.files import atomic_file
    from speakerid.base.progress import Bar
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.turn_names import name_voices

    path, kind = options.transcript, format_of(options.transcript)
    _check(options, kind)
    text = read_text(path)
    annotation = of_recording(read_annotation(path), options.recording, path)
    if not options.each_turn and not any(turn.speaker for turn in annotation.turns):
        remedy = "to name every turn on its own, add --each-turn" if annotation.labels else "diarize it first"
        raise UserError(f"{path}: found no labels to replace; {remedy}")
    if not annotation.labels:
        raise UserError(f"{path}: found no place for names, expected segments with a speaker; diarize it first")
    recognizer = Recognizer.load(options.bundle)
    with Bar("Label", "turns", len(annotation.turns)) as bar:
        try:
            voices = name_voices(
                recognizer, options.recording, annotation.turns, options.false_accepts, options.each_turn, bar.advance
            )
        except UserError as error:
            raise UserError(
                str(error) if str(error).startswith(str(options.recording)) else f"{path}: {error}"
            ) from error
    names = [name_at(label, voices, annotation) for label in annotation.labels]
    changed = rewritten(text.content, str(kind), annotation.labels, _labels(names, str(kind), recognizer))
    _print_table(voices, options.each_turn, recognizer)
    if options.out is None:
        sys.stdout.write(changed)
    else:
        with atomic_file(options.out) as partial:
            partial.write_bytes(text.encoded(changed))
    return 0


def _check(options: argparse.Namespace, kind: str | None) -> None:
    """Refuse formats and outputs before the work.

    Raises:
        UserError: the transcript or the output is refused.
    """
    from speakerid.annotations.rewriting import LABELED
    from speakerid.cli.destination import check_destination
    from speakerid.cli.kinds import TRANSCRIPT

    if kind not in LABELED:
        found = printable(options.transcript.suffix) or "none"
        raise UserError(f"{options.transcript}: found the ending {found}, expected .json, .srt, .vtt or .rttm")
    if options.out is None:
        return
    if options.out.suffix.lower() != options.transcript.suffix.lower():
        raise UserError(
            f"--out: {options.out}: found the ending {printable(options.out.suffix) or 'none'}, expected "
            f"{options.transcript.suffix}, since the format stays the same"
        )
    check_destination(options.out, TRANSCRIPT, [options.bundle, options.recording, options.transcript], "--out")


def of_recording(annotation: Annotation, recording: Path, path: Path) -> Annotation:
    """Turns and labels of the recording, if the transcript is of several.

    Raises:
        UserError: it is of several others.
    """
    from speakerid.annotations.turns import Annotation

    ids = dict.fromkeys(turn.recording for turn in annotation.turns)
    if len(ids) < 2:
        return annotation
    names = (recording.stem, "_".join(recording.stem.split()), recording.stem.partition(".")[0])
    mine = next((name for name in names if name in ids), None)
    if mine is None:
        found = ", ".join(map(printable, list(ids)[:3]))
        raise UserError(f"{path}: found the recordings {found}, expected {printable(recording.stem)} among them")
    return Annotation(
        [turn for turn in annotation.turns if turn.recording == mine],
        [label for label in annotation.labels if label.recording == mine],
    )


def name_at(label: Label, voices: Sequence[NamedVoice], annotation: Annotation) -> str | None:
    """Name to write at one place of the transcript; None to leave what is there."""

    def shared(start: float, end: float) -> float:
        return -1.0 if label.start is None or label.end is None else min(end, label.end) - max(start, label.start)

    mine = [voice for voice in voices if voice.turn is not None or voice.label == label.name]
    if len(mine) == 1 and mine[0].turn is None:
        return mine[0].name
    spans = [
        (shared(start, end), index, voice.name)
        for index, voice in enumerate(mine)
        for start, end in (voice.spans or _times(voice, annotation))
    ]
    most = max(spans, default=(0.0, 0, None), key=lambda one: (one[0], -one[1]))
    return most[2] if most[0] > 0 else None


def _times(voice: NamedVoice, annotation: Annotation) -> list[tuple[float, float]]:
    return [] if voice.turn is None else [(annotation.turns[voice.turn].start, annotation.turns[voice.turn].end)]


def _labels(names: Sequence[str | None], kind: str, recognizer: Recognizer) -> list[str | None]:
    """Names as the format needs them; RTTM has no blanks."""
    if kind != "rttm":
        return list(names)
    from speakerid.recognition.timeline_labels import speaker_labels

    labels = speaker_labels(recognizer.speakers)
    return [None if name is None else labels[name] for name in names]


def _print_table(voices: Sequence[NamedVoice], each_turn: bool, recognizer: Recognizer) -> None:
    """Print who every label is and how sure that is."""
    import sys

    from speakerid.cli.output import complain

    rows = [("turn" if each_turn else "label", "name", "probability", "speech")]
    for number, voice in enumerate(voices, 1):
        label = str(number) if each_turn else printable(voice.label)
        rows.append((label, *_cells(voice), f"{voice.seconds:.1f} s"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=sys.stderr)
    several = [voice.label for voice in voices if voice.spans]
    for label in dict.fromkeys(several):
        complain(f"{printable(label)} is of {several.count(label)} voices, which are named by their own turns", "note")
    if not each_turn and recognizer.bundle.verification is None:
        complain("whether a label is of several voices was not checked: the bundle has no rule for pairs", "note")
    for voice in voices:
        if voice.name is None and voice.label in recognizer.speakers:
            complain(
                f"{printable(voice.label)} stays, although it is not recognized as the speaker of that name", "note"
            )


def _cells(voice: NamedVoice) -> tuple[str, str]:
    """Name and probability of a voice."""
    answer = voice.answer
    if answer is None:
        return "too little speech", ""
    if answer.name is not None:
        return printable(answer.name), f"{answer.probability:.1%}"
    name, probability = answer.ranking[0]
    return f"unknown (nearest: {printable(name)} {probability:.1%}; threshold {answer.threshold:.1%})", (
        f"{answer.probability:.1%}"
    )
