import json
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from corpora import disk, write_recording
from speakerid.audio.decode import decode
from speakerid.audio.log_mel import LogMel
from speakerid.base.errors import CorpusError, UserError
from speakerid.config import FeatureConfig
from speakerid.corpus import feature_file
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.corpus.store import Store
from speakerid.corpus.store_writing import write_files
from speakerid.preparation import prepare as module
from speakerid.preparation.prepare import Options, Prepared


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "corpus"


def prepare(
    source: Path, out: Path, features: FeatureConfig | None = None, workers: int = 0, **options: Any
) -> Prepared:
    return module.prepare(source, out, Options(features=features or FeatureConfig(), workers=workers, **options))


def record(source: Path, *names: str) -> dict[str, int]:
    """Write recordings that all differ in length.

    Returns:
        Frames by name.
    """
    for index, name in enumerate(names):
        write_recording(source / name, seconds=0.1 + 0.01 * index)
    return {name: 11 + index for index, name in enumerate(names)}


def labelled_and_test(prepared: Prepared, frames: dict[str, int]) -> tuple[list[str], list[str]]:
    """The recordings that became labelled and test utterances, identified by their lengths."""
    names = {length: name for name, length in frames.items()}
    corpus = prepared.corpus
    return [names[u.length] for u in corpus.labelled], [names[u.length] for u in corpus.test]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def corpus_contents(root: Path) -> dict[str, bytes]:
    """Everything except the stage and the modification times of the files that the store was packed from."""
    found = {name: content for name, content in contents(root).items() if not name.startswith("prepared/")}
    return {name: re.sub(rb'"(source|corpus|checksum)":"[0-9a-f]+"', b"", content) for name, content in found.items()}


def test_every_format_rate_and_number_of_channels(source: Path, out: Path) -> None:
    forms = [
        ("0.wav", 16_000, 1, "PCM_16"),
        ("1.wav", 44_100, 2, "FLOAT"),
        ("2.wav", 8_000, 1, "PCM_U8"),
        ("3.flac", 48_000, 2, "PCM_24"),
        ("4.ogg", 22_050, 1, "VORBIS"),
        ("5.ogg", 48_000, 2, "OPUS"),
        ("6.mp3", 44_100, 1, "MPEG_LAYER_III"),
    ]
    for speaker in ("ann", "bob"):
        for name, sample_rate, channels, subtype in forms:
            write_recording(source / speaker / name, 0.4, sample_rate, channels, subtype)
    prepared = prepare(source, out)
    assert prepared.skipped == []
    corpus, store = open_corpus(out)
    assert corpus == prepared.corpus
    assert corpus.speakers == ("ann", "bob")
    assert len(corpus.labelled) == 14
    log_mel = LogMel(FeatureConfig())
    for index, (name, *_) in enumerate(forms):
        sound = decode(source / "ann" / name)
        expected = torch.from_numpy(log_mel(sound.waveform, sound.sample_rate))
        # A float16 below 32 is off by 2^-7 at most.
        torch.testing.assert_close(store.utterance(index), expected, rtol=0, atol=2**-7)
        # 0.4 s and 1 frame; MP3 adds silence, which is cut, and some sound in its frames.
        assert 39 <= len(expected) <= 46


def test_inner_folders_are_sessions(source: Path, out: Path) -> None:
    record(source, "ann/2019/a.wav", "ann/2020/b.wav", "ann/2020/tape 1/c.wav", "bob/a.wav", "bob/b.wav")
    prepare(source, out)
    corpus = check_corpus(out)
    assert [(u.speaker, u.session) for u in corpus.labelled] == [
        ("ann", "2019"),
        ("ann", "2020"),
        ("ann", "2020/tape 1"),
        ("bob", None),
        ("bob", None),
    ]
    assert len(corpus.test) == 0
    assert corpus.answers is None
    assert not (out / "answers.csv").exists()


def test_last_recordings_become_test_data(source: Path, out: Path) -> None:
    frames = record(source, *(f"{speaker}/{index}.wav" for speaker in ("ann", "bob", "cid") for index in range(10)))
    prepared = prepare(source, out, test_fraction=0.3, layout_out="both")
    labelled, test = labelled_and_test(prepared, frames)
    assert labelled == [name for name in frames if name[4] < "7"]
    assert sorted(test) == [name for name in frames if name[4] >= "7"]
    assert check_corpus(out) == prepared.corpus
    assert (out / "answers.csv").read_text() == "Id,Category\n" + "".join(
        f"{u.feature_path},{name[:3]}\n" for u, name in zip(prepared.corpus.test, test, strict=True)
    )
    assert len(open_corpus(out, "test")[1]) == 9


def test_only_the_answers_reveal_the_speakers_of_the_test_data(source: Path, out: Path) -> None:
    record(source, *(f"{speaker}/day {day}/{n}.wav" for speaker in ("ann", "bob") for day in (1, 2) for n in range(8)))
    prepared = prepare(source, out, test_fraction=0.5, layout_out="both")
    answers = prepared.corpus.answers
    assert answers is not None
    assert len(answers) == 16
    assert {one.session for one in prepared.corpus.test} == {"day 2"}
    assert check_corpus(out) == prepared.corpus
    # If they were grouped, the speaker would change once.
    assert sum(before != after for before, after in pairwise(answers)) > 3
    text = (out / "testdata.json").read_text()
    assert {key for entry in json.loads(text)["utterances"] for key in entry} == {"feature_path", "mel_len"}
    for hint in ("ann", "bob", "day"):
        assert hint not in text


@pytest.mark.parametrize(("fraction", "test_sessions"), [(0.1, "3"), (0.4, "3"), (0.6, "23"), (0.9, "23")])
def test_whole_sessions_become_test_data(source: Path, out: Path, fraction: float, test_sessions: str) -> None:
    frames = record(source, *(f"{speaker}/{s}/{n}.wav" for speaker in ("ann", "bob") for s in "123" for n in range(3)))
    labelled, test = labelled_and_test(prepare(source, out, test_fraction=fraction), frames)
    assert {name[4] for name in test} == set(test_sessions)
    assert {name[4] for name in labelled} == set("123") - set(test_sessions)


def test_sessions_inside_sessions_are_kept_whole(source: Path, out: Path) -> None:
    # By name, recordings of 2020 come before and after those of the tape.
    recordings = ("2020/a.wav", "2020/tape/b.wav", "2020/tape/c.wav", "2020/z.wav", "2021/d.wav")
    frames = record(source, *(f"{speaker}/{name}" for speaker in ("ann", "bob") for name in recordings))
    labelled, test = labelled_and_test(prepare(source, out, test_fraction=0.4), frames)
    assert test
    assert not {Path(name).parent for name in labelled} & {Path(name).parent for name in test}


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.99])
def test_every_speaker_keeps_two_recordings(source: Path, out: Path, fraction: float) -> None:
    record(source, "ann/1.wav", "ann/2.wav", "bob/1.wav", "bob/2.wav", "bob/3.wav", "bob/4.wav")
    record(source, "cid/a/1.wav", "cid/b/2.wav", "cid/b/3.wav", "cid/c/4.wav")
    corpus = prepare(source, out, test_fraction=fraction).corpus
    speakers = [utterance.speaker for utterance in corpus.labelled]
    assert all(speakers.count(name) >= 2 for name in ("ann", "bob", "cid"))
    assert check_corpus(out) == corpus


def write_samples(samples: np.ndarray) -> Callable[[Path], None]:
    return lambda path: soundfile.write(str(path), samples, 16_000, "FLOAT")


def write_half_a_flac(path: Path) -> None:
    soundfile.write(str(path), np.random.default_rng(0).standard_normal(32_000) * 0.1, 16_000, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage.mp3": (lambda path: path.write_bytes(b"not a recording\n" * 100), "cannot be decoded: "),
    "half.flac": (write_half_a_flac, "is truncated or damaged: found 0.7"),
    "nothing.wav": (lambda path: path.write_bytes(b""), "cannot be decoded: "),
    "no samples.wav": (write_samples(np.zeros(0)), "holds no samples"),
    "no numbers.wav": (write_samples(np.full(16_000, np.nan)), "holds samples that are not finite numbers"),
    "no sound.wav": (write_samples(np.linspace(-1e30, 1e30, 16_000)), "holds samples of 1e+30, where full scale is 1"),
    "short.wav": (write_samples(np.ones(200)), "found 200 samples of sound, expected more than 200"),
    "silent.wav": (write_samples(np.zeros(16_000)), "found 0 samples of sound, expected more than 200"),
}


def record_with_broken(source: Path) -> dict[str, str]:
    """Write two usable speakers, one of them with every kind of broken recording.

    Returns:
        The reason for each broken recording, in the order of their names.
    """
    record(source, "ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav")
    for name, (write, _) in BROKEN.items():
        write(source / "bob" / name)
    return {f"bob/{name}": reason for name, (_, reason) in sorted(BROKEN.items())}


def test_broken_recordings_are_left_out_and_reported(source: Path, out: Path) -> None:
    broken = record_with_broken(source)
    prepared = prepare(source, out)
    assert len(prepared.skipped) == len(broken)
    for line, (name, reason) in zip(prepared.skipped, broken.items(), strict=True):
        assert line.startswith(f"{name}: {reason}")
        assert "\n" not in line
    assert len(check_corpus(out).labelled) == 4


def test_broken_recordings_are_refused_when_strict(source: Path, out: Path, tmp_path: Path) -> None:
    broken = record_with_broken(source)
    with pytest.raises(CorpusError) as caught:
        prepare(source, out, strict=True)
    assert str(caught.value).startswith(f"{source}: {len(broken)} problems\n")
    for line, (name, reason) in zip(caught.value.problems, broken.items(), strict=True):
        assert line.startswith(f"{name}: {reason}")
    assert names(out) == ["prepared"]
    with pytest.raises(UserError, match="its preparation is unfinished"):
        open_corpus(out)


@pytest.mark.parametrize("value", [1e-40, 1e-42])
def test_recording_with_hardly_any_sound_never_breaks_a_corpus(source: Path, out: Path, value: float) -> None:
    record(source, "ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav")
    write_samples(np.full(16_000, value))(source / "bob" / "c.wav")
    prepare(source, out)
    check_corpus(out)


def test_speaker_with_one_usable_recording_is_left_out_and_reported(source: Path, out: Path) -> None:
    record(source, "ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav", "cid/a.wav")
    (source / "cid" / "b.wav").write_bytes(b"")
    prepared = prepare(source, out)
    assert prepared.corpus.speakers == ("ann", "bob")
    assert prepared.skipped[0].startswith("cid/b.wav: cannot be decoded")
    assert prepared.skipped[1:] == ["cid: only one usable recording, expected at least 2"]
    assert check_corpus(out) == prepared.corpus


@pytest.mark.parametrize("recordings", [["ann/a.wav", "ann/b.wav"], ["ann/a.wav", "bob/a.wav"]])
def test_too_little_is_refused_with_the_reason(source: Path, out: Path, recordings: list[str]) -> None:
    record(source, *recordings)
    (source / recordings[0]).with_name("z.wav").write_bytes(b"")
    expected = r"^found \d speakers with two usable recordings, expected at least 2; .*: ann/z\.wav: cannot be decoded"
    with pytest.raises(UserError, match=expected):
        prepare(source, out)
    assert names(out) == ["prepared"]


def test_no_recordings_are_refused(source: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        prepare(source, out)
    source.mkdir()
    with pytest.raises(UserError, match="no recordings in layout folders; expected SPEAKER/anything"):
        prepare(source, out)
    assert names(tmp_path) == ["recordings"]


def test_existing_target_is_refused_and_untouched(source: Path, tmp_path: Path) -> None:
    record(source, "ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "metadata.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("empty", "full", "file"):
        with pytest.raises(UserError, match=rf"^{tmp_path / name}: already exists"):
            prepare(source, tmp_path / name)
    assert names(tmp_path) == ["empty", "file", "full", "recordings"]
    assert names(tmp_path / "empty") == []
    assert contents(tmp_path / "full") == {"metadata.json": b"mine"}


def test_full_disk_is_a_one_line_error(source: Path, tmp_path: Path) -> None:
    for name in ("ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav"):
        write_recording(source / name, seconds=2)
    with disk(tmp_path / "disk") as folder:
        with pytest.raises(UserError, match=r"disk/out.*: cannot be written: No space left on device"):
            prepare(source, folder / "out")
        assert not list(folder.rglob("*.partial"))
        with pytest.raises(UserError, match="its preparation is unfinished"):
            open_corpus(folder / "out")


def test_packing_that_stops_at_any_part_leaves_a_preparation_unfinished(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(source, *(f"{speaker}/{n}.wav" for speaker in ("ann", "bob") for n in range(4)))

    def stops_at_the_second(folder: Path, part: str, *rest: object) -> Store:
        if any(folder.glob("*.frames")):
            raise UserError("stopped")
        return write_files(folder, part, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr("speakerid.preparation.write.write_files", stops_at_the_second)
    with pytest.raises(UserError, match="stopped"):
        prepare(source, out, test_fraction=0.5, layout_out="packed")
    for part in ("labelled", "test"):
        with pytest.raises(UserError, match="its preparation is unfinished"):
            open_corpus(out, part)
    monkeypatch.undo()
    prepare(source, out, test_fraction=0.5, layout_out="packed")
    assert len(open_corpus(out)[1]) == len(open_corpus(out, "test")[1]) == 4


def test_settings_reach_the_features_and_are_stored(source: Path, out: Path) -> None:
    record(source, "ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav")
    features = FeatureConfig(sample_rate=8_000, window_length=256, hop_length=80, n_mels=20, trim_silence=False)
    corpus = prepare(source, out, features, layout_out="both").corpus
    assert yaml.safe_load((out / "features.yaml").read_text()) == features.model_dump()
    assert open_corpus(out)[0] == corpus
    utterance = corpus.labelled[0]
    found = feature_file.load(out / utterance.feature_path, utterance.length, 20)
    sound = decode(source / "ann/a.wav")
    torch.testing.assert_close(found, torch.from_numpy(LogMel(features)(sound.waveform, sound.sample_rate)))


def test_number_of_workers_does_not_change_the_bytes(source: Path, tmp_path: Path) -> None:
    record(source, *(f"{speaker}/{s}/{n}.wav" for speaker in ("ann", "bob") for s in "12" for n in range(3)))
    (source / "ann" / "1" / "broken.wav").write_bytes(b"")
    one, two = (prepare(source, tmp_path / f"{n}", workers=n, test_fraction=0.5, layout_out="both") for n in (0, 2))
    assert one.skipped == two.skipped
    assert corpus_contents(tmp_path / "0") == corpus_contents(tmp_path / "2")


def test_any_name_is_accepted(source: Path, out: Path) -> None:
    record(source, *(f"Jürgen Müller/Sitzung {n}/grüße & mehr.wav" for n in range(3)), "王 (2)/a.wav", "王 (2)/b.wav")
    corpus = prepare(source, out, test_fraction=0.4, layout_out="both").corpus
    assert check_corpus(out) == corpus
    assert corpus.speakers == ("Jürgen Müller", "王 (2)")
    assert corpus.labelled[0].session == "Sitzung 0"
    assert corpus.answers == ("Jürgen Müller",)
    assert "Jürgen Müller" in (out / "metadata.json").read_text(encoding="utf-8")


# Umlauts in names from Windows may not be UTF-8.
@pytest.mark.parametrize("name", ["ann/J\udcfcrgen.wav", "J\udcfcrgen/c.wav"], ids=["file", "speaker"])
def test_name_that_is_not_unicode_is_accepted_or_reported(source: Path, out: Path, name: str) -> None:
    record(source, "ann/a.wav", "ann/b.wav", "bob/a.wav", "bob/b.wav")
    try:
        record(source, name, str(Path(name).with_stem("d")))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with suppress(UserError):
        prepared = prepare(source, out)
        assert len(check_corpus(out).labelled) + len(prepared.skipped) >= 6


def test_channels_that_cancel_out_are_used_one_by_one_and_reported(source: Path, out: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("ann/a", "ann/b", "bob/a", "bob/b"):
        samples = 0.1 * rng.standard_normal(16_000)
        for folder, channels in ((source, [samples, -samples]), (tmp_path / "mono", [samples])):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{name}.wav", np.stack(channels[: 1 if name == "bob/b" else 2], 1), 16_000)
    prepared = prepare(source, out)
    prepare(tmp_path / "mono", tmp_path / "expected")
    opposite = [finding for finding in prepared.findings if finding.kind == "opposite channels"]
    assert [finding.files for finding in opposite] == [("ann/a.wav", "ann/b.wav", "bob/a.wav")]
    assert "3 recordings with channels of opposite sign" in opposite[0].text
    for corpus in (out, tmp_path / "expected"):
        check_corpus(corpus)
    means = [
        np.concatenate([np.fromfile(path, np.float16).reshape(-1, 40) for path in corpus.glob("packed/*.frames")]).mean(
            0, dtype=np.float64
        )
        for corpus in (out, tmp_path / "expected")
    ]
    np.testing.assert_allclose(*means, rtol=0, atol=1e-2)
