"""Say who speaks, live: from a microphone, or from raw samples on standard input.

  speakerid listen speaker.safetensors
  arecord -q -t raw -f S16_LE -r 16000 | speakerid listen speaker.safetensors --stdin --rate 16000

One line for every change of speaker: when the voice began, the probability, and the name or `unknown`. A name is given
to a speaker who is more probable than an unknown one, unless --false-accepts is given. Ctrl-C or the end of the stream
ends it, with a summary on standard error. A microphone needs sounddevice (in a checkout: `pip install -e '.[listen]'`).
"""

import argparse
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.cli.arguments import checked, rate

if TYPE_CHECKING:
    from speakerid.audio.capture import Source
    from speakerid.recognition.live import Change, LiveTimeline

BEHIND, CAUGHT_UP = 2.0, 0.5
"""Seconds of waiting sound from which steps are skipped, and down to which."""
_sample_rate = checked(int, lambda value: 1_000 <= value <= 384_000, "1,000 to 384,000 Hz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle, made by `speakerid export`")
    source = parser.add_argument_group("source")
    which = source.add_mutually_exclusive_group()
    which.add_argument("--device", metavar="D", help="number or part of the name of an input device")
    which.add_argument("--stdin", action="store_true", help="raw samples: signed 16 bits, little-endian, mono")
    source.add_argument("--rate", type=_sample_rate, metavar="HZ", help="sample rate of --stdin (default 16000)")
    answers = parser.add_argument_group("answers")
    answers.add_argument(
        "--false-accepts", type=rate, metavar="R",
        help="share of strangers who may be given a name (default: a name is given where it is more probable)",
    )  # fmt: skip
    answers.add_argument("--json", action="store_true", help="one JSON object per line")


def run(options: argparse.Namespace) -> int:
    import signal
    import sys

    from speakerid.cli.output_formats import write_changes
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.timeline_labels import check_names

    if options.rate is not None and not options.stdin:
        raise UserError("--rate: found without --stdin; a microphone says its own rate; leave it out")
    recognizer = Recognizer.load(options.bundle)
    if not options.json:
        check_names(recognizer.speakers, options.bundle)
    live = recognizer.live(options.false_accepts)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _source(options) as source:
            _introduce(live, source, len(recognizer.speakers))
            write_changes(sys.stdout, _changes(live, source), options.json)
    except KeyboardInterrupt:
        pass
    _summarize(live)
    return 0


def _source(options: argparse.Namespace) -> "AbstractContextManager[Source]":
    import sys

    from speakerid.audio.capture import microphone, pipe

    return pipe(sys.stdin.buffer, options.rate or 16_000) if options.stdin else microphone(options.device)


def _changes(live: "LiveTimeline", source: "Source") -> "Iterable[Change]":
    """Yield changes of speaker as they are found, and report sound that was lost or not computed."""
    from speakerid.audio.resample import Resampler
    from speakerid.cli.output import complain

    resampled, behind = Resampler(source.sample_rate, live.sample_rate), False
    for block in source.blocks:
        if block.lost:
            complain(f"{live.seconds:.1f} s: the system lost sound; close other programs", "note")
        if not behind and block.late > BEHIND:
            complain(f"{live.seconds:.1f} s: {block.late:.1f} s behind the sound; skipping steps to catch up", "note")
        behind = block.late > (CAUGHT_UP if behind else BEHIND)
        yield from live.feed(resampled(block.samples), compute=not behind)
    yield from live.feed(resampled.rest())
    yield from live.finish()


def _introduce(live: "LiveTimeline", source: "Source", speakers: int) -> None:
    """Say what is listened to, and how late a name can be."""
    import sys

    from speakerid.base.printing import printable
    from speakerid.recognition.timeline_cells import STEP_SECONDS, WINDOW_SECONDS

    delay, computing = live.worst_delay()
    print(
        f"{printable(source.name)}, {source.sample_rate:,} Hz; {speakers} speakers; window {WINDOW_SECONDS:g} s, step "
        f"{STEP_SECONDS:g} s, {1000 * computing:.0f} ms of computing per step; a voice that is recognized has its name "
        f"after {delay:.1f} s at most",
        file=sys.stderr,
    )
    if computing > STEP_SECONDS:
        print("note: computing takes longer than a step; some steps will be skipped", file=sys.stderr)


def _summarize(live: "LiveTimeline") -> None:
    import sys

    from speakerid.base.printing import printable
    from speakerid.recognition.timeline_labels import UNKNOWN

    spoken = sorted(live.spoken.items(), key=lambda item: -item[1])
    shares = [f"{UNKNOWN if name is None else printable(name)} {seconds:.1f} s" for name, seconds in spoken]
    skipped = f"; {live.skipped:.1f} s not computed" if live.skipped else ""
    print(f"{live.seconds:.1f} s of sound: {', '.join(shares) or 'no speech'}{skipped}", file=sys.stderr)
