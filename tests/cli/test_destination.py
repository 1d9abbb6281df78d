"""Outputs of every command that would replace another file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recognition.bundles import Trained
from run_folders import trained as trained_line
from run_folders import validated, write_run
from speakerid.base.errors import UserError
from speakerid.cli import kinds, run
from speakerid.cli.destination import check_destination
from speakerid.cli.kinds import Kind, content_of
from speakerid.recognition.timeline import Segment
from speakerid.recognition.timeline_files import as_rttm, draw

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40)
CONTENTS = {
    "m1.wav": WAV,
    "scores.jsonl": b'{"step": 1}\n',
    "notes.txt": b"mine\n",
    "x.zip": b"PK\x03\x04" + bytes(30),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of a user."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as info:
        run([str(argument) for argument in arguments])
    return str(info.value)


def link(source: str, name: str) -> None:
    os.symlink(source, name)


def hard_link(source: str, name: str) -> None:
    os.link(source, name)


def spelling(source: str, name: str) -> None:
    os.mkdir(name.partition("/")[0])


WAYS: dict[str, tuple[str, Callable[[str, str], None] | None]] = {
    "itself": ("input", None),
    "link": ("link", link),
    "hard link": ("hard", hard_link),
    "spelling": ("folder/../input", spelling),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "arguments",
    [
        "infer --checkpoint other input --data corpus --output OUT",
        "export input OUT",
        "export input OUT --to onnx",
        "export input OUT --to torchscript",
    ],
)
def test_an_output_is_never_an_input(arguments: str, way: str, folder: Path) -> None:
    output, make = WAYS[way]
    Path("input").write_bytes(b"precious")
    if make:
        make("input", output)
    assert "is an input of this command" in refused(*arguments.replace("OUT", output).split())
    assert Path("input").read_bytes() == b"precious"


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize(
    "arguments",
    [
        "infer --checkpoint k.pt --data corpus --output FILE",
        "export k.pt FILE",
        "export b FILE --to onnx",
        "export b FILE --to torchscript",
        "average run --output FILE",
        "runs runs --plot FILE",
    ],
)
def test_a_file_of_another_kind_is_never_replaced(arguments: str, name: str, folder: Path) -> None:
    write_run(folder / "runs" / "a", trained_line(2), validated(2))
    message = refused(*arguments.replace("FILE", name).split())
    assert f"{name}: found {'a recording' if name == 'm1.wav' else ''}" in message
    assert "to replace; choose another name or delete the file" in message
    assert {name: Path(name).read_bytes() for name in CONTENTS} == CONTENTS


@pytest.mark.parametrize("output", ["m1.wav", "m2.wav", "speaker.safetensors", "./clip.wav", "notes.txt"])
@pytest.mark.parametrize("option", ["--rttm", "--picture"])
def test_a_timeline_replaces_neither_recording_nor_bundle(
    trained: Trained, bundle: Path, output: str, option: str, folder: Path
) -> None:
    clip = trained.clips(trained.stranger)[0].read_bytes()
    for name in ("clip.wav", "m2.wav"):
        Path(name).write_bytes(clip)
    if option == "--picture":
        os.symlink(output, "link.png")
    before = Path(output).read_bytes()
    target = "link.png" if option == "--picture" else output
    message = refused("identify", bundle, "clip.wav", "--timeline", option, target)
    assert message.startswith(f"{option}: {Path(target)}: ")
    assert Path(output).read_bytes() == before


def test_two_outputs_are_two_files(bundle: Path, trained: Trained, folder: Path) -> None:
    clip = trained.clips(trained.stranger)[0]
    message = refused("identify", bundle, clip, "--timeline", "--rttm", "a.png", "--picture", "./a.png")
    assert message.startswith("--picture: a.png: is an input of this command")


def test_evaluate_does_not_replace_the_report_of_the_corpus(trained: Trained, bundle: Path, folder: Path) -> None:
    assert "report.html: is an input" in refused("evaluate", bundle, trained.corpus, "--out", trained.corpus)
    (folder / "out").mkdir()
    (folder / "out" / "det.png").write_bytes(b"\x89PNG\r\n\x1a\n my own")
    assert "det.png: found a PNG picture" in refused("evaluate", bundle, trained.corpus, "--out", "out")
    (folder / "out" / "report.html").write_text("<!doctype html>mine")
    assert "report.html: found a text" in refused("evaluate", bundle, trained.corpus, "--out", "out")
    assert "No such file" not in refused("evaluate", bundle, trained.corpus, "--out", "notes.txt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("prepare rec rec", "OUT: rec: is in rec, an input of this command"),
        ("prepare rec rec/corpus", "OUT: rec/corpus: is in rec, an input"),
        ("prepare rec link/corpus", "OUT: link/corpus: is in rec, an input"),
        ("prepare rec out --company .", "OUT: out: is in ., an input"),
        ("prepare out/recordings.csv out", "SOURCE: out/recordings.csv: is a file that will be written to OUT"),
        ("prepare --download librispeech:dev-clean downloads", "OUT: downloads: is in downloads, an input"),
        ("prepare rec page", "OUT: page/report.html: found a text that begins with 'mine'"),
        ("synthesize demo --wav demo", "--wav: demo: is inside demo"),
        ("synthesize demo/out --wav demo", "--wav: demo: is inside demo/out"),
        ("synthesize demo --wav demo/wav", "--wav: demo/wav: is inside demo"),
        ("synthesize notes.txt/demo", "OUT: notes.txt/demo: cannot be written"),
    ],
)
def test_an_output_folder_is_not_inside_its_input(arguments: str, message: str, folder: Path) -> None:
    for name in ("rec", "out", "page"):
        Path(name).mkdir()
    Path("out/recordings.csv").touch()
    Path("page/report.html").write_text("mine")
    os.symlink("rec", "link")
    before = sorted(folder.rglob("*"))
    assert refused(*arguments.split()).startswith(message)
    assert sorted(folder.rglob("*")) == before


def test_a_run_keeps_its_own_files(folder: Path) -> None:
    runs = write_run(folder / "runs" / "a", trained_line(2), validated(2))
    (runs / "curves.png").write_bytes(b"\x89PNG\r\n\x1a\n Matplotlib")
    for name in ("curves.png", "metrics.jsonl"):
        assert "is an input" in refused("runs", "runs", "--plot", f"runs/a/{name}")
    for name in ("best.pt", "last.pt", "config.yaml"):
        assert "is an input" in refused("average", "runs/a", "--output", f"runs/a/{name}")


def test_outputs_that_cannot_be_written_are_refused_before_the_work(folder: Path) -> None:
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    for output, reason in (
        ("pipe", "a pipe"), ("/dev/null", "a device"), (".", "found a folder"), ("notes.txt/a.csv", "Not a directory"),
        ("n" * 300, "name too long"), ("loop", "symbolic links"), ("/proc/a.csv", "cannot be written"),
    ):  # fmt: skip
        message = refused("infer", "--checkpoint", "no.pt", "--data", "no", "--output", output)
        assert message.startswith(f"--output: {output}: ")
        assert reason in message


def test_outputs_of_each_command_may_be_written_again(trained: Trained, tmp_path: Path) -> None:
    segments = [Segment(0, 1, "Anna", 0.5)]
    for ending in (".png", ".svg", ".pdf"):
        draw(segments, "talk", tmp_path / f"a{ending}")
        check_destination(tmp_path / f"a{ending}", kinds.FIGURE, ())
    rttm, submission, report = tmp_path / "a.rttm", tmp_path / "a.csv", trained.corpus / "report.html"
    rttm.write_text(as_rttm({Path("a"): segments}, [Path("a")], ["Anna"]))
    submission.write_text("Id,Category\nuttr-1.pt,anna\n")
    written = {
        trained.path: kinds.BUNDLE, rttm: kinds.RTTM, submission: kinds.SUBMISSION, trained.checkpoint: kinds.CHECKPOINT
    }  # fmt: skip
    for path, kind in written.items():
        check_destination(path, kind, [report])
        assert content_of(path) == kind.name
        for other in {*written.values()} - {kind}:
            with pytest.raises(UserError, match="to replace"):
                check_destination(path, other, ())
    (tmp_path / "empty").touch()
    check_destination(tmp_path / "empty", kinds.RTTM, ())
    with pytest.raises(UserError, match="found a checkpoint, expected a new name or an average"):
        check_destination(trained.checkpoint, kinds.AVERAGE, ())


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff" * 99, b"PK\x03\x04" + b"\0" * 99, b"{", b"%PDF", b"SPEAKER "])
def test_any_content_can_be_recognized(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert content_of(path)
    never = Kind("nothing", lambda _: False)
    if content:
        with pytest.raises(UserError, match="file: found "):
            check_destination(path, never, ())


@pytest.mark.parametrize("content", [b";; a comment", b";; one\n;; two"])
def test_a_text_of_comments_is_not_an_rttm(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes.rttm").write_bytes(content)
    with pytest.raises(UserError, match="found a text that begins with ';; "):
        check_destination(tmp_path / "notes.rttm", kinds.RTTM, ())


def test_an_output_is_not_the_redirected_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("wb") as file:
        monkeypatch.setattr("speakerid.cli.destination.STDOUT", file.fileno())
        with pytest.raises(UserError, match="where this command prints"):
            check_destination(tmp_path / "log", kinds.RTTM, ())
