"""What a Python user does with the public names, with paths as text."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recognition.bundles import Trained
from speakerid import (
    Bundle,
    Checkpoint,
    PrepareOptions,
    Recognizer,
    Segment,
    UserError,
    decode,
    load_config,
    make_bundle,
    open_corpus,
    prepare,
)
from speakerid.corpus.check import check_corpus


@pytest.fixture
def recognizer(bundle: Path) -> Recognizer:
    return Recognizer.load(str(bundle))


ROOT = Path(__file__).resolve().parents[2]
RUN_ELSEWHERE = ("docs/files.md", "docs/tutorial.md")
SNIPPETS = {
    page.relative_to(ROOT).as_posix(): re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}


@pytest.fixture
def clip(trained: Trained, recognizer: Recognizer) -> str:
    return str(trained.clips(recognizer.speakers[0])[0])


def test_a_recognizer_takes_paths_as_text(recognizer: Recognizer, clip: str) -> None:
    answer = recognizer.identify(clip)
    assert answer.said in ("known", "unknown")
    assert [answer] == list(recognizer.identify_many([clip]))
    assert recognizer.identify("no.wav").said == "broken"
    assert recognizer.verify(clip, clip).same
    assert recognizer.enroll("Anna", clip).added == 1
    assert all(isinstance(segment, Segment) for segment in recognizer.timeline(clip))


def test_an_embedding_is_the_voice_print_of_a_recording(recognizer: Recognizer, clip: str) -> None:
    sound = decode(clip)
    embedding = recognizer.embed(clip)
    assert embedding.shape == recognizer.listen(clip).voice_print.shape
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    assert np.allclose(embedding, recognizer.embed(Path(clip)), atol=1e-6)
    assert np.allclose(embedding, recognizer.embed(sound.waveform, sound.sample_rate), atol=1e-6)


def test_a_timeline_is_a_method(recognizer: Recognizer, clip: str) -> None:
    sound = decode(clip)
    assert recognizer.timeline(clip, false_accepts=0.5) == recognizer.timeline(clip, false_accepts=0.5)
    assert recognizer.timeline(sound.waveform, sound.sample_rate) == recognizer.timeline(clip)


def test_texts_of_objects_say_what_they_hold(recognizer: Recognizer, bundle: Path, trained: Trained) -> None:
    assert repr(recognizer) == f'Recognizer("{bundle}", 6 speakers, 16 kHz)'
    assert repr(recognizer.bundle) == "Bundle(6 speakers, 16 kHz, conformer)"
    assert repr(Recognizer(recognizer.bundle)) == "Recognizer(6 speakers, 16 kHz)"
    assert "tensor" not in repr(Checkpoint.load(trained.checkpoint))


def test_a_recognizer_of_a_path_says_how_to_load_one() -> None:
    with pytest.raises(UserError, match=r"found 'a.safetensors', expected a Bundle; Recognizer.load\(path\) reads one"):
        Recognizer("a.safetensors")  # type: ignore[arg-type]


def test_a_corpus_and_a_run_take_paths_as_text(trained: Trained, tmp_path: Path) -> None:
    config = load_config(str(trained.checkpoint.parent / "config.yaml"))
    corpus, store = open_corpus(str(trained.corpus), packed=None)
    assert corpus.root == config.data.root == trained.corpus
    assert len(store) == len(corpus.labelled) == len(check_corpus(str(trained.corpus)).labelled)
    assert Checkpoint.load(str(trained.checkpoint)).speakers == corpus.speakers
    out = tmp_path / "speaker.safetensors"
    make_bundle(str(trained.checkpoint), str(trained.corpus)).save(str(out))
    assert Bundle.load(os.fspath(out)).profiles.names == corpus.speakers


def test_prepare_takes_paths_as_text(trained: Trained, tmp_path: Path) -> None:
    source, company = tmp_path / "recordings", tmp_path / "company"
    for folder, names in {source: trained.bundle.profiles.names[:2], company: [trained.stranger]}.items():
        for name in names:
            shutil.copytree(trained.recordings / name, folder / name)
    prepared = prepare(str(source), str(tmp_path / "out"), PrepareOptions(company=(str(company),), workers=0))
    assert len(prepared.corpus.speakers) == 2
    assert prepared.corpus.company is not None


@pytest.mark.parametrize("page", [page for page in SNIPPETS if SNIPPETS[page] and page not in RUN_ELSEWHERE])
def test_documented_python_runs(
    page: str, trained: Trained, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle.parent)
    shutil.copy(trained.clips(trained.bundle.profiles.names[0])[0], "hello.wav")
    shutil.copy("hello.wav", "meeting.wav")
    for index in (1, 2):
        shutil.copy(trained.clips(trained.stranger)[index], f"anna{index}.wav")
    clips = [decode(path) for path in trained.clips(trained.stranger)]
    for day in ("monday", "tuesday"):
        soundfile.write(f"{day}.wav", np.concatenate([clip.waveform for clip in clips]), clips[0].sample_rate)
    for snippet in SNIPPETS[page]:
        exec(snippet, {})
        assert len(capsys.readouterr().out.splitlines()) >= snippet.count("print(")


def test_the_readme_has_python() -> None:
    assert SNIPPETS["README.md"]
