"""Find annotated recordings with `scan`, and prepare, train and identify on one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from annotations import writing
from corpora import write_recording
from speakerid.base.errors import UserError
from speakerid.preparation import recording_features
from speakerid.preparation.sources.annotated import TurnOptions
from speakerid.preparation.sources.layouts import scan

TURNS = [(0.5, 3.0, "Ann"), (4.0, 8.0, "Ben"), (7.5, 9.5, "Ann")]
CUT = [("Ann", 0.5, 3.0), ("Ann", 8.0, 9.5), ("Ben", 4.0, 7.5)]

Found = list[tuple[str, float | None, float | None]]


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """Folder with meeting.wav of 10 s."""
    write_recording(tmp_path / "in" / "meeting.wav", 10, 1000)
    return tmp_path / "in"


def annotate(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def cut(source: Path, layout: str = "auto", turns: TurnOptions | None = None) -> Found:
    found = scan(source, layout, turns)
    assert found.layout == "annotated"
    return [(one.speaker, one.start, one.end) for one in found.recordings]


@pytest.mark.parametrize("form", writing.WRITERS)
def test_every_format_is_found_next_to_its_recording(meeting: Path, form: str) -> None:
    ending, write = writing.WRITERS[form]
    path = annotate(meeting / f"meeting{ending}", write(TURNS))
    assert cut(meeting) == cut(meeting, "annotated") == cut(path) == CUT
    (session,) = {one.session for one in scan(meeting).recordings}
    assert session == "meeting"


def test_minutes_and_what_is_left_out_are_reported(meeting: Path) -> None:
    annotate(meeting / "meeting.rttm", writing.rttm([*TURNS, (3.2, 3.4, "Zoë")]))
    annotate(meeting / "meeting.uem", "meeting 1 1.0 9.0\n")
    found = scan(meeting)
    assert [line for line in found.remarks if "minutes" in line] == [
        "Ann: 0.1 of 0.1 annotated minutes, 2 utterances from 1 recording",
        "Ben: 0.1 of 0.1 annotated minutes, 1 utterance from 1 recording",
        "Zoë: 0.0 of 0.0 annotated minutes, 0 utterances from 1 recording",
    ]
    assert found.left_out in found.remarks
    assert found.left_out == (
        "left out: 0.5 s in which several people speak, 1.0 s outside the regions of the UEM, 0.2 s in parts shorter "
        "than 1 s"
    )


def test_one_rttm_has_several_recordings_in_folders(meeting: Path) -> None:
    """Ids have underscores for blanks, or the first part of a name with dots."""
    for name in ("audio/my talk.wav", "audio/ES2002a.Mix-Headset.wav", "audio/other.wav"):
        write_recording(meeting / name, 10, 1000)
    text = "".join(writing.rttm(TURNS, name) for name in ("meeting", "my_talk", "ES2002a", "missing"))
    (meeting / "rttm").mkdir()
    annotate(meeting / "rttm" / "all.rttm", text)
    found = scan(meeting, "annotated")
    assert len(found.recordings) == 9
    sessions = {one.session for one in found.recordings}
    assert sessions == {"meeting", "audio/my talk", "audio/ES2002a.Mix-Headset"}
    assert "skipped, no annotation of this name: audio/other.wav" in found.remarks
    assert "skipped, no recording of this name: missing in rttm/all.rttm" in found.remarks


def test_turns_of_two_channels_are_cut_from_their_channel(meeting: Path) -> None:
    write_recording(meeting / "meeting.wav", 10, 1000, channels=2)
    one, other = (writing.rttm(TURNS[index : index + 1], "meeting") for index in (1, 2))
    annotate(meeting / "meeting.rttm", one + other.replace("meeting 1", "meeting 2"))
    found = [(one.speaker, one.start, one.end, one.channel) for one in scan(meeting).recordings]
    assert found == [("Ann", 7.5, 9.5, 1), ("Ben", 4.0, 8.0, 0)]  # no overlap within a channel


def test_a_table_says_which_annotation_is_of_which_recording(meeting: Path) -> None:
    annotate(meeting / "x.rttm", writing.rttm(TURNS, "anything"))
    annotate(meeting / "y.srt", writing.srt(TURNS))
    write_recording(meeting / "other.wav", 10, 1000)
    table = annotate(meeting / "t.csv", "path,annotation,session\nmeeting.wav,x.rttm,monday\nother.wav,y.srt,\n")
    found = scan(table)
    assert {one.session for one in found.recordings} == {"monday", "other"}
    assert [(one.speaker, one.start, one.end) for one in found.recordings if one.session == "other"] == CUT
    annotate(meeting / "t.csv", "path,annotation\nmeeting.wav,x.doc\nmeeting.wav,z.rttm\n")
    with pytest.raises(UserError, match=r"line 2: x\.doc: found the ending \.doc.*\n.*line 3: z\.rttm: no such file"):
        scan(table)
    nemo = '{"audio_filepath": "meeting.wav", "label": "infer", "rttm_filepath": "x.rttm", "text": "-"}\n'
    assert len(scan(annotate(meeting / "nemo.json", nemo)).recordings) == 3


def test_options_are_used_or_refused(meeting: Path) -> None:
    annotate(meeting / "meeting.TextGrid", writing.textgrid(TURNS))
    annotate(meeting / "meeting.srt", writing.srt([(1.0, 9.0, "Zoe")]))
    assert cut(meeting, turns=TurnOptions(2.0)) == [
        ("Ann", 0.5, 1.75), ("Ann", 1.75, 3.0), ("Ann", 8.0, 9.5), ("Ben", 4.0, 5.75), ("Ben", 5.75, 7.5),
    ]  # fmt: skip
    assert cut(meeting, turns=TurnOptions(tiers=("Ben",))) == [("Ben", 4.0, 8.0)]
    assert cut(meeting, turns=TurnOptions(tiers=("Ben", "Ann"))) == CUT
    with pytest.raises(UserError, match="--tiers: found Bne, which no annotation has; expected some of Ann, Ben"):
        scan(meeting, turns=TurnOptions(tiers=("Ann", "Bne")))
    assert cut(meeting, "annotated:srt") == [("Zoe", 1.0, 9.0)]
    write_recording(meeting / "Zoe" / "a.wav", 1, 1000)
    with pytest.raises(UserError, match="layout folders: found options for annotated recordings"):
        scan(meeting, "folders", TurnOptions(2.0))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "meeting.rttm",
            writing.rttm([(9, 12, "Ann")]),
            r"line 1: end: found 12 s, expected at most 10\.00 s, the length",
        ),
        ("meeting.srt", "1\n00:00:01,000 --> 00:00:02,000\nhello\n", "found 1 turn without a speaker, expected turns"),
        (
            "meeting.TextGrid",
            writing.textgrid([(1, 2, "words")]),
            "found no turns, expected .* give every speaker a tier",
        ),
        ("meeting.eaf", "<ANNOTATION_DOCUMENT", "not complete XML"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(meeting: Path, name: str, text: str, problem: str) -> None:
    path = annotate(meeting / name, text)
    with pytest.raises(UserError, match=problem) as error:
        scan(meeting)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_speakers_folders_with_annotations_stay_folders(meeting: Path) -> None:
    for name in ("ann/1.wav", "ben/1.wav"):
        write_recording(meeting / name, 1, 1000)
    annotate(meeting / "ann" / "1.TextGrid", writing.textgrid([(0.1, 0.9, "words")]))
    (meeting / "meeting.wav").unlink()
    found = scan(meeting)
    assert found.layout == "folders"
    assert "skipped, an annotation; to use such files, add --layout annotated: ann/1.TextGrid" in found.remarks


def test_several_recordings_of_one_name_are_refused(meeting: Path) -> None:
    write_recording(meeting / "meeting.flac", 10, 1000)
    annotate(meeting / "meeting.rttm", writing.rttm(TURNS))
    with pytest.raises(
        UserError, match=r"found the recordings meeting\.flac and meeting\.wav, expected one called meeting"
    ):
        scan(meeting)


def test_an_annotation_ends_with_its_recording(meeting: Path) -> None:
    """Programs round times; half a second beyond the end is cut."""
    annotate(meeting / "meeting.rttm", writing.rttm([(0, 3, "Ben"), (8, 10.4, "Ann")]))
    assert cut(meeting) == [("Ann", 8.0, 10.0), ("Ben", 0.0, 3.0)]


def test_elan_may_begin_later_than_its_recording(meeting: Path) -> None:
    media = '<HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///c:/m/meeting.wav" TIME_ORIGIN="500"/></HEADER>'
    text = writing.elan([(0.5, 3.0, "Ann"), (4.0, 6.0, "Ben")])
    annotate(meeting / "notes.eaf", text.replace('<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>', media))
    assert cut(meeting, "annotated") == [("Ann", 1.0, 3.5), ("Ben", 4.5, 6.5)]


def test_a_segment_of_a_large_file_has_a_key_of_its_content(meeting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotate(meeting / "meeting.rttm", writing.rttm(TURNS))
    recordings = scan(meeting).recordings
    small = [recording_features.digest_of(one) for one in recordings]
    monkeypatch.setattr(recording_features, "LARGE", 0)
    large = [recording_features.digest_of(one) for one in recordings]
    assert large == [recording_features.digest_of(one) for one in recordings]
    content = bytearray((meeting / "meeting.wav").read_bytes())
    content[-1] ^= 1
    (meeting / "meeting.wav").write_bytes(content)
    changed = [recording_features.digest_of(one) for one in recordings]
    assert len({*small, *large, *changed}) == 3 * len(recordings)


def test_samples_of_the_turns_are_prepared(tmp_path: Path) -> None:
    """The frames of an utterance are those of its samples alone."""
    from speakerid.preparation.prepare import Options, prepare

    rate = 16_000
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal(20 * rate)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "m.wav", sound, rate, subtype="FLOAT")
    annotate(tmp_path / "in" / "m.vtt", writing.vtt([(1, 3, "Ann"), (4, 7, "Ben"), (8, 10, "Ann"), (11, 14, "Ben")]))
    prepared = prepare(tmp_path / "in", tmp_path / "out", Options(workers=0))
    assert sorted(utterance.length for utterance in prepared.corpus.labelled) == [201, 201, 301, 301]
    assert [finding.text for finding in prepared.findings if finding.kind == "annotations"] == ["left out: nothing"]
