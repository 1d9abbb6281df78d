import csv
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from speakerid.audio.decode import EXTENSIONS
from speakerid.base.errors import CorpusError, UserError
from speakerid.preparation.sources.layouts import LAYOUTS, scan
from speakerid.preparation.sources.recordings import Recording

SHARED = Path(__file__).resolve().parents[4] / "shared" / "voices"

TREES = {
    "librispeech": [
        ("LibriSpeech/dev-clean/84/121123/84-121123-0000.flac", "84", "121123"),
        ("LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", "84", "121123"),
        ("LibriSpeech/train-clean-100/84/121550/84-121550-0000.flac", "84", "121550"),
        ("LibriSpeech/dev-clean/174/50561/174-50561-0000.flac", "174", "50561"),
    ],
    "vctk": [
        ("VCTK-Corpus-0.92/wav48_silence_trimmed/p225/p225_001_mic1.flac", "p225", None),
        ("VCTK-Corpus-0.92/wav48_silence_trimmed/p225/p225_002_mic1.flac", "p225", None),
        ("VCTK-Corpus-0.92/wav48_silence_trimmed/s5/s5_001_mic1.flac", "s5", None),
    ],
    "voxceleb": [
        ("wav/id10270/5r0dWxy17C8/00001.wav", "id10270", "5r0dWxy17C8"),
        ("wav/id10270/5r0dWxy17C8/00002.wav", "id10270", "5r0dWxy17C8"),
        ("dev/wav/id10271/-_x/00001.wav", "id10271", "-_x"),
    ],
    "cmuarctic": [
        ("ARCTIC/cmu_us_awb_arctic/wav/arctic_a0001.wav", "awb", None),
        ("ARCTIC/cmu_us_awb_arctic/wav/arctic_b0001.wav", "awb", None),
        ("ARCTIC/cmu_us_slt_arctic-0.95-release/wav/arctic_a0001.wav", "slt", None),
    ],
    "folders": [
        ("ann/2019/z.wav", "ann", "2019"),
        ("ann/2020/x.ogg", "ann", "2020"),
        ("ann/2020/tape 1/y.mp3", "ann", "2020/tape 1"),
        ("Jürgen Müller/grüße & mehr.flac", "Jürgen Müller", None),
        ("王/録音.wav", "王", None),
    ],
}  # fmt: skip


def touch(source: Path, *names: str) -> None:
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()


def names(recordings: Sequence[Recording]) -> list[str]:
    return [recording.name for recording in recordings]


def write_table(path: Path, *rows: Sequence[object], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def write_common_voice(root: Path, **tables: Sequence[tuple[str, str]]) -> None:
    """Write clips, and tables of (client, clip) rows; sentences have unpaired quotes, like real ones."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        lines = ["client_id\tpath\tsentence\tup_votes", *(f'{client}\t{clip}\t"Ah\t2' for client, clip in rows)]
        (root / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        touch(root / "clips", *(clip for _, clip in rows))


@pytest.mark.parametrize("how", ["auto", "named"])
@pytest.mark.parametrize("layout", TREES)
def test_trees_are_detected(tmp_path: Path, layout: str, how: str) -> None:
    touch(tmp_path, *(name for name, *_ in TREES[layout]))
    found = scan(tmp_path, "auto" if how == "auto" else layout)
    assert found.layout == layout
    assert found.remarks == []
    assert {(r.name, r.speaker, r.session) for r in found.recordings} == set(TREES[layout])
    assert all(r.path == tmp_path / r.name and r.start is None and r.end is None for r in found.recordings)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("layout", ["librispeech", "vctk", "voxceleb", "cmuarctic"])
def test_what_lies_above_the_speakers_does_not_matter(tmp_path: Path, layout: str, depth: int) -> None:
    for name, *_ in TREES[layout]:
        parts = Path(name).parts
        deepest = next(index for index, part in enumerate(parts) if part[0] in "0123456789" or part[:2] in (
            "p2", "s5", "id", "cm"))  # fmt: skip
        touch(tmp_path, "/".join(["above"] * (depth - 1) + list(parts[deepest:])))
    found = scan(tmp_path)
    assert found.layout == layout
    assert sorted(r.speaker for r in found.recordings) == sorted(speaker for _, speaker, _ in TREES[layout])


def test_hw4_is_detected_and_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "metadata.json", "uttr-0.pt")
    assert (scan(tmp_path).layout, scan(tmp_path, "hw4").recordings) == ("hw4", [])
    touch(tmp_path, "ann/a.wav")
    assert scan(tmp_path, "folders").layout == "folders"


def test_librispeech_with_underscores_is_libritts(tmp_path: Path) -> None:
    touch(tmp_path, "LibriTTS/dev-clean/84/121123/84_121123_000001_000000.wav")
    found = scan(tmp_path)
    assert found.layout == "librispeech"
    assert (found.recordings[0].speaker, found.recordings[0].session) == ("84", "121123")


def test_vctk_takes_one_microphone(tmp_path: Path) -> None:
    folder = "wav48_silence_trimmed/p225/p225"
    touch(tmp_path, *(f"{folder}_{n}_mic{mic}.flac" for n in ("001", "002", "003") for mic in (1, 2)))
    touch(tmp_path, f"{folder}_004_mic2.flac", "wav48/p226/p226_001.wav")
    found = scan(tmp_path)
    # If the first microphone failed, there is only the second one.
    assert names(found.recordings) == [
        f"{folder}_001_mic1.flac", f"{folder}_002_mic1.flac", f"{folder}_003_mic1.flac", f"{folder}_004_mic2.flac",
        "wav48/p226/p226_001.wav",
    ]  # fmt: skip
    assert len(found.remarks) == 1
    assert "the same utterance from another microphone" in found.remarks[0]
    assert all(f"p225_00{n}_mic2.flac" in found.remarks[0] for n in (1, 2, 3))


def test_remarks_count_and_name_the_first(tmp_path: Path) -> None:
    touch(tmp_path, *(f"p225/p225_{n:03}_mic{mic}.flac" for n in range(12) for mic in (1, 2)))
    assert scan(tmp_path).remarks[0].endswith("p225_002_mic2.flac and 9 more")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("wav/id10270/x/00001.wav", "aac/id10270/x/00001.ogg"),
        ("dev/wav/id10270/x/00001.wav", "wav/id10270/x/00001.wav"),
        ("cmu_us_awb_arctic/wav/arctic_a0001.wav", "cmu_us_awb_arctic/orig/arctic_a0001.wav"),
        ("dev-clean/1/2/1-2-0000.flac", "dev-wav/1/2/1-2-0000.wav"),
    ],
)
def test_an_utterance_in_two_folders_counts_once(tmp_path: Path, better: str, worse: str) -> None:
    touch(tmp_path, better, worse)
    found = scan(tmp_path)
    assert names(found.recordings) == [better]
    assert worse in found.remarks[0]


@pytest.mark.skipif(".m4a" not in EXTENSIONS, reason="m4a is not read here")
def test_voxceleb2_is_m4a(tmp_path: Path) -> None:
    touch(tmp_path, "dev/aac/id00012/21Uxsk56VDQ/00001.m4a")
    assert scan(tmp_path).layout == "voxceleb"


def test_utterances_of_different_videos_are_different(tmp_path: Path) -> None:
    touch(tmp_path, *(f"id1000{s}/video{v}/0000{u}.wav" for s in range(2) for v in range(2) for u in range(2)))
    assert len(scan(tmp_path).recordings) == 8


def test_common_voice_uses_validated(tmp_path: Path) -> None:
    write_common_voice(tmp_path, validated=[("c2", "b.mp3"), ("c1", "a.mp3")], train=[("c1", "a.mp3")])
    write_common_voice(tmp_path, other=[("c3", "unheard.mp3")])
    found = scan(tmp_path)
    assert found.layout == "commonvoice"
    assert [(r.name, r.speaker, r.session) for r in found.recordings] == [
        ("clips/a.mp3", "c1", None), ("clips/b.mp3", "c2", None),
    ]  # fmt: skip
    assert found.remarks == ["skipped, in no line of validated.tsv: clips/unheard.mp3"]


def test_common_voice_without_validated_joins_the_splits(tmp_path: Path) -> None:
    write_common_voice(tmp_path / "cv/en", train=[("c1", "a.mp3"), ("c1", "b.mp3")], dev=[("c2", "c.mp3")])
    write_common_voice(tmp_path / "cv/en", test=[("c2", "c.mp3"), ("c1", "b.mp3")])
    write_common_voice(tmp_path / "cv/de", test=[("c1", "a.mp3")])
    assert names(scan(tmp_path).recordings) == [
        "cv/de/clips/a.mp3", "cv/en/clips/a.mp3", "cv/en/clips/b.mp3", "cv/en/clips/c.mp3",
    ]  # fmt: skip


def test_common_voice_clips_that_are_missing_are_a_remark(tmp_path: Path) -> None:
    write_common_voice(tmp_path, validated=[("c1", f"{n}.mp3") for n in range(5)])
    (tmp_path / "clips/3.mp3").unlink()
    touch(tmp_path, "elsewhere/x.wav")
    found = scan(tmp_path)
    assert len(found.recordings) == 4
    assert found.remarks == [
        "skipped, in validated.tsv, but not in clips: 3.mp3",
        "skipped, not in layout commonvoice: elsewhere/x.wav",
    ]


def test_common_voice_by_one_table(tmp_path: Path) -> None:
    write_common_voice(tmp_path, validated=[("c1", "a.mp3")], other=[("c2", "b.mp3")])
    found = scan(tmp_path / "other.tsv")
    assert (found.layout, names(found.recordings)) == ("commonvoice", ["clips/b.mp3"])


def test_common_voice_table_cut_short_is_refused(tmp_path: Path) -> None:
    write_common_voice(tmp_path, validated=[("c1", "a.mp3")])
    with (tmp_path / "validated.tsv").open("a") as table:
        table.write("c1")
    with pytest.raises(CorpusError, match="line 3: no client_id or path"):
        scan(tmp_path)


def test_numbers_are_ordered_by_value(tmp_path: Path) -> None:
    ordered = [
        "a/7.wav", "a/take1b.wav", "a/take2.wav", "a/take10.wav", "a/2/1.wav", "a/2/b/1.wav", "a/10/1.wav",
        "a b/1.wav", "s2/01/x.wav", "s2/01/y.wav", "s2/1/a.wav", "s10/1.wav",
    ]  # fmt: skip
    touch(tmp_path, *reversed(ordered))
    assert names(scan(tmp_path).recordings) == ordered


def test_order_is_not_that_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "ann/1.wav", "ann/01.wav", "ann/001.wav", "1/a.wav", "01/b.wav", "01/c.wav")
    found = scan(tmp_path)

    class Backwards:
        def __init__(self, path: str) -> None:
            self.entries = scandir(path)

        def __enter__(self) -> "list[os.DirEntry[str]]":
            return sorted(self.entries, key=lambda entry: entry.name, reverse=True)

        def __exit__(self, *_: object) -> None:
            self.entries.close()

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", Backwards)
    assert scan(tmp_path) == found


def test_everything_else_is_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "ann/a.WAV", "ann/b.Flac", "ann/notes.txt", "ann/wav", "ann/c.wav.part", "README.md")
    touch(tmp_path, "ann/._a.wav", "ann/.DS_Store", ".git/x/y.wav", "ann/.trash/b.wav")
    (tmp_path / "ann" / "folder.wav").mkdir()
    (tmp_path / "ben").mkdir()
    found = scan(tmp_path)
    assert names(found.recordings) == ["ann/a.WAV", "ann/b.Flac"]
    hidden_or_not = "\n".join(found.remarks)
    assert "skipped, a folder without recordings: ben" in hidden_or_not
    assert all(ending in hidden_or_not for ending in ("1 .txt", "1 .md", "1 .part", "1 .(none)"))
    assert not any(name in hidden_or_not for name in ("._a", "DS_Store", ".git", ".trash"))


def test_loose_recordings_next_to_speakers_are_a_remark(tmp_path: Path) -> None:
    touch(tmp_path, "loose.wav", *(f"ann/{n}.wav" for n in range(20)))
    assert scan(tmp_path).remarks == ["skipped, not in layout folders: loose.wav"]


@pytest.mark.parametrize("content", [[], ["loose.wav"], ["ann/notes.txt"]])
@pytest.mark.parametrize("layout", ["auto", "folders", "librispeech", "commonvoice"])
def test_folder_without_speakers_says_what_is_expected(tmp_path: Path, content: list[str], layout: str) -> None:
    touch(tmp_path, *content)
    with pytest.raises(UserError) as error:
        scan(tmp_path, layout)
    used = "folders" if layout == "auto" else layout
    line = str(error.value)
    assert line.startswith(f"{tmp_path}: no recordings in layout {used}; expected {LAYOUTS[used]}, ending in .")
    assert "\n" not in line
    assert "loose.wav" in line or content != ["loose.wav"]
    assert ".txt" in line or content != ["ann/notes.txt"]


def test_a_single_speaker_is_doubted(tmp_path: Path) -> None:
    touch(tmp_path, "mine/ann/a.wav", "mine/ben/b.wav")
    assert scan(tmp_path).remarks == [
        "only one speaker; if the folders in mine are the speakers, use --layout folders:2"
    ]
    assert {recording.speaker for recording in scan(tmp_path, "folders:2").recordings} == {"ann", "ben"}


def test_names_that_look_alike_are_doubted(tmp_path: Path) -> None:
    touch(tmp_path, "Jürgen/a.wav", "ann/a.wav", "Ann/a.wav", "ben/a.wav")
    found = scan(tmp_path)
    speakers = {recording.speaker for recording in found.recordings}
    if len(speakers) < 4:
        pytest.skip("this file system takes these names for the same")
    assert len(found.remarks) == 1
    assert "counted as 2 speakers, although the names look alike: Ann, ann" in found.remarks


@pytest.mark.parametrize("where", ["{}/{}/a.wav", "train/{}/{}/a.wav"])
def test_composed_and_decomposed_letters_are_one_name(tmp_path: Path, where: str) -> None:
    """macOS decomposes letters, so a corpus copied from two machines has both forms."""
    other = where.replace("a.wav", "b.wav").format("Ju\u0308rgen", "fru\u0308h")
    touch(tmp_path, where.format("Jürgen", "früh"), other, where.format("ben", "1"))
    found = scan(tmp_path)
    assert {(recording.speaker, recording.session) for recording in found.recordings} == {
        ("Jürgen", "früh"), ("ben", "1")
    }  # fmt: skip
    assert (tmp_path / other).exists()
    assert {recording.path for recording in found.recordings} >= {tmp_path / other}  # paths stay as they are
    assert not any("alike" in remark for remark in found.remarks)


def test_a_table_among_the_folders_is_reported(tmp_path: Path) -> None:
    touch(tmp_path, "wavs/1.wav", "wavs/2.wav")
    write_table(tmp_path / "list.csv", ["File Name", "Speaker ID"], ["wavs/1.wav", "ann"])
    write_table(tmp_path / "prices.csv", ["apples", "pears"])
    pointers = [remark for remark in scan(tmp_path).remarks if "table" in remark]
    assert pointers == [f"{tmp_path}/list.csv is a table of recordings; to use it, prepare that file"]


def test_a_table_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "ann/1.wav", "ben/2.wav")
    (tmp_path / "old.csv").write_bytes("Pfad,Größe\n".encode("latin-1"))
    found = scan(tmp_path)
    assert len(found.recordings) == 2
    assert found.remarks[0].startswith(f"skipped, {tmp_path}/old.csv: not UTF-8 text")


def test_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}/nowhere: no such folder or table; expected"):
        scan(tmp_path / "nowhere")


def test_unknown_layout_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^layout 'libri': unknown; expected auto, .*") as error:
        scan(tmp_path, "libri")
    assert all(layout in str(error.value) for layout in LAYOUTS)


@pytest.mark.parametrize("layout", ["librispeech", "vctk", "voxceleb", "cmuarctic", "commonvoice", "table", "hw4"])
def test_layout_that_does_not_fit_says_what_was_found(tmp_path: Path, layout: str) -> None:
    touch(tmp_path, "ann/1.wav", "ben/2.wav")
    with pytest.raises(UserError) as error:
        scan(tmp_path, layout)
    assert LAYOUTS[layout] in str(error.value)
    assert "ann/1.wav" in str(error.value) or layout in ("table", "hw4")


def test_a_few_strays_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, *(f"84/1/84-1-{n:04}.flac" for n in range(30)), "extras/ann/greeting.wav")
    found = scan(tmp_path)
    assert (found.layout, len(found.recordings)) == ("librispeech", 30)
    assert found.remarks == ["skipped, not in layout librispeech: extras/ann/greeting.wav"]


def test_a_mixed_tree_is_refused_unless_a_layout_is_given(tmp_path: Path) -> None:
    touch(tmp_path, *(name for name, *_ in TREES["librispeech"]), "mine/ann/a.wav", "mine/ben/b.wav")
    with pytest.raises(UserError, match=r"several layouts: 67% .* librispeech, but not mine/ann/a\.wav; prep"):
        scan(tmp_path)
    assert len(scan(tmp_path, "librispeech").recordings) == 4
    assert {recording.speaker for recording in scan(tmp_path, "folders").recordings} == {"LibriSpeech", "mine"}


def test_a_few_files_of_a_known_corpus_do_not_decide_the_layout(tmp_path: Path) -> None:
    touch(tmp_path, *(f"ann/{n}.wav" for n in range(30)), "84/1/84-1-0000.flac")
    found = scan(tmp_path)
    assert (found.layout, len(found.recordings)) == ("folders", 31)


def test_links_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.wav", "elsewhere/inner/2.wav", "one.wav")
    (tmp_path / "source" / "ann").mkdir(parents=True)
    (tmp_path / "source" / "ann" / "a.wav").symlink_to(tmp_path / "one.wav")
    (tmp_path / "source" / "ben").symlink_to(tmp_path / "elsewhere")
    found = scan(tmp_path / "source")
    assert names(found.recordings) == ["ann/a.wav", "ben/1.wav", "ben/inner/2.wav"]
    assert found.remarks == []


def test_source_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "real/ann/a.wav")
    (tmp_path / "link").symlink_to("real")
    assert names(scan(tmp_path / "link").recordings) == ["ann/a.wav"]


@pytest.mark.parametrize("target", [".", "..", "/", "../..", "../ann"])
def test_cycles_end(tmp_path: Path, target: str) -> None:
    touch(tmp_path, "source/ann/a.wav")
    (tmp_path / "source" / "ann" / "again").symlink_to(target)
    found = scan(tmp_path / "source")
    assert names(found.recordings) == ["ann/a.wav"]
    assert found.remarks == ["skipped, link to a folder that contains it: ann/again"]


def test_links_to_each_other_end(tmp_path: Path) -> None:
    speakers = [f"s{n}" for n in range(6)]
    touch(tmp_path, *(f"{speaker}/a.wav" for speaker in speakers))
    for speaker in speakers:
        for other in set(speakers) - {speaker}:
            (tmp_path / speaker / f"to {other}").symlink_to(tmp_path / other)
    found = scan(tmp_path)
    assert {f"{speaker}/a.wav" for speaker in speakers} <= set(names(found.recordings))
    assert len(found.recordings) <= 12


def test_broken_links_and_odd_files_are_remarks(tmp_path: Path) -> None:
    touch(tmp_path, "ann/a.wav")
    (tmp_path / "ann" / "b.wav").symlink_to("gone.wav")
    (tmp_path / "ann" / "c.wav").symlink_to("c.wav")
    (tmp_path / "ben").symlink_to("/gone/away")
    os.mkfifo(tmp_path / "ann" / "pipe.wav")
    found = scan(tmp_path)
    assert names(found.recordings) == ["ann/a.wav"]
    assert "skipped, broken link: ben, ann/b.wav" in found.remarks
    assert "skipped, not a file but a named pipe: ann/pipe.wav" in found.remarks
    assert any(remark.startswith("skipped, cannot be read") and "c.wav" in remark for remark in found.remarks)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_closed_folders_are_remarks(tmp_path: Path) -> None:
    touch(tmp_path, "ann/a.wav", "ben/b.wav")
    (tmp_path / "ben").chmod(0)
    try:
        found = scan(tmp_path)
    finally:
        (tmp_path / "ben").chmod(0o700)
    assert names(found.recordings) == ["ann/a.wav"]
    assert found.remarks == ["skipped, cannot be read (Permission denied): ben"]


def test_folders_that_cannot_be_listed_are_remarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "ann/a.wav", "ben/b.wav")
    scandir = os.scandir

    def closed(path: str) -> object:
        if path.endswith("ben"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = scan(tmp_path)
    assert names(found.recordings) == ["ann/a.wav"]
    assert "skipped, cannot be read (Permission denied): ben" in found.remarks


FILE_NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..") and not name.startswith(b".")
)


@given(st.sets(st.tuples(FILE_NAMES, FILE_NAMES), min_size=1, max_size=8))
@example({(b"\xc2\x85", b"a"), (b"\x85", b"a"), (b"\\x85", b"a"), (b"\\\\x85", b"a"), (rb"\udc85", b"a")})
@example({(b"ann", b"a\n"), (b"ann", rb"a\n"), (b"ann", b"a#1-2"), (b"an\xe2\x80\x8bn", b"a")})
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_printable_and_unique(
    tmp_path_factory: pytest.TempPathFactory, pairs: set[tuple[bytes, bytes]]
) -> None:
    source = tmp_path_factory.mktemp("source")
    for speaker, file in pairs:
        folder = os.path.join(os.fsencode(source), speaker)
        try:
            os.makedirs(folder, exist_ok=True)
            os.close(os.open(os.path.join(folder, file + b".wav"), os.O_CREAT))
        except OSError:
            assume(False)  # this file system takes Unicode names only
    found = scan(source, "folders")
    assert len(found.recordings) == len(set(names(found.recordings))) == len(pairs)
    assert len({recording.speaker for recording in found.recordings}) == len({speaker for speaker, _ in pairs})
    for recording in found.recordings:
        assert recording.path.is_file()
        assert (recording.name + recording.speaker).isprintable()
    assert all(remark.isprintable() for remark in found.remarks)


def test_numbers_of_any_script_and_length_are_valid_names(tmp_path: Path) -> None:
    touch(tmp_path, "١٢/a.wav", "１２/a.wav", "²/a.wav", "12/a.wav", "9" * 200 + "/a.wav", "x/a.wav")
    assert len(scan(tmp_path, "folders").recordings) == 6


def test_table_with_everything(tmp_path: Path) -> None:
    touch(tmp_path, "audio/long.wav", "audio/b.flac", "elsewhere/c.mp3")
    (tmp_path / "lists").mkdir()
    table = write_table(
        tmp_path / "lists" / "all.csv",
        ["Path", "text", "Speaker", "SESSION", "Start", "End"],
        ["../audio/long.wav", "hello", "ann", "monday", "1.25", "2.5"],
        ["../audio/./long.wav", "again", "ann", "monday", "10", "12.0"],
        ["../audio/long.wav", "last", "ben", "", "30", ""],
        [],
        ["../audio/b.flac", "line\nbreak", " ben ", "", "", ""],
        [tmp_path / "elsewhere/c.mp3", "", "ben", "", "0", ""],
    )
    assert scan(table).layout == "table"
    found = [(r.name, r.speaker, r.session, r.start, r.end) for r in scan(table).recordings]
    assert found == [
        ("../audio/long.wav#1.25-2.5", "ann", "monday", 1.25, 2.5),
        ("../audio/long.wav#10-12", "ann", "monday", 10.0, 12.0),
        ("../audio/b.flac", "ben", None, None, None),
        ("../elsewhere/c.mp3", "ben", None, None, None),
        ("../audio/long.wav#30-", "ben", None, 30.0, None),
    ]
    assert all(recording.path.is_file() for recording in scan(table).recordings)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "header", [("file", "speaker_id"), ("Filename", "SPK"), ("audio path", "client-id"), ("WAV", "Speaker Name")]
)
def test_synonyms_delimiters_and_marks(tmp_path: Path, delimiter: str, mark: str, header: tuple[str, str]) -> None:
    touch(tmp_path, "a.wav")
    table = tmp_path / ("list.tsv" if delimiter == "\t" else "list.csv")
    table.write_text(f"{mark}{delimiter.join(header)}\r\na.wav{delimiter}ann\r\n", encoding="utf-8")
    assert scan(table).recordings == [Recording(tmp_path / "a.wav", "a.wav", "ann", None)]


def test_every_bad_row_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "notes.txt")
    rows = [
        (["a.wav", "ann", "", ""], None),
        (["", "ann", "", ""], "no path"),
        (["b.wav", " ", "", ""], "no speaker"),
        (["gone.wav", "ann", "", ""], f"gone.wav: no such file, looked for in {tmp_path}/"),
        (["x\\a.wav", "ann", "", ""], "write / between folders"),
        (["notes.txt", "ann", "", ""], "notes.txt: found the ending .txt, expected one such as .wav, .flac, .mp3"),
        (["b.wav", "ann", "1,5", ""], "start: found '1,5', expected seconds"),
        (["b.wav", "ann", "-1", ""], "start: found '-1'"),
        (["b.wav", "ann", "nan", ""], "start: found 'nan'"),
        (["b.wav", "ann", "", "inf"], "end: found 'inf'"),
        (["b.wav", "ann", "3", "3"], "end: found 3, expected more than the start, 3 seconds"),
        (["b.wav", "ann", "", "0"], "end: found 0"),
        (["./a.wav", "ben", "0", ""], "a.wav: found speaker ben here, but ann in line 2"),
        (["b.wav", "ann", "1", "2", "?"], "found 5 fields, expected 4"),
        (["b.wav", "ann"], None),
    ]
    table = write_table(tmp_path / "list.csv", ["path", "speaker", "start", "end"], *(row for row, _ in rows))
    with pytest.raises(CorpusError) as error:
        scan(table)
    expected = [(line, problem) for line, (_, problem) in enumerate(rows, start=2) if problem]
    assert len(error.value.problems) == len(expected)
    for found, (line, problem) in zip(error.value.problems, expected, strict=True):
        assert found.startswith(f"line {line}: ")
        assert problem in found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first line: found nothing; expected a CSV or TSV file with the columns path, speaker"),
        (b"a.wav,ann\n", "first line: found a.wav, ann; expected .*; this looks like data: add a first line"),
        (b"path,session\na.wav,x\n", "first line: found path, session; expected"),
        (b"path,speaker\n", "no recordings in layout table"),
        ("path,speaker\na.wav,Jürgen\n".encode("latin-1"), "not UTF-8 text; save the table as UTF-8"),
        (b"path,speaker\n" + b"a" * 200_000 + b",ann\n", "line 2: cannot be read: field larger than"),
    ],
)
def test_files_that_are_not_tables_are_reported(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"^{tmp_path}/list.csv: {reason}"):
        scan(tmp_path / "list.csv")


@pytest.mark.parametrize("name", ["a.wav", "corpus.tar.gz"])
def test_other_files_are_refused_as_source(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    with pytest.raises(UserError, match=r"found a file; expected a CSV or TSV file .*, or a folder; unpack"):
        scan(tmp_path / name)
    with pytest.raises(UserError, match=r"found a file; expected SPEAKER/"):
        scan(tmp_path / name, "folders")


STRETCHES = st.one_of(st.none(), st.floats(0, 1e6, allow_subnormal=False))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)


@given(
    st.lists(st.tuples(st.integers(0, 3), TEXT, st.one_of(st.just(""), TEXT), STRETCHES, STRETCHES), max_size=12),
    st.sampled_from([",", ";", "|"]),
)
@settings(deadline=None, max_examples=100)
def test_any_table_is_read_whole_or_refused_line_by_line(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str, str, float | None, float | None]],
    delimiter: str,
) -> None:
    source = tmp_path_factory.mktemp("source")
    touch(source, *(f"{number}.wav" for number in range(4)))
    segments = [(number, start or 0.0, end) for number, _, _, start, end in rows]
    wrong = [n for n, (_, start, end) in enumerate(segments) if end is not None and end <= start]
    sound = [(segment, rows[n][1].strip()) for n, segment in enumerate(segments) if n not in wrong]
    first = dict(reversed(sound))  # by segment; a row of another speaker is wrong, one of the same speaker counts once
    contested = sum(first[segment] != speaker for segment, speaker in sound)
    table = write_table(
        source / "list.csv",
        ["path", "speaker", "session", "start", "end"],
        *([f"{number}.wav", *rest] for number, *rest in rows),
        delimiter=delimiter,
    )
    if wrong or contested or not rows:
        with pytest.raises(UserError) as error:
            scan(table)
        if isinstance(error.value, CorpusError):
            assert len(error.value.problems) == len(wrong) + contested
        return
    found = scan(table).recordings
    assert len(set(names(found))) == len(found) == len(set(segments))
    assert {(int(r.path.stem), r.start or 0.0, r.end) for r in found} == set(segments)
    assert all((r.name + r.speaker + (r.session or "")).isprintable() for r in found)
    assert len({r.speaker for r in found}) == len({speaker.strip() for _, speaker, *_ in rows})
    by_file = [[r.start or 0.0 for r in found if (r.path.stem, r.speaker, r.session) == key]
               for key in {(r.path.stem, r.speaker, r.session) for r in found}]  # fmt: skip
    assert all(starts == sorted(starts) for starts in by_file)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=100)
def test_any_bytes_are_a_table_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    table = tmp_path_factory.mktemp("source") / "list.csv"
    for head in (b"", b"path,speaker\n"):
        table.write_bytes(head + content)
        with pytest.raises(UserError):
            scan(table)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs recordings in {SHARED}")
def test_real_recordings() -> None:
    found = scan(SHARED)
    assert found.layout == "folders"
    assert len({recording.speaker for recording in found.recordings}) == 22
    assert len(found.recordings) == 1075
