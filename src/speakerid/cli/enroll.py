"""Add a speaker to a bundle without training. One recording is enough, three or more are better.

  speakerid enroll speaker.safetensors Anna anna1.wav anna2.wav anna3.wav
  speakerid enroll speaker.safetensors --add Anna another_day.wav

A stranger of a timeline is enrolled by the number that `identify --timeline` gives for the same recordings:

  speakerid enroll speaker.safetensors Ben --from meeting.wav --speaker "stranger 1"

A speaker of a transcript or another annotation is enrolled by the label, from the turns in which no one else speaks:

  speakerid enroll speaker.safetensors Ben --from meeting.wav --transcript meeting.json --speaker SPEAKER_01

With --add, the recordings are added to a speaker who is already in the bundle, trained or enrolled, for example from
another day or microphone. A recording that was added before does not count twice.
"""

import argparse
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.cli.arguments import rate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to change, made by `speakerid export`")
    parser.add_argument("name", metavar="NAME", help="name of the speaker")
    parser.add_argument("--add", action="store_true", help="add more recordings of a speaker who is in the bundle")
    parser.add_argument("recordings", nargs="*", metavar="FILE", help="recordings, folders of them, or patterns")
    parser.add_argument(
        "--from", nargs="+", dest="timelines", metavar="FILE", help="recordings of the timeline, instead of FILE"
    )
    parser.add_argument("--transcript", type=Path, metavar="FILE", help="turns of the recording of --from")
    parser.add_argument(
        "--speaker", metavar="LABEL", help='whom to enroll: "stranger 1" of the timeline, or a label of the transcript'
    )
    parser.add_argument(
        "--false-accepts", type=rate, metavar="R", help="as for the timeline with the stranger, if given"
    )


def run(options: argparse.Namespace) -> int:
    from speakerid.base.printing import counted, printable
    from speakerid.cli.destination import check_destination
    from speakerid.cli.kinds import BUNDLE
    from speakerid.cli.output import complain, named_recordings, replacing
    from speakerid.recognition.recognizer import Recognizer

    _check_name(options)
    recognizer = Recognizer.load(options.bundle)
    paths = named_recordings(options.timelines or options.recordings)
    check_destination(options.bundle, BUNDLE, paths, "BUNDLE")
    with replacing(options.bundle):
        if options.speaker is None:
            enrollment = recognizer.enroll(options.name, paths, add=options.add)
        elif options.transcript is not None:
            turns = _turns_of(options.transcript, paths[0], options.speaker)
            enrollment = recognizer.enroll_turns(options.name, paths[0], turns, add=options.add)
        else:
            enrollment = recognizer.enroll_stranger(
                options.name, paths, options.speaker, add=options.add, false_accepts=options.false_accepts
            )
    for line in enrollment.skipped:
        complain(line, "skipped")
    for line in enrollment.warnings:
        complain(line, "warning")
    name, recordings = printable(options.name), counted(enrollment.added, "recording")
    if options.add:
        print(f"{name}: {recordings} added, {enrollment.recordings} in all")
    else:
        print(f"{name}: enrolled from {recordings}; {counted(len(recognizer.speakers), 'speaker')} in all")
    return 0


def _turns_of(transcript: Path, recording: Path, label: str) -> list[tuple[float, float]]:
    """Start and end in seconds of the turns of a label in which no one else speaks.

    Raises:
        UserError: the transcript cannot be read, or has no such label.
    """
    from speakerid.annotations.formats import read_annotation
    from speakerid.annotations.speech import utterances_in
    from speakerid.base.printing import listed, printable
    from speakerid.cli.label import of_recording
    from speakerid.recognition.voice_encoder import SHORTEST

    turns = of_recording(read_annotation(transcript), recording, transcript).turns
    labels = list(dict.fromkeys(turn.speaker for turn in turns if turn.speaker is not None))
    if label not in labels:
        there = listed([printable(one) for one in labels]) or "none"
        raise UserError(f"--speaker: found {printable(label)}, expected a label of {transcript}: {there}")
    utterances = utterances_in(turns, shortest=SHORTEST).utterances
    return [(start, end) for start, end, speaker in utterances if speaker == label]


def _check_name(options: argparse.Namespace) -> None:
    """Refuse a name that is a recording, because the speaker's name was left out, and options that do not fit.

    Raises:
        UserError: the name is that of a recording, or the recordings or the stranger are missing.
    """
    from speakerid.audio.decode import EXTENSIONS

    if (options.timelines is None) != (options.speaker is None):
        given, missing = ("--from", "--speaker") if options.speaker is None else ("--speaker", "--from")
        raise UserError(f'{given}: found without {missing}; expected both: --from meeting.wav --speaker "stranger 1"')
    if bool(options.recordings) == bool(options.timelines):
        raise UserError("FILE: expected recordings of the speaker, or --from and --speaker instead")
    if options.transcript is not None and len(options.timelines or ()) != 1:
        raise UserError("--transcript: expected its one recording: --from meeting.wav --speaker SPEAKER_01")
    if options.false_accepts is not None and (options.timelines is None or options.transcript is not None):
        raise UserError("--false-accepts: expected a stranger of a timeline, --from without --transcript; leave it out")
    name = Path(options.name)
    if name.suffix.lower() in EXTENSIONS or name.is_file():
        raise UserError(
            f"NAME: found the file name {options.name}, expected the speaker's name before the recordings; run "
            f"speakerid enroll {options.bundle} NAME {' '.join([options.name, *options.recordings])}"
        )
