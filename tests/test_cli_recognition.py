"""From a checkpoint to names, on the command line."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recognition.bundles import Trained
from speakerid.audio.decode import write_wav
from speakerid.base.printing import printable
from speakerid.cli import main, run
from speakerid.cli.destination import check_destination
from speakerid.cli.kinds import ONNX, TORCHSCRIPT, content_of
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.recognizer import Recognizer


@pytest.fixture
def bundle(trained: Trained, tmp_path: Path) -> Path:
    copy = tmp_path / "speaker.safetensors"
    copy.write_bytes(trained.path.read_bytes())
    return copy


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr("sys.argv", ["speakerid", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_export_prints_the_expected_performance(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, output = tmp_path / "best\udce9.pt", tmp_path / "again\n\udce9.safetensors"  # names with any bytes
    os.link(trained.checkpoint, checkpoint)
    assert run(["export", str(checkpoint), str(output)]) == 0
    lines = said(capsys)
    assert lines[0] == f"6 speakers: {printable(str(output))}"
    assert "24 of 2 strangers" in lines[1]
    assert lines[3].split()[:2] == ["0.5", "s"]
    assert output.exists()


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_a_bundle_is_exported_for_other_programs(
    bundle: Path, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "speaker\n\udce9.out"
    assert run(["export", str(bundle), str(output), "--to", to]) == 0
    lines = said(capsys)
    assert lines[0] == f"6 speakers: {printable(str(output))}"
    assert float(lines[1].split()[5].rstrip(",")) < 1e-5
    kind = {"onnx": ONNX, "torchscript": TORCHSCRIPT}[to]
    assert content_of(output) == kind.name
    check_destination(output, kind, [bundle])


def test_a_corpus_has_no_effect_on_exports(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "speaker.onnx"
    line = refused(monkeypatch, capsys, "export", bundle, output, "--to", "onnx", "--data", tmp_path)
    assert line == "error: --data: has no effect with --to onnx, which needs no corpus; leave it out"
    assert not output.exists()


def test_identify_answers_every_file_in_three_forms(
    trained: Trained, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speaker = trained.bundle.profiles.names[0]
    folder = trained.recordings / speaker
    pattern = str(trained.recordings / speaker / "session00" / "*.wav")
    assert run(["identify", str(bundle), str(folder), pattern, "--json", "--false-accepts", "0.5"]) == 0
    answers = [json.loads(line) for line in said(capsys)]
    assert [answer["file"] for answer in answers] == [str(clip) for clip in trained.clips(speaker)]
    assert sum(answer["name"] == speaker for answer in answers) > len(answers) / 3
    assert all(len(answer["ranking"]) == 3 for answer in answers)
    assert run(["identify", str(bundle), str(folder), "--csv", "--top", "1", "--false-accepts", "0.5"]) == 0
    rows = list(csv.DictReader(said(capsys)))
    assert [row["name"] or None for row in rows] == [answer["name"] for answer in answers]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    assert run(["identify", str(bundle), str(folder), str(broken), "--false-accepts", "0.5"]) == 1
    lines = said(capsys)
    assert lines[-1].startswith(f"{broken}: broken: ")
    named = [line.split(": ")[1].split()[0] for line in lines[:-1]]
    assert [None if name == "unknown" else name for name in named] == [answer["name"] for answer in answers]


def test_verify_exits_with_the_decision(trained: Trained, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (str(trained.clips(name)[0]) for name in trained.bundle.profiles.names[:2])
    assert run(["verify", str(bundle), first, first]) == 0
    print_of_first = Recognizer(trained.bundle).listen(Path(first)).voice_print
    score = trained.bundle.profiles.plda.score_pairs(print_of_first, print_of_first)
    assert said(capsys)[0].startswith(f"same speaker: score {score:.3f}, probability")
    status = run(["verify", str(bundle), first, second, "--json"])
    verdict = json.loads(said(capsys)[0])
    assert status == (0 if verdict["same"] else 1)
    assert verdict["seconds"] > 0.5


def test_speakers_are_enrolled_and_forgotten(
    trained: Trained, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [str(clip) for clip in trained.clips(trained.stranger)]
    assert run(["enroll", str(bundle), "Zoe", *clips[:3]]) == 0
    assert said(capsys) == ["Zoe: enrolled from 3 recordings; 7 speakers in all"]
    assert run(["identify", str(bundle), clips[0], "--json"]) == 0
    assert json.loads(said(capsys)[0])["ranking"][0]["name"] == "Zoe"
    assert run(["rename", str(bundle), "Zoe", "Zora"]) == 0
    assert run(["speakers", str(bundle)]) == 0
    assert any(line.split() == ["Zora", "3", "recordings,", "enrolled"] for line in said(capsys))
    assert run(["forget", str(bundle), "Zora"]) == 0
    assert run(["speakers", str(bundle), "--json"]) == 0
    listed = json.loads(said(capsys)[-1])
    assert [speaker["name"] for speaker in listed["speakers"]] == list(trained.bundle.profiles.names)
    assert "of 2 strangers" in listed["card"]["fitted_on"]


@pytest.mark.parametrize("name", ["a.wav", "nothing.FLAC", "notes"])
def test_a_missing_name_is_reported(
    bundle: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bundle.read_bytes()
    monkeypatch.chdir(tmp_path)
    for file in ("a.wav", "b.wav", "notes"):
        Path(file).touch()
    line = refused(monkeypatch, capsys, "enroll", bundle, name, "b.wav")
    assert line.startswith(f"error: NAME: found the file name {name}, expected the speaker's name before")
    assert line.endswith(f"run speakerid enroll {bundle} NAME {name} b.wav")
    assert bundle.read_bytes() == before


def test_a_folder_may_have_the_name_of_its_speaker(
    trained: Trained, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.recordings / trained.stranger / "session00", "Zoe")
    Path("Zoe/._00.wav").write_bytes(b"what a Mac leaves")
    Path("Zoe/notes.txt").touch()
    assert run(["enroll", str(bundle), "Zoe", "Zoe"]) == 0
    out, err = capsys.readouterr()
    count = len(list(Path("Zoe").glob("[!.]*.wav")))
    assert f"enrolled from {count} recording{'s' if count > 1 else ''};" in out
    assert err.splitlines() == ["note: skipped, not recordings by their extension: 1 .txt"]


def test_verify_reports_the_broken_recording(
    trained: Trained, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, broken, silent = trained.clips(trained.stranger)[0], tmp_path / "broken.wav", tmp_path / "silent.wav"
    broken.write_bytes(b"RIFF")
    write_wav(silent, np.zeros(16_000, np.float32), 16_000)
    assert refused(monkeypatch, capsys, "verify", bundle, good, broken).startswith(f"error: B: {broken}: broken: ")
    line = refused(monkeypatch, capsys, "verify", bundle, silent, broken)
    assert line.startswith(f"error: A: {silent}: silent: ")
    assert f"; B: {broken}: broken: " in line


ODD = ["tab\tname", "line\nbreak", "\x1b[31mred", "latin\udce9", "back\\slash", "<NA>", "a  b", "日本 語", "\u202eevil"]


@pytest.mark.parametrize("form", ["", "--json", "--csv", "--timeline", "--timeline --json", "--timeline --csv"])
def test_odd_names_are_printed_in_every_format(
    trained: Trained, bundle: Path, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "odd \udcff"
    folder.mkdir()
    clip = trained.clips(trained.stranger)[0]
    for name in ODD:
        os.link(clip, folder / f"{name}.wav")
    rttm = ["--rttm", str(tmp_path / "odd.rttm")] if "--timeline" in form else []
    assert run(["identify", str(bundle), str(folder), *form.split(), *rttm]) == 0
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in [*out.splitlines(), *err.splitlines()])
    paths = {str(folder / f"{name}.wav") for name in ODD}
    if "--json" in form:
        assert {json.loads(line)["file"] for line in out.splitlines()} == paths
    elif "--csv" in form:
        assert {row["file"] for row in csv.DictReader(out.splitlines())} == set(map(printable, paths))
    else:
        assert all(any(line.startswith(f"{printable(path)}: ") for line in out.splitlines()) for path in paths)
    if rttm:
        lines = (tmp_path / "odd.rttm").read_text(encoding="utf-8").splitlines()
        assert {len(line.split()) for line in lines} == {10}
        assert len({line.split()[1] for line in lines}) == len(ODD)


def test_a_picture_of_an_odd_name_is_drawn(trained: Trained, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "\x1b\n\udce9$x_.wav"
    os.link(trained.clips(trained.stranger)[0], path)
    assert run(["identify", str(bundle), str(path), "--timeline", "--picture", str(tmp_path / "a.svg")]) == 0
    assert "\\x1b\\n\\udce9$x_.wav" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_too_long_does_not_suggest_a_missing_option(
    trained: Trained, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("speakerid.recognition.voice_encoder.MAX_SECONDS", 1.0)
    clip = next(clip for clip in trained.clips(trained.stranger) if soundfile.info(clip).duration > 1)
    for arguments in (["verify", bundle, clip, clip], ["enroll", bundle, "Zoe", clip]):
        line = refused(monkeypatch, capsys, *arguments)
        assert "the limit is 0.02 min; cut it into shorter recordings" in line
        assert "--max-minutes" not in line


def test_mistakes_give_one_line(
    trained: Trained, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(*arguments: object) -> str:
        return refused(monkeypatch, capsys, *arguments)

    assert "found no recordings there" in line("identify", bundle, tmp_path / "nothing*.wav")
    assert "did you mean" in line("forget", bundle, "demo000")
    assert "is enrolled already" in line("enroll", bundle, trained.bundle.profiles.names[0], trained.recordings)
    assert "`speakerid export` makes a bundle of a checkpoint" in line("speakers", trained.checkpoint)
    assert "found a bundle, expected a checkpoint" in line("export", bundle, tmp_path / "again.safetensors")
    assert bundle.read_bytes() == trained.path.read_bytes()


def test_recordings_are_added_with_warnings(
    trained: Trained, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [str(clip) for clip in trained.clips(trained.stranger)]
    assert run(["enroll", str(bundle), "Zoe", *clips[:2]]) == 0
    assert run(["enroll", str(bundle), "--add", "Zoe", *clips[1:4]]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == "Zoe: 2 recordings added, 4 in all"
    assert f"skipped: {clips[1]}: is a recording of 'Zoe' already" in captured.err
    assert run(["enroll", str(bundle), "Anna", clips[0]]) == 0
    assert f"warning: {clips[0]} (the same recording): sounds like 'Zoe'" in capsys.readouterr().err


def test_export_over_enrolled_speakers_needs_replace(
    trained: Trained, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["enroll", str(bundle), "Zoe", str(trained.clips(trained.stranger)[0])]) == 0
    before = bundle.read_bytes()
    line = refused(monkeypatch, capsys, "export", trained.checkpoint, bundle)
    assert "'Zoe' is enrolled (1 recording)" in line
    assert "--replace" in line
    assert bundle.read_bytes() == before
    assert run(["export", str(trained.checkpoint), str(bundle), "--replace"]) == 0
    assert said(capsys)[0] == "Replaced: in the old bundle 'Zoe' is enrolled (1 recording)."
    line = refused(monkeypatch, capsys, "export", bundle, tmp_path / "b.onnx", "--to", "onnx", "--replace")
    assert line.startswith("error: --replace: has no effect with --to onnx")


def test_export_enrolls_again(
    trained: Trained, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["enroll", str(bundle), "Zoe", str(trained.clips(trained.stranger)[0])]) == 0
    before = bundle.read_bytes()
    people = tmp_path / "people"
    (people / "Zoe").mkdir(parents=True)
    export = ["export", str(trained.checkpoint), str(bundle), "--enroll", str(people)]
    assert "found no recordings of 'Zoe'" in refused(monkeypatch, capsys, *export)
    (people / "Zoe" / "1.wav").write_bytes(b"no recording")
    assert "Zoe: not enrolled" in refused(monkeypatch, capsys, *export)
    assert bundle.read_bytes() == before
    (people / "Zoe" / "2.wav").write_bytes(trained.clips(trained.stranger)[0].read_bytes())
    assert run(export) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "Zoe: enrolled again from 1 recording"
    assert "skipped:" in captured.err
    assert "Zoe" in Bundle.load(bundle).profiles.names
    line = refused(monkeypatch, capsys, "export", bundle, tmp_path / "b.onnx", "--to", "onnx", "--enroll", people)
    assert line.startswith("error: --enroll: has no effect with --to onnx")
