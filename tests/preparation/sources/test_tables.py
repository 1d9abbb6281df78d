"""Read tables with segments, channels and columns of every kind with `scan`."""

import os
from pathlib import Path

import pytest

from corpora import write_recording
from speakerid.base.errors import UserError
from speakerid.preparation.sources.layouts import scan

Found = list[tuple[str, str, float | None, float | None, int | None]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.wav and b.wav of 20 s, stereo.wav of 2 s."""
    folder = tmp_path_factory.mktemp("tables")
    for name in ("a.wav", "b.wav"):
        write_recording(folder / name, 20, 8000)
    write_recording(folder / "stereo.wav", 2, 8000, channels=2)
    return folder


def read(folder: Path, text: str, encoding: str = "utf-8", name: str = "list.csv") -> tuple[Found, list[str]]:
    (folder / name).write_bytes(text.encode(encoding))
    found = scan(folder / name)
    return [(r.path.name, r.speaker, r.start, r.end, r.channel) for r in found.recordings], found.remarks


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("start,duration", "1.5,2"),
        ("start,dur", "1.5,2"),
        ("offset,duration", "1.5,2"),
        ("begin,length", "1.5,2"),
        ("onset,offset", "1.5,3.5"),
        ("from,to", "1.5,3.5"),
        ("startTime,endTime", "1.5,3.5"),
        ("start [s],end [s]", "1.5,3.5"),
        ("start_ms,end_ms", "1500,3500"),
        ("start,duration_ms", "1.5,2000"),
        ("start_sample,num_samples", "12000,16000"),
        ("frame_offset,num_frames", "12000,16000"),
        ("start_sample,end_sample,sample_rate", "24000,56000,16000"),
        ("start,end", "0:01.5,00:00:03.5"),
        ("start,end", '1.5 s,"00:00:03,500"'),
    ],
)
def test_a_segment_is_read_from_any_columns(folder: Path, header: str, cells: str) -> None:
    found, remarks = read(folder, f"path,speaker,{header}\na.wav,ann,{cells}\n")
    assert found == [("a.wav", "ann", 1.5, 3.5, None)]
    assert remarks == []


def test_decimal_commas_are_read_if_they_do_not_separate_fields(folder: Path) -> None:
    assert read(folder, "path;speaker;start;end\na.wav;ann;1,5;3,5\n")[0] == [("a.wav", "ann", 1.5, 3.5, None)]


def test_speechbrain_counts_samples(folder: Path) -> None:
    table = "ID, duration, wav, start, stop, spk_id\nu1, 20.0, $data_root/a.wav, 8000, 16000, ann\n"
    (folder / "train.csv").write_text(table)
    found = scan(folder / "train.csv")
    assert found.layout == "speechbrain"
    assert [(r.start, r.end) for r in found.recordings] == [(1.0, 2.0)]
    found, remarks = read(folder, "ID,duration,wav,start,stop,spk_id\nu1,1.5,a.wav,0.5,2,ann\n")
    assert found == [("a.wav", "ann", 0.5, 2.0, None)]
    assert "list.csv: start and stop are read as seconds" in remarks


def test_a_duration_without_a_start_may_be_that_of_the_file(folder: Path) -> None:
    rows = "a.wav,ann,20\nb.wav,ben,19.96\nstereo.wav,cleo,1\n"
    assert read(folder, f"path,speaker,duration\n{rows}")[0] == [
        ("a.wav", "ann", None, None, None),
        ("b.wav", "ben", None, None, None),
        ("stereo.wav", "cleo", 0.0, 1.0, None),
    ]
    _, remarks = read(folder, "path,speaker,duration\na.wav,ann,25\n")
    assert remarks == ["duration is longer than the file; the whole file is used: line 2"]


@pytest.mark.parametrize(
    ("start", "end", "unit"),
    [(8000, 16000, "milliseconds or samples"), (80_000, 120_000, "samples"), (800, 19_000, "milliseconds or samples")],
)
def test_times_in_another_unit_are_refused(folder: Path, start: int, end: int, unit: str) -> None:
    with pytest.raises(UserError, match=f"times look like {unit}: found {end} s in a.wav, which is 20.*start_ms"):
        read(folder, f"path,speaker,start,end\na.wav,ann,{start},{end}\nb.wav,ben,0,{start}\n")


@pytest.mark.parametrize(
    ("header", "cells", "problem"),
    [
        ("start,duration", "1,0", "duration: found 0, expected more than 0"),
        ("start,duration", "1,-1", "duration: found '-1', expected seconds"),
        ("start,end", "3,2", "end: found 2, expected more than the start, 3 seconds"),
        ("start,end", "one,2", "start: found 'one', expected seconds such as 12.5 or 1:05.5"),
        ("start_ms,end_ms", "a,2", "start: found 'a', expected milliseconds"),
    ],
)
def test_impossible_times_are_refused_by_line(folder: Path, header: str, cells: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"line 2: {problem}"):
        read(folder, f"path,speaker,{header}\na.wav,ann,{cells}\n")


@pytest.mark.parametrize(
    ("one", "two"), [("1", "2"), ("A", "B"), ("left", "right"), ("0", "1"), ("ch1", "ch2"), ("1.0", "2.0")]
)
def test_channels_of_one_file_are_different_utterances(folder: Path, one: str, two: str) -> None:
    found, remarks = read(folder, f"path,speaker,channel\nstereo.wav,ann,{one}\nstereo.wav,ben,{two}\n")
    assert found == [("stereo.wav", "ann", None, None, 0), ("stereo.wav", "ben", None, None, 1)]
    assert remarks == [f"list.csv: channels are read one by one; {one} is the first of a file's channels"]
    assert [r.name for r in scan(folder / "list.csv").recordings] == ["stereo.wav#ch1", "stereo.wav#ch2"]


def test_a_channel_that_names_a_device_is_not_read_with_a_note(folder: Path) -> None:
    found, remarks = read(folder, "path,speaker,channel\na.wav,ann,phone\nb.wav,ben,desk\n")
    assert [row[-1] for row in found] == [None, None]
    assert remarks == ["list.csv: column channel is not read: desk, phone is not a channel such as 1 or A"]
    with pytest.raises(UserError, match="line 3: channel: found 'desk', expected 1, 2, A, B"):
        read(folder, "path,speaker,channel\na.wav,ann,1\nb.wav,ben,desk\n")


def test_rows_that_contradict_name_a_channel_column_that_is_not_read(folder: Path) -> None:
    with pytest.raises(UserError, match=r"line 3: stereo\.wav: .*columns that are not read: channel$"):
        read(folder, "path,speaker,channel\nstereo.wav,ann,caller\nstereo.wav,ben,callee\n")


def test_the_used_one_of_two_columns_for_one_time_is_reported(folder: Path) -> None:
    found, remarks = read(folder, "path,speaker,start,start_ms,end\na.wav,ann,1,500,2\nb.wav,ben,,500,2\n")
    assert [row[2] for row in found] == [1.0, 0.5]
    assert remarks == ["list.csv: start is used, or start_ms if it is empty"]


def test_every_column_that_is_not_read_is_reported_once(folder: Path) -> None:
    _, remarks = read(folder, "path,speaker,text,t0,spk_id\na.wav,ann,hi,1,7\nb.wav,ben,ho,2,8\n")
    assert remarks == ["list.csv: columns not read: text, t0, spk_id (read: path, speaker)"]


def test_repeated_rows_count_once_and_contradictions_are_refused(folder: Path) -> None:
    found, remarks = read(folder, "path,speaker\na.wav,ann\n./a.wav,ann\nb.wav,ben\n")
    assert len(found) == 2
    assert remarks == ["the same segment as an earlier row, used once: line 3 (a.wav)"]
    with pytest.raises(UserError) as error:
        read(folder, "path,speaker,t0\na.wav,ann,0\na.wav,ben,2\n")
    assert "delete" not in str(error.value)
    assert "line 3: a.wav: found speaker ben here, but ann in line 2" in str(error.value)
    assert "columns that are not read: t0" in str(error.value)


def test_overlapping_speech_of_two_speakers_is_doubted(folder: Path) -> None:
    _, remarks = read(folder, "path,speaker,start\na.wav,ann,0.5\na.wav,ben,3\n")
    assert remarks == ["overlaps the speech of another speaker in the same file: a.wav#0.5-"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path\tspeaker\r\na.wav\tJürgen\r\n", "utf-16"),
        ("path,speaker\na.wav,Jürgen\n", "utf-16-le"),
        ("sep=;\r\npath;speaker\r\na.wav;Jürgen\r\n", "utf-8-sig"),
        ("#path,speaker,\na.wav,Jürgen,\n", "utf-8"),
        ("path,speaker\na.wav,Jürgen,,\n", "utf-8"),
        ("path speaker\na.wav Jürgen\n", "utf-8"),
        ('path\tspeaker\ttext\na.wav\tJürgen\t"Ah\n', "utf-8"),
        ('path, speaker, text\na.wav, Jürgen, "say ""Ah"", please"\n', "utf-8"),
        ("audio_filepath|label\nfile://FOLDER/a.wav|Jürgen\n", "utf-8"),
    ],
)
def test_tables_as_programs_save_them(folder: Path, text: str, encoding: str) -> None:
    found, _ = read(folder, text.replace("FOLDER", str(folder)), encoding)
    assert [row[:2] for row in found] == [("a.wav", "Jürgen")]


def test_a_quotation_mark_that_opens_and_never_closes_swallows_no_rows(folder: Path) -> None:
    found, _ = read(folder, 'path,speaker,text\na.wav,ann,"Ah\nb.wav,ben,oh\n')
    assert len(found) == 2
    with pytest.raises(UserError, match=r"line 2: cannot be read: .*double the quotation marks"):
        read(folder, 'path,speaker,text\na.wav,ann,"Ah" he, said\nb.wav,ben,oh\n')


def test_two_columns_of_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"list\.csv: first line: found several columns called speaker"):
        read(folder, "path,speaker,Speaker\na.wav,ann,ben\n")


def test_paths_are_found_from_the_table_the_current_folder_or_the_folders_above(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lists").mkdir(exist_ok=True)
    (folder / "lists" / "list.csv").write_text("path,speaker\na.wav,ann\n")
    found = scan(folder / "lists" / "list.csv")
    assert found.recordings[0].path == folder / "a.wav"
    assert found.remarks == [f"paths in list.csv are read from {folder}"]
    (tmp_path / "list.csv").write_text("path,speaker\n.\\sub\\..\\b.wav,ann\n")
    monkeypatch.chdir(folder)
    assert scan(tmp_path / "list.csv").recordings[0].path == folder / "b.wav"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("https://example.org/a.wav", "found a URL, expected a file; download it first"),
        ("$HOME/gone.wav", "no such file, .*replace the variable by the folder"),
        ("pipe.wav", "found a named pipe, expected a file"),
        ("/dev/null", "found the ending none"),
        ("folder.wav", "found a folder, expected a file"),
    ],
)
def test_paths_without_a_file_are_refused(tmp_path: Path, path: str, problem: str) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(UserError, match=f"line 2: .*{problem}"):
        read(tmp_path, f"path,speaker\n{path},ann\n")


def test_placeholder_names_and_names_that_look_alike_are_doubted(folder: Path) -> None:
    _, remarks = read(folder, "path,speaker\na.wav,unknown\nb.wav,Ann Lee\nstereo.wav,ann_lee\n")
    assert remarks == [
        "counted as 2 speakers, although the names look alike: Ann Lee, ann_lee",
        "unknown is read as one speaker; if it means unknown people, leave them out",
    ]


def test_composed_and_decomposed_letters_are_one_speaker(folder: Path) -> None:
    recordings, remarks = read(folder, "path,speaker\na.wav,Jürgen\nb.wav,Ju\u0308rgen\na.wav,Ju\u0308rgen\n")
    assert [recording[1] for recording in recordings] == ["Jürgen", "Jürgen"]
    assert len(remarks) == 1
    assert remarks[0].startswith("the same segment as an earlier row")


def test_numbers_in_several_forms_look_alike(folder: Path) -> None:
    _, remarks = read(folder, "path,speaker\na.wav,7\nb.wav,7.0\nstereo.wav,07\n")
    assert remarks == ["counted as 3 speakers, although the names look alike: 07, 7, 7.0"]
