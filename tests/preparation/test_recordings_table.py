"""The table maps every utterance to its recording."""

import csv
from pathlib import Path

import pytest
import torch

from corpora import write_recording
from speakerid.audio.decode import decode
from speakerid.audio.log_mel import LogMel
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.utterances import PARTS
from speakerid.preparation import recordings_table
from speakerid.preparation.prepare import Options, prepare


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for index, name in enumerate(f"{speaker}/day {day}/{n}.wav" for speaker in "abcd" for day in "12" for n in "34"):
        write_recording(tmp_path / "recordings" / name, 0.3 + 0.02 * index)
    return tmp_path / "recordings"


def prepared(source: Path, out: Path, **options: object) -> Path:
    prepare(source, out, Options(workers=0, **options))  # pyright: ignore[reportArgumentType]
    return out


def test_every_utterance_matches_its_recording(recordings: Path, tmp_path: Path) -> None:
    root = prepared(recordings, tmp_path / "out", test_fraction=0.5, strangers=1, speeds=True)
    table = recordings_table.read(root)
    assert {one.path for one in table.values()} == set(recordings.rglob("*.wav"))
    for part in PARTS:
        corpus, store = open_corpus(root, part)
        for row, utterance in enumerate(corpus.part(part)):
            if utterance.copy_of:
                assert utterance.feature_path not in table
                continue
            recording = table[utterance.feature_path]
            assert (recording.speaker, recording.session) == (utterance.speaker, utterance.session)
            assert recording.path.parts[-3:-1] == (utterance.speaker, utterance.session)
            sound = decode(recording.path, recording.start, recording.end)
            expected = torch.from_numpy(LogMel(FeatureConfig())(sound.waveform, sound.sample_rate))
            torch.testing.assert_close(store.utterance(row), expected, rtol=1e-3, atol=0.01)


def test_copies_are_in_the_table_with_their_originals(recordings: Path, tmp_path: Path) -> None:
    root = prepared(recordings, tmp_path / "out", test_fraction=0.5, speeds=True)
    corpus, _ = open_corpus(root)
    with (root / "recordings.csv").open(newline="") as file:
        rows = {row["utterance"]: row for row in csv.DictReader(file)}
    assert [rows[one.feature_path]["part"] for one in corpus.test] == ["test"] * 8
    copies = [one for one in corpus.labelled if one.copy_of]
    assert len(copies) == 2 * 8
    for one in copies:
        row = rows[one.feature_path]
        assert row["path"] == rows[str(one.copy_of)]["path"]
        assert row["copy"]
        assert (row["copy"] in str(one.speaker)) == (one.speaker != row["speaker"])


def test_a_part_of_the_table_can_be_prepared(recordings: Path, tmp_path: Path) -> None:
    """Prepare the test utterances as a separate corpus, with segments of files."""
    segments = tmp_path / "segments.csv"
    lines = [f"{path},{path.parts[-3]},{path.parts[-2]},0.1," for path in sorted(recordings.rglob("*.wav"))]
    segments.write_text("\n".join(["path,speaker,session,start,end", *lines]))
    root = prepared(segments, tmp_path / "out", test_fraction=0.5)
    header, *rows = (root / "recordings.csv").read_text().splitlines()
    (tmp_path / "test.csv").write_text("\n".join([header, *(row for row in rows if ",test," in row)]))
    again, _ = open_corpus(prepared(tmp_path / "test.csv", tmp_path / "again"))
    tested = open_corpus(root, "test")[0].test
    assert sorted(one.length for one in again.labelled) == sorted(one.length for one in tested)
    assert {(one.speaker, one.session) for one in again.labelled} == {(one.speaker, "day 2") for one in tested}


@pytest.mark.parametrize(
    "content", [None, b"path,speaker\na.wav,anna\n", b"\x00\xff", b"", b"HEADER\nx.pt,test,a.wav,\n", b"HEADER\n\n"]
)
def test_another_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "recordings.csv").write_bytes(
            content.replace(b"HEADER", ",".join(recordings_table.HEADER).encode())
        )
    with pytest.raises(UserError, match=r"recordings\.csv: .*as `prepare` writes it"):
        recordings_table.read(tmp_path)


def test_one_channel_of_a_call_is_prepared_separately(tmp_path: Path) -> None:
    rows = ["path,speaker,channel"]
    for call in range(2):
        write_recording(tmp_path / f"{call}.wav", 0.4 + call / 10, channels=2)
        rows += [f"{call}.wav,agent,1", f"{call}.wav,customer,2"]
    (tmp_path / "calls.csv").write_text("\n".join(rows))
    root = prepared(tmp_path / "calls.csv", tmp_path / "out")
    table = recordings_table.read(root)
    assert sorted((one.path.name, one.speaker, one.channel) for one in table.values()) == [
        ("0.wav", "agent", 0), ("0.wav", "customer", 1), ("1.wav", "agent", 0), ("1.wav", "customer", 1),
    ]  # fmt: skip
    corpus, store = open_corpus(root)
    for row, utterance in enumerate(corpus.labelled):
        recording = table[utterance.feature_path]
        sound = decode(recording.path, channel=recording.channel)
        expected = torch.from_numpy(LogMel(FeatureConfig())(sound.waveform, sound.sample_rate))
        torch.testing.assert_close(store.utterance(row), expected, rtol=1e-3, atol=0.01)
    again = prepared(root / "recordings.csv", tmp_path / "again")
    assert {(one.path.name, one.channel) for one in recordings_table.read(again).values()} == {
        (one.path.name, one.channel) for one in table.values()
    }


def test_a_table_without_channels_is_still_read(tmp_path: Path) -> None:
    row = ["uttr-1.pt", "labelled", "/a.wav", "0.5", "", "ann", "", ""]
    (tmp_path / "recordings.csv").write_text("\n".join([",".join(recordings_table.WITHOUT_CHANNEL), ",".join(row)]))
    (found,) = recordings_table.read(tmp_path).values()
    assert (found.speaker, found.start, found.channel) == ("ann", 0.5, None)
