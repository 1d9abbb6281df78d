"""Find the folders of the speakers below folders such as train and test, male and female, or wav."""

from pathlib import Path

import pytest

from speakerid.base.errors import UserError
from speakerid.preparation.sources.layouts import scan


def made(source: Path, *names: str) -> Path:
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    return source


READ = {
    "parts": ("train/ann/1.wav", "train/ben/2.wav", "test/ann/3.wav"),
    "parts of other names": ("train-clean/ann/1.wav", "dev_set/ben/2.wav", "Validation/cleo/3.wav", "eval2/dan/4.wav"),
    "AISHELL": ("data_aishell/wav/train/S0002/1.wav", "data_aishell/wav/test/S0764/2.wav"),
    "AISHELL-3": ("train/wav/SSB0005/1.wav", "test/wav/SSB0009/2.wav"),
    "TIMIT": ("TIMIT/TRAIN/DR1/FCJF0/SA1.WAV", "TIMIT/TEST/DR2/MDAB0/SA1.WAV"),
    "sexes": ("audio/male/ben/1.wav", "audio/female/ann/2.wav"),
    "sound": ("wav16k/ann/1.wav", "wav16k/ben/2.wav"),
    "one part": ("train/ann/1.wav", "train/ben/2.wav"),
    "with a few files beside": (*(f"train/ann/{n}.wav" for n in range(12)), "test/ben/1.wav", "test/noise.wav"),
}


@pytest.mark.parametrize("names", READ.values(), ids=READ)
def test_folders_that_contain_speakers_are_not_speakers_and_are_reported(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    found = scan(made(tmp_path, *names))
    assert {r.speaker for r in found.recordings} == {Path(name).parts[-2] for name in names} - {"test"}
    assert all(r.session is None for r in found.recordings)
    assert "the folders in them are the speakers" in found.remarks[0]


def test_a_speaker_in_two_parts_counts_once_and_joined_parts_are_reported(tmp_path: Path) -> None:
    found = scan(made(tmp_path, "train/ann/1.wav", "train/ann/2.wav", "test/ann/1.wav", "test/ben/1.wav"))
    assert [r.speaker for r in found.recordings] == ["ann"] * 3 + ["ben"]
    assert found.remarks[1] == (
        "the source's own parts are joined (test 2, train 2 recordings; speakers in several parts: 1); "
        "to avoid this, prepare each one separately"
    )


def test_inner_folders_stay_sessions(tmp_path: Path) -> None:
    found = scan(made(tmp_path, "train/ann/monday/1.wav", "test/ben/tuesday/a/1.wav"))
    assert [(r.speaker, r.session) for r in found.recordings] == [("ann", "monday"), ("ben", "tuesday/a")]


@pytest.mark.parametrize("days", [("session1", "session2"), ("2020-01-02", "2020-01-03"), ("Monday", "tuesday")])
def test_sessions_above_the_speakers_are_their_sessions(tmp_path: Path, days: tuple[str, str]) -> None:
    found = scan(made(tmp_path, *(f"{day}/{speaker}/1.wav" for day in days for speaker in ("ann", "ben"))))
    assert {(r.speaker, r.session) for r in found.recordings} == {(s, d) for s in ("ann", "ben") for d in days}
    assert found.remarks == [f"{', '.join(sorted(days))} are read as sessions; the folders in them are the speakers"]


DOUBTED = {
    "languages": (("en/ann/1.wav", "de/ben/2.wav"), "de, en were", 2),
    "one language": (("audio/en/ann/1.wav", "audio/en/ben/2.wav"), "en was", 3),
    "letters": (("m/ben/1.wav", "f/ann/2.wav"), "f, m were", 2),
    "years": (("2019/ann/1.wav", "2020/ann/2.wav"), "2019, 2020 were", 2),
    "one session": (("day1/ann/1.wav", "day1/ben/2.wav"), "day1 was", 2),
    "a speaker called train": (("ann/1.wav", "ben/2.wav", "train/3.wav"), "train was", 2),
    "a speaker called dev": (("ann/mon/1.wav", "dev/mon/2.wav"), "dev was", 2),
    "names that recur": (tuple(f"{p}/{s}/1.wav" for p in ("tv", "radio") for s in ("ann", "ben", "cleo")),
                         "radio, tv were", 2),
    "folds": (("fold1/ann/1.wav", "fold1/ben/2.wav", "fold2/ann/3.wav", "fold2/ben/4.wav"), "fold1, fold2 were", 2),
    "conditions": (("clean/ann/1.wav", "noisy/ann/1.wav"), "clean, noisy were", 2),
    "languages in full": (("german/ann/1.wav", "french/ben/2.wav"), "french, german were", 2),
    "groups of other names": (("north/ann/1.wav", "north/ben/2.wav", "south/cleo/3.wav"), "north, south were", 2),
}  # fmt: skip


@pytest.mark.parametrize(("names", "said", "level"), DOUBTED.values(), ids=DOUBTED)
def test_folders_that_may_not_be_speakers_are_doubted_first(
    tmp_path: Path, names: tuple[str, ...], said: str, level: int
) -> None:
    found = scan(made(tmp_path, *names, "ann/notes.txt"))
    assert {r.speaker for r in found.recordings} == {Path(name).parts[level - 2] for name in names}
    doubt = next(
        remark for remark in found.remarks if "read as a speaker;" in remark or " were read as speakers;" in remark
    )
    assert not any(remark.startswith("skipped") for remark in found.remarks[: found.remarks.index(doubt)])
    assert doubt.startswith(said)
    assert doubt.endswith(f"are the speakers, use --layout folders:{level}")


@pytest.mark.parametrize(
    "names",
    [
        ("ann/monday/1.wav", "ben/monday/1.wav", "cleo/friday/1.wav"),
        tuple(f"speaker{s}/{n}/1.wav" for s in range(3) for n in range(9)),
        ("ann/wav/1.wav", "ben/wav/1.wav"),
        ("Devin/1.wav", "Tester/1.wav", "Evangeline/1.wav", "Mandy/1.wav"),
    ],
)
def test_speakers_with_sessions_are_not_doubted(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = scan(made(tmp_path, *names))
    assert {r.speaker for r in found.recordings} == {Path(name).parts[0] for name in names}
    assert found.remarks == []


def test_the_level_of_the_speakers_can_be_given(tmp_path: Path) -> None:
    made(tmp_path, "train/ann/1.wav", "test/ben/2.wav")
    assert {r.speaker for r in scan(tmp_path, "folders:1").recordings} == {"train", "test"}
    assert {r.speaker for r in scan(tmp_path, "folders:2").recordings} == {"ann", "ben"}
    with pytest.raises(UserError, match="no recordings in layout folders:3"):
        scan(tmp_path, "folders:3")
    with pytest.raises(UserError, match="or a level as in folders:2"):
        scan(tmp_path, "folders:x")


def test_timit_with_every_file_twice_counts_once(tmp_path: Path) -> None:
    found = scan(
        made(tmp_path, "TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR1/FCJF0/SA1.WAV.wav", "TRAIN/DR1/FCJF0/SA2.WAV.wav")
    )
    assert [Path(r.name).name for r in found.recordings] == ["SA1.WAV", "SA2.WAV.wav"]


def test_cnceleb_has_genres_as_sessions(tmp_path: Path) -> None:
    found = scan(
        made(
            tmp_path,
            "CN-Celeb_flac/data/id00000/singing-01-001.flac",
            "CN-Celeb_flac/data/id00000/live_broadcast-02-003.flac",
            "CN-Celeb_flac/eval/test/id00800-play-01-001.flac",
        )
    )
    assert found.layout == "cnceleb"
    assert [(r.speaker, r.session) for r in found.recordings] == [
        ("id00000", "live_broadcast-02"), ("id00000", "singing-01"), ("id00800", "play-01"),
    ]  # fmt: skip
