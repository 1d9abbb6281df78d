"""Error rates of timelines by pyannote.metrics (the extras `dev` and `compare`), for comparison with other tools.

Both are (false alarms + missed + confused speech) / speech, in seconds. The identification error rate compares names,
where strangers are called `unknown`; the diarization error rate compares only which segments have the same voice, with
the best mapping of names, and strangers with different numbers are different voices.
"""

import importlib.util
from collections.abc import Collection, Sequence
from typing import cast

from speakerid import Segment
from speakerid.recognition.timeline_labels import label_of

from .conversations import UNKNOWN, Turn

NEEDED = "pyannote.metrics"
COLLAR = 0.5
"""Seconds around each boundary of a turn that do not count, half of them on each side."""


def installed() -> bool:
    return importlib.util.find_spec("pyannote") is not None and importlib.util.find_spec(NEEDED) is not None


def error_rates(
    turns: Sequence[Turn], segments: Sequence[Segment], names: Collection[str], collar: float = COLLAR
) -> dict[str, float]:
    """Identification and diarization error rate of one conversation; overlaps, if any, would count.

    Args:
        turns: true turns.
        segments: segments of the timeline.
        names: names of the known speakers.
        collar: see `COLLAR`.
    """
    from pyannote.core import Annotation, Timeline
    from pyannote.core import Segment as Stretch
    from pyannote.metrics.diarization import DiarizationErrorRate
    from pyannote.metrics.identification import IdentificationErrorRate

    def annotation(stretches: Sequence[Turn]) -> Annotation:
        found = Annotation()
        for start, end, name in stretches:
            found[Stretch(start, end)] = name
        return found

    said, grouped = (
        annotation([(s.start, s.end, label(s)) for s in segments]) for label in (lambda s: s.name or UNKNOWN, label_of)
    )
    named = annotation([(start, end, name if name in names else UNKNOWN) for start, end, name in turns])
    scored = Timeline([Stretch(0, max([end for _, end, _ in turns] + [s.end for s in segments]))])
    settings = {"collar": collar, "skip_overlap": False}
    return {
        "identification error": cast(float, IdentificationErrorRate(**settings)(named, said, uem=scored)),
        "diarization error": cast(float, DiarizationErrorRate(**settings)(annotation(turns), grouped, uem=scored)),
    }
