"""Write timelines as text, as RTTM and as pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_file
from speakerid.base.palette import COLORS
from speakerid.base.printing import printable
from speakerid.recognition.results import Segment
from speakerid.recognition.timeline_labels import clock, file_ids, label_of, speaker_labels

FORMATS = (".png", ".svg", ".pdf")
_GREY = "0.7"
_STYLE: dict[Any, Any] = {
    "text.parse_math": False, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "pdf.fonttype": 42,
}  # fmt: skip


def as_text(segments: Sequence[Segment]) -> list[str]:
    """Readable lines, one per segment."""
    return [f"{clock(s.start)} – {clock(s.end)}  {s.probability:>6.1%}  {printable(label_of(s))}" for s in segments]


def as_rttm(timelines: Mapping[Path, Sequence[Segment]], recordings: Sequence[Path], names: Sequence[str]) -> str:
    """NIST's Rich Transcription Time Marked format (RT-09 evaluation plan, appendix A), whose fields have no blanks.

    Args:
        timelines: by recording, see `speakerid.recognition.timeline.timeline`.
        recordings: all recordings asked for. File ids depend on all of them, not only on those that could be read.
        names: names of all speakers, on which the speakers' labels depend in the same way.
    """
    ids, labels = file_ids(recordings), speaker_labels(names)

    def label(segment: Segment) -> str:
        return labels[segment.name] if segment.stranger is None else label_of(segment).replace(" ", "_")

    return "".join(
        f"SPEAKER {ids[path]} 1 {s.start:.3f} {s.end - s.start:.3f} <NA> <NA> {label(s)} <NA> <NA>\n"
        for path, segments in timelines.items()
        for s in segments
    )


def check_format(path: StrPath) -> None:
    """Check the format of a picture before long work is done for it.

    Raises:
        UserError: the format is not one of `FORMATS`.
    """
    if (suffix := Path(path).suffix).lower() not in FORMATS:
        raise UserError(f"{path}: found the format {suffix!r}, expected one of {', '.join(FORMATS)}")


def draw(segments: Sequence[Segment], title: str, path: StrPath) -> None:
    """Draw a timeline with one row per speaker, in order of appearance; strangers are gray and at the bottom.

    Args:
        segments: see `speakerid.recognition.timeline.timeline`.
        title: title of the picture.
        path: .png, .svg or .pdf file.

    Raises:
        UserError: the format is not supported, or the file cannot be written.
    """
    check_format(path)
    path = Path(path)
    from matplotlib import rc_context, rcdefaults, rcParams  # takes half a second to import
    from matplotlib.figure import Figure

    rows = _rows(segments)
    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        figure = Figure(figsize=(11, 1.6 + 0.35 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for row, some in enumerate(rows.values()):
            bars = [(s.start, s.end - s.start) for s in some]
            color = _GREY if some[0].name is None else COLORS[row % len(COLORS)]
            axes.broken_barh(bars, (row - 0.35, 0.7), color=color)
        axes.set_yticks(range(len(rows)), [printable(label) for label in rows])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds)[:-3])
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(printable(title))
        with atomic_file(path) as partial:
            figure.savefig(partial, format=path.suffix.lower()[1:], dpi=150)


def _rows(segments: Sequence[Segment]) -> dict[str, list[Segment]]:
    """Segments by label, known speakers first, and strangers without a number last."""
    rows: dict[str, list[Segment]] = {}
    for segment in sorted(segments, key=lambda s: 0 if s.name is not None else s.stranger or math.inf):
        rows.setdefault(label_of(segment), []).append(segment)
    return rows
