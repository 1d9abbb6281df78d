"""Read annotations that are written as programs write them."""

import codecs
from collections.abc import Sequence
from pathlib import Path

import pytest
import srt
import webvtt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from praatio import textgrid as praat
from praatio.utilities.constants import Interval
from pympi.Elan import Eaf

from annotations import writing
from annotations.writing import WRITERS, Turn
from speakerid.annotations.formats import is_annotation, read_annotation
from speakerid.annotations.rttm import read_uem
from speakerid.base.errors import UserError

NAMES = st.sampled_from(["Ann", "Zoë", "O'Neil", "SPEAKER_00", "Mary-Jane", "N.", "李", "007", "NA", "None"])
WITH_BLANKS = st.sampled_from(["Mary Ann Smith", "Dr. Zoë B", "Ann & Ben <x"])
QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def turns(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES) -> list[Turn]:
    """Turns in order of time, in whole milliseconds; those of one speaker do not overlap."""
    ends: dict[str, int] = {}
    found: list[Turn] = []
    start = 0
    for _ in range(draw(st.integers(1, 8))):
        speaker = draw(names)
        start = max(start + draw(st.integers(0, 5_000)), ends.get(speaker, -1) + 1)
        ends[speaker] = start + draw(st.integers(1, 400_000))
        found.append((start / 1000, ends[speaker] / 1000, speaker))
    return found


def read(path: Path) -> list[Turn]:
    found = read_annotation(path).turns
    assert all(turn.speaker for turn in found)
    return sorted((turn.start, turn.end, turn.speaker or "") for turn in found)


def rounded(some: Sequence[Turn]) -> list[Turn]:
    return sorted((round(start, 3), round(end, 3), speaker) for start, end, speaker in some)


@pytest.mark.parametrize("form", WRITERS)
@given(written=turns())
@QUICK
def test_turns_written_in_every_format_come_back(tmp_path: Path, form: str, written: list[Turn]) -> None:
    ending, write = WRITERS[form]
    path = tmp_path / f"meeting{ending}"
    path.write_text(write(written), encoding="utf-8")
    assert is_annotation(path)
    assert rounded(read(path)) == sorted(written)


@pytest.mark.parametrize("form", ["eaf", "audacity", "vtt", "whisperX", "OpenAI", "long TextGrid"])
@given(written=turns(WITH_BLANKS))
@QUICK
def test_names_with_blanks_come_back(tmp_path: Path, form: str, written: list[Turn]) -> None:
    ending, write = WRITERS[form]
    path = tmp_path / f"meeting{ending}"
    path.write_text(write(written), encoding="utf-8")
    assert rounded(read(path)) == sorted(written)


@pytest.mark.parametrize("bom", [codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE, b""])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["long TextGrid", "short TextGrid", "srt with colons", "audacity", "rttm", "vtt"])
def test_utf_16_and_line_ends_of_windows_make_no_difference(tmp_path: Path, form: str, bom: bytes, ends: str) -> None:
    written = [(0.5, 2.25, "Zoë"), (1.0, 3.0, "Ann"), (7.5, 3661.25, "Zoë")]
    ending, write = WRITERS[form]
    encoding = {codecs.BOM_UTF16_BE: "utf-16-be", b"": "utf-8"}.get(bom, "utf-16-le")
    path = tmp_path / f"meeting{ending}"
    path.write_bytes(bom + write(written).replace("\n", ends).encode(encoding))
    assert rounded(read(path)) == written


def test_other_readers_agree_on_what_the_tests_write(tmp_path: Path) -> None:
    written: list[Turn] = [(0.5, 2.25, "Zoë"), (1.0, 3.0, "Ann"), (7.5, 3661.25, "Zoë")]
    path = tmp_path / "short.TextGrid"
    path.write_text(writing.textgrid(written, long=False).replace("item [2]: ", ""), encoding="utf-8")
    grid = praat.openTextgrid(str(path), includeEmptyIntervals=False)
    spoken = [(one.start, one.end, name) for name in grid.tierNames for one in grid.getTier(name).entries
              if isinstance(one, Interval)]  # fmt: skip
    assert sorted(spoken) == read(path) == written
    path = tmp_path / "m.eaf"
    path.write_text(writing.elan(written), encoding="utf-8")
    eaf = Eaf(str(path))
    tiers = {name: eaf.get_parameters_for_tier(name).get("PARTICIPANT") for name in eaf.get_tier_names()}
    spoken = [(one[0] / 1000, one[1] / 1000, speaker) for name, speaker in tiers.items() if speaker
              for one in eaf.get_annotation_data_for_tier(name)]  # fmt: skip
    assert sorted(spoken) == read(path) == written
    cues = list(srt.parse(writing.srt(written)))
    seconds = [(one.start.total_seconds(), one.end.total_seconds(), one.content.partition(":")[0]) for one in cues]
    assert seconds == written
    path = tmp_path / "m.vtt"
    path.write_text(writing.vtt(written), encoding="utf-8")
    assert [one.voice for one in webvtt.read(str(path))] == [speaker for _, _, speaker in written]


def test_a_uem_has_regions_by_recording() -> None:
    text = ";; a comment\nmeeting 1 0.000 10.500\nmeeting 1 20 30\r\nmy other 1 1 2\n"
    assert read_uem(text) == {"meeting": [(0.0, 10.5), (20.0, 30.0)], "my other": [(1.0, 2.0)]}


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rttm_of_other_programs(tmp_path: Path) -> None:
    """NeMo's ids and LDC's speakers may have blanks, dscore writes eight fields, NIST writes other types."""
    text = (
        ";; comment\nSPKR-INFO a 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n"
        "SPEAKER mono vocals 1 1.5 2.000 <NA> <NA> Ann Lee <NA> <NA>\nSPEAKER a 0 0.140 1.510 <NA> <NA> 0 <NA> <NA>\n"
        "SPEAKER a 1 5 1 <NA> <NA> ann 0.9 <NA>\nSPEAKER a 1 7 1 <NA> <NA> ben\nSPEAKER a 1 9 0 <NA> <NA> ben\n"
    )
    found = read_annotation(write(tmp_path, "a.rttm", text)).turns
    assert [(turn.recording, turn.channel, turn.start, turn.end, turn.speaker) for turn in found] == [
        ("mono vocals", "1", 1.5, 3.5, "Ann Lee"), ("a", "0", 0.14, 1.65, "0"), ("a", "1", 5, 6, "ann"),
        ("a", "1", 7, 8, "ben"),
    ]  # fmt: skip


def test_tiers_are_speakers_or_name_them(tmp_path: Path) -> None:
    aligned = write(tmp_path, "mfa.TextGrid", writing.textgrid([(1, 2, "Ann - words"), (1, 2, "Ann - phones")]))
    assert read(aligned) == [(1, 2, "Ann"), (1, 2, "Ann")]
    single = write(tmp_path, "one.TextGrid", writing.textgrid([(1, 2, "speaker"), (3, 4, "comment")]))
    assert {speaker for _, _, speaker in read(single)} == {'she said "no", see item [2]: 3 of 4'}
    chosen = read_annotation(single, ["comment"]).turns
    assert [(turn.start, turn.end, turn.speaker) for turn in chosen] == [(3, 4, "comment")]
    unnamed = write(tmp_path, "words.TextGrid", writing.textgrid([(1, 2, "words"), (1, 2, "phones")]))
    assert read(unnamed) == []


def test_slots_without_a_value_are_spread(tmp_path: Path) -> None:
    path = write(tmp_path, "m.eaf", writing.elan([(1, 3, "Ann"), (4, 5, "Ben")], without_value=True))
    assert read(path) == [(1, 2, "Ann"), (2, 3, "Ann"), (4, 4.5, "Ben"), (4.5, 5, "Ben")]


def test_words_of_several_speakers_divide_a_segment(tmp_path: Path) -> None:
    text = (
        '[{"start": 1, "end": 9, "text": "", "speaker": "A", "words": [{"word": "a", "start": 1, "end": 2, "speaker": '
        '"A"}, {"word": "7"}, {"word": "b", "start": 3, "end": 4}, '
        '{"word": "c", "start": 5, "end": 6, "speaker": "B"}]}]'
    )
    assert read(write(tmp_path, "m.json", text)) == [(1, 4, "A"), (5, 6, "B")]


def test_cues_of_several_speakers_or_none(tmp_path: Path) -> None:
    text = (
        "1\n00:00:01,000 --> 00:00:02,000\n- ANN: hello\n- BEN: hi\n\n2\n00:00:03,000 --> 00:00:04,000\n"
        "he said this: no\n\n3\n00:00:05,000 --> 00:00:06,000\n<i>ANN:</i> hello\n\n4\n0:00:07.5 --> 0:00:08.25\n"
    )
    found = read_annotation(write(tmp_path, "m.srt", text)).turns
    assert [(turn.start, turn.end, turn.speaker) for turn in found] == [
        (1, 2, "ANN"), (1, 2, "BEN"), (3, 4, None), (5, 6, "ANN"), (7.5, 8.25, None),
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["long TextGrid", "short TextGrid", "eaf", "whisperX", "OpenAI"])
@given(data=st.data())
@QUICK
def test_a_truncated_file_is_refused(tmp_path: Path, form: str, data: st.DataObject) -> None:
    ending, write_ = WRITERS[form]
    text = write_([(0.5, 2.25, "Zoë"), (1.0, 3.0, "Ann"), (7.5, 61.25, "Zoë")]).rstrip()
    last = text.rindex('"') if form.endswith("TextGrid") else len(text)
    path = write(tmp_path, f"m{ending}", text[: data.draw(st.integers(0, last - 1))])
    with pytest.raises(UserError, match=rf"m\{ending}: ") as error:
        read_annotation(path)
    assert "\n" not in str(error.value)


WRONG = {
    "m.rttm": {
        "SPEAKER m 1 1.0\n": "line 1: found 'SPEAKER m 1 1.0', expected SPEAKER FILE",
        "SPEAKER m 1 1.0 -2 <NA> <NA> a <NA> <NA>\n": "line 1: duration: found -2",
        "SPEAKER m 1 1e 2 <NA> <NA> a <NA> <NA>\n": "line 1: start: found '1e', expected a number",
        "hello\n": "line 1: found 'hello'",
    },
    "m.TextGrid": {
        'File type = "ooBinaryFile"\n': "expected the TextGrid of a text file; in Praat, choose Save as text file",
        'File type = "ooTextFile"\nObject class = "Pitch 1"\n': "line 2: found an object of class 'Pitch 1'",
        writing.textgrid([(1, 2, "Ann")]).replace("xmax = 2 ", "xmax = 0.5 "): "tier Ann, interval 2: end: found 0.5 s",
        writing.textgrid([(1, 2, "Ann")]).replace("size = 3", "size = 3.5"): "tier Ann: the number of intervals",
    },
    "m.eaf": {
        "<a/>": "found XML of type a",
        writing.elan([(1, 2, "Ann")]).replace('REF2="ts2"', 'REF2="ts9"'): "TIME_SLOT_REF2: found 'ts9'",
        writing.elan([(1, 2, "Ann")]).replace(' TIME_VALUE="2000"', ""): "its times are unknown",
        writing.elan([(1, 2, "Ann")]).replace('"2000"', '"2 s"'): "time slot ts2: found '2 s', expected milliseconds",
    },
    "m.txt": {"1.0\t2.0\ta\nb": "line 2: found 'b'", "2.0\t1.0\ta\n": "line 1: end: found 1 s, expected more than"},
    "m.srt": {
        "": "found no cues",
        "1\n00:00:01,000 --> 00:0": "line 2: found '00:00:01,000 --> 00:0'",
        "1\n00:00:03,000 --> 00:00:02,000\na\n": "line 2: end: found 2 s",
    },
    "m.json": {
        "{}": "segments: missing",
        '{"segments": [{"start": 1, "speaker": "A"}]}': "segment 1: end: found None, expected seconds",
        '{"segments": [{"start": 1, "end": 2, "speaker": 3}]}': "segment 1: speaker: found 3",
        '{"segments": [{"start": 1, "end": 2, "speaker": "a", "speaker": "b"}]}': "speaker: found twice",
    },
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UserError) as error:
        read_annotation(write(tmp_path, name, text))
    assert str(error.value).startswith(str(tmp_path / name))
    assert WRONG[name][text] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["rttm", "whisperX", "OpenAI", "audacity", "long TextGrid"])
def test_a_turn_longer_than_any_recording_is_named_and_not_cut_into_parts(tmp_path: Path, form: str) -> None:
    ending, write_ = WRITERS[form]
    path = write(tmp_path, f"m{ending}", write_([(0.5, 2.25, "Zoë"), (5.0, 1e9, "Ann")]))
    with pytest.raises(UserError, match=r"end: found 1e\+09 s, expected at most 1000 hours; give times in seconds"):
        read_annotation(path)


def test_a_region_may_end_later_than_any_recording() -> None:
    assert read_uem("m 1 0.5 1e12\n") == {"m": [(0.5, 3.6e6)]}


def test_an_unknown_tier_or_encoding_or_ending_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "m.TextGrid", writing.textgrid([(1, 2, "Ann"), (2, 3, "Ben")]))
    with pytest.raises(
        UserError, match="tier Zoe: missing, found 2 tiers: Ann, Ben; give one of these names to --tiers"
    ):
        read_annotation(path, ["Zoe"])
    with pytest.raises(UserError, match=r"--tiers: found with .*which has no tiers"):
        read_annotation(write(tmp_path, "m.srt", ""), ["Zoe"])
    path.write_bytes(writing.textgrid([(1, 2, "Zoë")]).encode("latin-1"))
    with pytest.raises(UserError, match=r"m\.TextGrid: line 11: not UTF-8 text; save it as UTF-8"):
        read_annotation(path)
    with pytest.raises(UserError, match=r"found the ending \.doc, expected one of \.rttm"):
        read_annotation(tmp_path / "m.doc")
    with pytest.raises(UserError, match=r"a\.rttm: cannot be read"):
        read_annotation(tmp_path / "a.rttm")
