"""Annotations as programs write them: NIST's tools, Praat, ELAN, Audacity, subtitle editors, whisperX and OpenAI."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

Turn = tuple[float, float, str]
"""Start and end in seconds, and speaker."""


def rttm(turns: Sequence[Turn], recording: str = "meeting") -> str:
    """One line per turn; pyannote and NIST write three decimals."""
    return "".join(
        f"SPEAKER {recording} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        for start, end, speaker in turns
    )


def textgrid(turns: Sequence[Turn], long: bool = True) -> str:
    """A tier per speaker, whose pauses are intervals without a text; the turns of a speaker must not overlap."""
    last = max(end for _, end, _ in turns) + 1
    names = list(dict.fromkeys(speaker for _, _, speaker in turns))
    lines = ["xmin = 0 ", f"xmax = {last} ", "tiers? <exists> ", f"size = {len(names)} ", "item []: "]
    for index, name in enumerate(names, 1):
        filled = _with_pauses(sorted(turn for turn in turns if turn[2] == name), last)
        lines += [f"    item [{index}]:", '        class = "IntervalTier" ', f'        name = "{_doubled(name)}" ']
        lines += ["        xmin = 0 ", f"        xmax = {last} ", f"        intervals: size = {len(filled)} "]
        for count, (start, end, text) in enumerate(filled, 1):
            lines += [f"        intervals [{count}]:", f"            xmin = {start} ", f"            xmax = {end} "]
            lines += [f'            text = "{_doubled(text)}" ']
    if not long:
        shortened = (line.strip().partition(" = ")[2] or line.strip() for line in lines if not line.endswith("]:"))
        lines = ["<exists>" if line.startswith("tiers?") else line for line in shortened if not line.endswith("[]:")]
    return 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n' + "\n".join(lines) + "\n"


def _doubled(text: str) -> str:
    return text.replace('"', '""')


def _with_pauses(turns: Sequence[Turn], last: float) -> list[Turn]:
    filled: list[Turn] = []
    before = 0.0
    for start, end, _ in turns:
        filled += [(before, start, "")] if start > before else []
        filled.append((start, end, 'she said "no", see item [2]: 3 of 4'))
        before = end
    return [*filled, (before, last, "")]


def elan(turns: Sequence[Turn], without_value: bool = False) -> str:
    """A tier per speaker, named by its participant, and one that depends on it.

    Args:
        turns: turns.
        without_value: write every turn as two annotations that share a time slot without a value.
    """
    slots: list[str] = []
    tiers: dict[str, list[str]] = {}
    for start, end, speaker in turns:
        times = [start, *([None] if without_value else []), end]
        names = []
        for time in times:
            names.append(f"ts{len(slots) + 1}")
            value = "" if time is None else f' TIME_VALUE="{round(1000 * time)}"'
            slots.append(f'        <TIME_SLOT TIME_SLOT_ID="{names[-1]}"{value}/>')
        for first, second in pairwise(names):
            tiers.setdefault(speaker, []).append(
                f'        <ANNOTATION>\n            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{first[2:]}" '
                f'TIME_SLOT_REF1="{first}" TIME_SLOT_REF2="{second}">\n                <ANNOTATION_VALUE>a &lt; b'
                "</ANNOTATION_VALUE>\n            </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>"
            )
    body = [
        f'    <TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT={quoteattr(name)} TIER_ID="tier{index}">\n'
        + "\n".join(annotations)
        + f'\n    </TIER>\n    <TIER LINGUISTIC_TYPE_REF="t" PARENT_REF="tier{index}" TIER_ID="translation{index}"/>'
        for index, (name, annotations) in enumerate(tiers.items())
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-03-05T10:21:11+01:00" FORMAT="3.0" VERSION="3.0" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">\n'
        '    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>\n    <TIME_ORDER>\n'
        + "\n".join([*slots, "    </TIME_ORDER>", *body])
        + '\n    <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )


def audacity(turns: Sequence[Turn]) -> str:
    """Labels, every second one with the frequencies of a spectral selection."""
    return "".join(
        f"{start:.6f}\t{end:.6f}\t{speaker}\n" + ("\\\t113.2\t4021.5\n" if index % 2 else "")
        for index, (start, end, speaker) in enumerate(turns)
    )


def srt(turns: Sequence[Turn], form: str = "{}: ") -> str:
    return "\n".join(
        f"{index}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{form.format(speaker)}well, that is 10:30\nand more\n"
        for index, (start, end, speaker) in enumerate(turns, 1)
    )


def vtt(turns: Sequence[Turn]) -> str:
    """Voices, notes, styles and settings of cues."""
    head = "WEBVTT - a title\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\nNOTE two\nlines\n\nSTYLE\n::cue { }\n"
    cues = (
        f"\n{'intro' + chr(10) if index == 0 else ''}{_clock(start, '.')} --> {_clock(end, '.')} line:0 align:start\n"
        f"<v{'.loud' if index % 2 else ''} {escape(speaker)}>well, <i>so</i></v>\n"
        for index, (start, end, speaker) in enumerate(turns)
    )
    return head + "".join(cues)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def whisperx(turns: Sequence[Turn]) -> str:
    """Segments with words, one of which could not be aligned; whisperX writes everything in one line."""
    segments = []
    for start, end, speaker in turns:
        words = [{"word": "well,", "start": start, "end": end, "score": 0.9, "speaker": speaker}, {"word": "2014."}]
        segments.append({"start": start, "end": end, "text": " well, 2014.", "words": words, "speaker": speaker})
    words = [word for segment in segments for word in segment["words"]]
    return json.dumps({"segments": segments, "word_segments": words, "language": "en"}, ensure_ascii=False)


def openai(turns: Sequence[Turn]) -> str:
    segments = [
        {
            "type": "transcript.text.segment",
            "text": 'he said: "speaker": "A"',
            "speaker": speaker,
            "start": start,
            "end": end,
            "id": f"seg_{index:03d}",
        }
        for index, (start, end, speaker) in enumerate(turns)
    ]
    content = {"task": "transcribe", "duration": 60.0, "text": "well", "segments": segments, "usage": {"seconds": 60}}
    return json.dumps(content, indent=2)


WRITERS: dict[str, tuple[str, Callable[[Sequence[Turn]], str]]] = {
    "rttm": (".rttm", rttm),
    "long TextGrid": (".TextGrid", textgrid),
    "short TextGrid": (".TextGrid", lambda turns: textgrid(turns, long=False)),
    "eaf": (".eaf", elan),
    "audacity": (".txt", audacity),
    "srt with colons": (".srt", srt),
    "srt of whisperX": (".srt", lambda turns: srt(turns, "[{}]: ")),
    "srt in brackets": (".srt", lambda turns: srt(turns, "[{}] ")),
    "vtt": (".vtt", vtt),
    "whisperX": (".json", whisperx),
    "OpenAI": (".json", openai),
}
"""Ending and writer of every format."""
