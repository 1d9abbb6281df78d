"""Read Kaldi data directories and manifests of NeMo, SpeechBrain and lhotse with `scan`."""

import gzip
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpora import write_recording
from speakerid.base.errors import UserError
from speakerid.preparation.sources.layouts import scan

Found = list[tuple[str, str, str | None, float | None, float | None, int | None]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """w/a.wav, w/b.wav and w/stereo.wav of 10 s."""
    for name in ("a.wav", "b.wav", "stereo.wav"):
        write_recording(tmp_path / "w" / name, 10, 1000, channels=1 + (name == "stereo.wav"))
    return tmp_path


def read(source: Path, layout: str) -> Found:
    """Read a source; detecting the layout and giving it must have the same result."""
    found = scan(source)
    assert found.layout == layout
    assert scan(source, layout).recordings == found.recordings
    return [(r.path.name, r.speaker, r.session, r.start, r.end, r.channel) for r in found.recordings]


def kaldi(source: Path, **files: str) -> Path:
    folder = source / "data" / "train"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("wav_scp", "wav.scp")).write_text(text.replace("ROOT", str(source)))
    return folder


def lines(path: Path, *objects: object) -> Path:
    text = "".join(f"{json.dumps(one)}\n" for one in objects).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


WHOLE: Found = [("a.wav", "ann", None, None, None, None), ("b.wav", "ben", None, None, None, None)]


@pytest.mark.parametrize("name", ["", "wav.scp", "utt2spk"])
@pytest.mark.parametrize("root", ["ROOT/", ""])
def test_a_kaldi_directory(source: Path, name: str, root: str) -> None:
    folder = kaldi(source, wav_scp=f"u1 {root}w/a.wav\nu2\t{root}w/b.wav\n", utt2spk="u1 ann\nu2 ben\n")
    assert read(folder / name, "kaldi") == WHOLE


def test_kaldi_segments_have_their_recording_as_session(source: Path) -> None:
    folder = kaldi(
        source,
        wav_scp="r1 w/a.wav\nr2 w/b.wav\n",
        segments="u1 r1 0.5 2\nu2 r1 2 3.5\nu3 r2 1 -1\n",
        spk2utt="ann u1 u3\nben u2\n",
    )
    assert read(folder, "kaldi") == [
        ("a.wav", "ann", "r1", 0.5, 2.0, None),
        ("b.wav", "ann", "r2", 1.0, None, None),
        ("a.wav", "ben", "r1", 2.0, 3.5, None),
    ]


@pytest.mark.parametrize("sides", ["A B", "1 2"])
def test_kaldi_sides_of_a_call_are_channels_of_a_file_that_has_them(source: Path, sides: str) -> None:
    one, two = sides.split()
    folder = kaldi(
        source,
        wav_scp="c-1 w/stereo.wav\nc-2 w/stereo.wav\nd-2 w/a.wav\n",
        utt2spk="c-1 ann\nc-2 ben\nd-2 cleo\n",
        reco2file_and_channel=f"c-1 c {one}\nc-2 c {two}\nd-2 d {two}\n",
    )
    assert [row[::5] for row in read(folder, "kaldi")] == [("stereo.wav", 0), ("stereo.wav", 1), ("a.wav", None)]


@pytest.mark.parametrize(
    ("command", "channel"),
    [
        ("flac -c -d -s F |", None),
        ("flac -dcs F|", None),
        ("/opt/kaldi/tools/sph2pipe -f wav -p -c 2 F |", 1),
        ("sox F -t wav -r 16000 -b 16 - remix 1 |", 0),
        ("sox -G 'F' -t wav - rate 1k 2>/dev/null |", None),
        ("ffmpeg -v quiet -i F -f wav -ar 16000 -ac 1 - |", None),
        ("cat F |", None),
    ],
)
def test_commands_that_decode_one_file_are_read_as_that_file(source: Path, command: str, channel: int | None) -> None:
    folder = kaldi(source, wav_scp=f"u1 {command.replace('F', 'ROOT/w/a.wav', 1)}\n", utt2spk="u1 ann\n")
    assert read(folder, "kaldi") == [("a.wav", "ann", None, None, None, channel)]


@pytest.mark.parametrize(
    "command",
    [
        "sox F -t wav - speed 1.1 |",
        "ffmpeg -ss 10 -i F -f wav - |",
        "flac -dc F | sox -t wav - -t wav - |",
        "touch made; cat F |",
        "cat `touch made` |",
        "cat F $(touch made) |",
        "python make.py F |",
        "cat F F |",
        "cat 'F |",
        "|",
    ],
)
def test_other_commands_are_refused_by_line_and_never_executed(
    source: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)
    folder = kaldi(source, wav_scp=f"u1 w/b.wav\nu2 {command.replace('F', 'w/a.wav')}\n", utt2spk="u1 ann\nu2 ben\n")
    with pytest.raises(UserError, match=r"wav\.scp line 2, u2: found the command .*, which is not executed"):
        scan(folder)
    assert not (source / "made").exists()


def test_malformed_lines_of_kaldi_are_reported(source: Path) -> None:
    folder = kaldi(
        source,
        wav_scp="r1\nr2 w/b.wav\nr2 w/b.wav\n",
        segments="u1 r2 2\nu2 r2 3 1\nu3 r9 1 2\nu4 r2 1 99 x\n",
        utt2spk="u3 ann\nu4\n",
    )
    with pytest.raises(UserError) as error:
        scan(folder)
    for expected in (
        "wav.scp line 1: found 'r1'", "wav.scp line 3: r2 is already in wav.scp line 2",
        "segments line 1: found 'r2 2'",
        "segments line 2: found 'r2 3 1'", "segments line 4: found 'r2 1 99 x'", "utt2spk line 2: found 'u4'",
        "segments line 3, u3: recording r9 is not in wav.scp",
    ):  # fmt: skip
        assert expected in str(error.value)


def test_kaldi_without_speakers_says_what_is_missing(source: Path) -> None:
    folder = kaldi(source, wav_scp="u1 w/a.wav\n")
    with pytest.raises(UserError, match=r"utt2spk: missing; expected Kaldi's wav\.scp and utt2spk in one folder"):
        scan(folder)


def test_several_kaldi_directories_are_joined_with_a_note(source: Path) -> None:
    folder = kaldi(source, wav_scp="u1 w/a.wav\n", utt2spk="u1 ann\n")
    folder.rename(folder.with_name("test"))
    kaldi_train = source / "data" / "train"
    kaldi_train.mkdir()
    (kaldi_train / "wav.scp").write_text("u2 w/b.wav\n")
    (kaldi_train / "utt2spk").write_text("u2 ben\n")
    assert read(source / "data", "kaldi") == WHOLE
    assert scan(source / "data").remarks[0].startswith("test/wav.scp, train/wav.scp are joined")


def test_kaldi_directories_with_the_recordings_take_precedence_over_folders(source: Path) -> None:
    for part, name, speaker in (("train", "a", "ann"), ("test", "b", "ben")):
        (source / part).mkdir()
        (source / "w" / f"{name}.wav").rename(source / part / f"{name}.wav")
        (source / part / "wav.scp").write_text(f"{name} {name}.wav\n")
        (source / part / "utt2spk").write_text(f"{name} {speaker}\n")
    assert scan(source).layout == "folders"
    (source / "w" / "stereo.wav").unlink()
    assert read(source, "kaldi") == WHOLE


@pytest.mark.parametrize("name", ["utt2spk", "segments"])
def test_a_pipe_in_a_kaldi_directory_is_reported(source: Path, name: str) -> None:
    folder = kaldi(source, wav_scp="u1 w/a.wav\n", utt2spk="u1 ann\n")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=f"train/{name}: found a named pipe, expected a regular file"):
        scan(folder)


def test_nemo_lines(source: Path) -> None:
    manifest = lines(
        source / "train.json",
        {"audio_filepath": "w/a.wav", "offset": 1.0, "duration": 1.5, "label": "ann"},
        {"audio_filepath": str(source / "w/b.wav"), "offset": None, "duration": 10.0, "label": "ben"},
    )
    assert read(manifest, "nemo") == [("a.wav", "ann", None, 1.0, 2.5, None), WHOLE[1]]
    with manifest.open("a") as file:
        file.write("{oops\n[1]\n")
    with pytest.raises(UserError, match=r"2 problems\n  line 3: not a JSON object.*\n  line 4: not a JSON object"):
        scan(manifest)


def test_speechbrain_objects_count_samples(source: Path) -> None:
    entry = {"wav": "{data_root}/w/a.wav", "duration": 10.0, "start": 1000, "stop": 2000, "spk_id": "ann"}
    (source / "train.json").write_text(
        json.dumps({"u1": {"ID": "u1", **entry}, "u2": {**entry, "stop": 3000}}, indent=1)
    )
    assert read(source / "train.json", "speechbrain") == [
        ("a.wav", "ann", None, 1.0, 2.0, None),
        ("a.wav", "ann", None, 1.0, 3.0, None),
    ]


def test_speechbrain_objects_may_hold_the_recording_as_an_object(source: Path) -> None:
    first = {"wav": {"file": "w/a.wav", "start": 1000, "stop": 2000}, "spk_id": "ann"}
    second = {"wav": {"file": "w/b.wav"}, "spk_id": "ben"}
    (source / "train.json").write_text(json.dumps({"u1": first, "u2": second}))
    assert read(source / "train.json", "speechbrain") == [("a.wav", "ann", None, 1.0, 2.0, None), WHOLE[1]]


RECORDING = {"sampling_rate": 1000, "num_samples": 10_000, "duration": 10.0}


def recording(name: str, path: str, *channels: int) -> dict[str, object]:
    return {"id": name, "sources": [{"type": "file", "channels": channels or (0,), "source": path}], **RECORDING}


def supervision(
    recording: str, start: float, duration: float, speaker: str | None, channel: object = 0
) -> dict[str, object]:
    times = {"start": start, "duration": duration, "channel": channel}
    return {"id": "u", "recording_id": recording, "speaker": speaker, **times}


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("named", ["recordings", "supervisions", None])
def test_lhotse_recordings_and_supervisions(source: Path, ending: str, named: str | None) -> None:
    folder = source / "manifests"
    folder.mkdir()
    lines(folder / f"c_recordings_dev.{ending}", recording("r1", "w/a.wav"), recording("r2", str(source / "w/b.wav")))
    spoken = [supervision("r1", 0, 10, "ann"), supervision("r2", 1, 2, "ben"), supervision("r2", 3.5, 2, "ann")]
    lines(folder / f"c_supervisions_dev.{ending}", *spoken)
    assert read(folder / f"c_{named}_dev.{ending}" if named else folder, "lhotse") == [
        WHOLE[0], ("b.wav", "ann", "r2", 3.5, 5.5, None), ("b.wav", "ben", "r2", 1.0, 3.0, None),
    ]  # fmt: skip


def test_lhotse_channels(source: Path) -> None:
    both = recording("r", "w/stereo.wav", 0, 1)
    lines(source / "recordings.jsonl", both)
    spoken = [
        supervision("r", 0, 10, "ann", 0),
        supervision("r", 0, 10, "ben", [1]),
        supervision("r", 1, 2, "cleo", [0, 1]),
    ]
    found = read(lines(source / "supervisions.jsonl", *spoken), "lhotse")
    assert [(row[1], row[-1]) for row in found] == [("ann", 0), ("ben", 1), ("cleo", None)]


def test_lhotse_cuts(source: Path) -> None:
    spoken = [supervision("r", 0.5, 1, "ann"), supervision("r", 2, 1, "ben")]
    cut = {"id": "c", "start": 2.0, "duration": 5.0, "channel": 0, "type": "MonoCut", "supervisions": spoken}
    manifest = lines(source / "cuts.jsonl.gz", {**cut, "recording": recording("r", "w/a.wav")})
    assert [row[1:5] for row in read(manifest, "lhotse")] == [("ann", "r", 2.5, 3.5), ("ben", "r", 4.0, 5.0)]


def test_lhotse_recordings_with_transforms_are_skipped(source: Path) -> None:
    speed = {"transforms": [{"name": "Speed", "kwargs": {"factor": 0.9}}]}
    resampled = {"transforms": [{"name": "Resample", "kwargs": {"target_sampling_rate": 1000}}]}
    copy = {**recording("sp0.9_r", "w/b.wav"), **speed}
    lines(source / "recordings.jsonl", {**recording("r", "w/a.wav"), **resampled}, copy)
    manifest = lines(source / "supervisions.jsonl", supervision("r", 0, 1, "ann"), supervision("sp0.9_r", 0, 1, "ann"))
    assert [row[0] for row in read(manifest, "lhotse")] == ["a.wav"]
    assert scan(manifest).remarks[0].startswith("skipped, its recording is transformed by Speed when read: ")


def test_wrong_entries_of_lhotse_are_reported(source: Path) -> None:
    lines(source / "recordings.jsonl", recording("r1", "w/a.wav"))
    wrong = [supervision("r9", 0, 1, "ann"), {"recording_id": "r1", "start": 1}, supervision("r1", 0, 1, None)]
    manifest = lines(source / "supervisions.jsonl", *wrong)
    with pytest.raises(UserError) as error:
        scan(manifest)
    for expected in ("line 1: recording_id: found r9", "line 2: no duration", "line 3: no speaker"):
        assert expected in str(error.value)
    manifest.unlink()
    with pytest.raises(UserError, match=r"expected its supervisions next to it, named supervisions\.jsonl"):
        scan(source / "recordings.jsonl")


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, '{"a": 1}', "[1, 2]", "\0", "null"])
def test_other_json_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    (tmp_path / "m.jsonl.gz").write_text("no gzip")
    for name in ("m.json", "m.jsonl.gz"):
        with pytest.raises(UserError, match=rf"{name}: ") as error:
            scan(tmp_path / name)
        assert "\n" not in str(error.value)


def test_an_rttm_among_speakers_is_reported(source: Path) -> None:
    (source / "w" / "x.rttm").write_text("SPEAKER a 1 0 1 <NA> <NA> ann <NA> <NA>\n")
    (source / "v").mkdir()
    (source / "w" / "a.wav").rename(source / "v" / "a.wav")
    found = scan(source)
    assert found.layout == "folders"
    assert "skipped, an annotation; to use such files, add --layout annotated: w/x.rttm" in found.remarks


def test_a_manifest_among_speakers_is_reported_and_one_alone_is_read(source: Path) -> None:
    manifest = lines(source / "train.json", {"audio_filepath": "w/a.wav", "label": "ann"})
    assert f"{manifest} is a nemo manifest; to use it, prepare that file" in scan(source).remarks
    alone = source / "lists"
    alone.mkdir()
    manifest.rename(alone / "train.json")
    assert scan(alone).layout == "nemo"


def test_a_layout_that_does_not_fit_the_file_is_refused(source: Path) -> None:
    manifest = lines(source / "train.json", {"audio_filepath": "w/a.wav", "label": "ann"})
    with pytest.raises(UserError, match="not in layout kaldi: looks like layout nemo; use --layout nemo, or auto"):
        scan(manifest, "kaldi")
    with pytest.raises(UserError, match="not in layout lhotse"):
        scan(source, "lhotse")


def test_names_of_recordings_are_relative_to_the_source(tmp_path: Path) -> None:
    for folder, speaker in (("x", "ann"), ("y", "ben")):
        write_recording(tmp_path / folder / "1.wav")
        (tmp_path / folder / "list.csv").write_text(f"path,speaker\n1.wav,{speaker}\n")
    found = scan(tmp_path, "table")
    assert [(r.name, r.speaker) for r in found.recordings] == [("x/1.wav", "ann"), ("y/1.wav", "ben")]


ENTRIES = {
    "nemo.json": {"audio_filepath": "w/a.wav", "offset": 0.1, "duration": 1, "label": "ann", "channel": 1},
    "cuts.jsonl": {"id": "c", "start": 0.5, "duration": 2.0, "channel": 0,
                   "supervisions": [supervision("r", 0, 1, "ann")],
                   "recording": recording("r", "w/a.wav")},
    "speechbrain.json": {"u1": {"ID": "u1", "wav": "w/a.wav", "duration": 3, "start": 0, "stop": 9, "spk_id": "ann"}},
}  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(sorted(ENTRIES)), st.integers(0, 20), ANYTHING)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_a_manifest_is_read_or_refused(source: Path, name: str, field: int, value: object) -> None:
    content = json.loads(json.dumps(ENTRIES[name]))
    fields: list[tuple[dict[str, object], str]] = []
    waiting = [content]
    while waiting:
        one = waiting.pop()
        fields += [(one, key) for key in one]
        waiting += [inner for inner in one.values() if isinstance(inner, dict)]
        waiting += [
            inner for some in one.values() if isinstance(some, list) for inner in some if isinstance(inner, dict)
        ]
    holder, key = fields[field % len(fields)]
    holder[key] = value
    with suppress(UserError):
        scan(lines(source / name, content))


@given(st.sampled_from(["wav.scp", "utt2spk", "segments", "reco2file_and_channel"]), st.binary(max_size=40))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_a_kaldi_directory_are_read_or_refused(source: Path, name: str, content: bytes) -> None:
    folder = source / "data" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    sound = {
        "wav.scp": "r1 w/a.wav\n",
        "utt2spk": "u1 ann\n",
        "segments": "u1 r1 0 1\n",
        "reco2file_and_channel": "r1 r A\n",
    }
    for file, text in sound.items():
        (folder / file).write_bytes(text.encode() + (content if file == name else b""))
    with suppress(UserError):
        scan(folder)
