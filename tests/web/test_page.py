"""Answers of the page, without a server."""

import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from recognition.bundles import Trained
from speakerid.audio.decode import write_wav
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Answer
from speakerid.web.page import Limits, Page
from speakerid.web.page_html import ranking, sentence, speakers

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


class Reader(HTMLParser):
    """Reads the texts of a page, and its tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def page(bundle: Path) -> Page:
    return Page(Recognizer.load(bundle), Limits(seconds=30))


def sent(clip: Path, folder: Path) -> Path:
    """Temporary copy of a recording, as a server makes one."""
    return Path(shutil.copy(clip, folder / f"sent-{clip.name}"))


def test_an_answer_is_the_recognizer_s_and_the_recording_is_gone(trained: Trained, page: Page, tmp_path: Path) -> None:
    recognizer = Recognizer(trained.bundle)
    for name in (*trained.bundle.profiles.names, trained.stranger):
        clip = trained.clips(name)[0]
        copy = sent(clip, tmp_path)
        expected = recognizer.identify(clip, false_accepts=0.001)
        voice, html = page.identify(copy, 0.1)
        assert html == ranking(expected)
        assert Reader(html).texts[0] == (expected.name or "Unknown speaker")
        assert f"{expected.seconds:.1f} s of sound" in html
        assert not copy.exists()
        assert page.reconsider(voice, 50) == ranking(recognizer.identify(clip, false_accepts=0.5))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"RIFF", "cannot be decoded"),
        (31.0, "is longer than 30 s"),
        (0.1, "expected 0.5 at least"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_heard_is_said_in_a_sentence_and_deleted(
    content: bytes | float | None, said: str, page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "sent.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        noise = np.random.default_rng(0).normal(size=round(16000 * content), scale=0.1)
        write_wav(path, noise.astype(np.float32), 16000)
    voice, html = page.identify(path, 1)
    (text,) = Reader(html).texts
    assert voice is None
    assert said in text
    assert not path.exists()
    assert page.reconsider(voice, 1) == ""


def test_somebody_is_enrolled_from_what_was_heard_and_forgotten(
    trained: Trained, page: Page, bundle: Path, tmp_path: Path
) -> None:
    clips = trained.clips(trained.stranger)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    voices, said = page.gather([sent(clips[0], tmp_path), broken], [])
    assert "broken.wav cannot be used: cannot be decoded" in said
    assert "1 recording so far" in said
    voices, said = page.gather([sent(clips[2], tmp_path)], voices)
    assert f"2 recordings so far, {sum(voice.seconds for voice in voices):.1f} s" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == [bundle.name]

    left, said = page.enroll(trained.bundle.profiles.names[0], voices)
    assert left == voices
    assert "Not enrolled" in said
    assert "is enrolled already" in said
    left, said = page.enroll(" Zoe ", voices)
    assert left == []
    assert said.startswith(sentence("Zoe is enrolled from 2 recordings"))
    assert Reader(page.speakers()[1]).texts[-3:] == ["Zoe", "2", "enrolled"]
    again = Recognizer.load(bundle)
    assert "Zoe" in again.speakers
    by_files = Recognizer(trained.bundle)
    by_files.enroll("Zoe", [clips[0], clips[2]])
    assert np.array_equal(again.bundle.profiles.centers, by_files.bundle.profiles.centers)

    assert page.forget("Zoe") == sentence("Zoe is forgotten")
    assert "Zoe" not in page.speakers()[0]
    assert "Zoe" not in Recognizer.load(bundle).speakers
    assert "no speaker has this name" in page.forget("Zoe")
    assert "choose a name" in page.forget(None)
    assert "no recording yet" in page.enroll("Zoe", [])[1]


@pytest.mark.parametrize(
    "name", [5, 1.5, True, ["Zoe"], {"name": "Zoe"}, "", " ", "a\nb", "\x1b[2J", "a\u202eb", "\ud800", "a" * 101, None]
)
def test_names_that_are_not_a_name_are_refused(name: object, trained: Trained, page: Page, bundle: Path) -> None:
    before = bundle.read_bytes()
    voices = [Recognizer(trained.bundle).listen(trained.clips(trained.stranger)[0])]
    left, said = page.enroll(name, voices)
    assert left == voices
    assert "Not enrolled: name: found" in said
    said = page.forget(name)
    assert "Not forgotten: " in said
    assert len(said) < 400
    said.encode()
    assert bundle.read_bytes() == before


@pytest.mark.parametrize("percent", ["1", None, True, [1], {}, 0, 0.09, -1, 51, float("nan"), float("inf"), 10**400])
def test_rates_that_are_not_a_rate_are_refused(percent: object, trained: Trained, page: Page, tmp_path: Path) -> None:
    voice, said = page.identify(sent(trained.clips(trained.stranger)[0], tmp_path), percent)
    assert voice is not None
    assert "false accepts: found" in said
    assert "expected a number from 0.1 to 50" in said
    assert "s of sound" in page.reconsider(voice, 1)


def test_markup_in_a_name_is_text(trained: Trained, page: Page) -> None:
    name = "<img src=x onerror=alert(1)>&amp;"
    page.enroll(name, [Recognizer(trained.bundle).listen(trained.clips(trained.stranger)[0])])
    names, html = page.speakers()
    assert name in names
    assert name in Reader(html).texts
    assert "img" not in {tag for tag, _ in Reader(html + page.forget(name)).tags}


def test_what_another_program_changes_is_noticed(trained: Trained, page: Page, bundle: Path) -> None:
    clips = trained.clips(trained.stranger)
    voice, _ = page.identify(sent(clips[0], bundle.parent), 50)
    other = Recognizer.load(bundle)
    other.enroll("Zoe", clips[:3])
    assert "Zoe" in page.speakers()[0]
    assert "Zoe" in page.reconsider(voice, 50)
    other.forget("Zoe")
    assert "Zoe" not in page.speakers()[0]
    assert "Zoe" not in page.reconsider(voice, 50)
    other.enroll("Zoe", clips[:3])
    other.rename("Zoe", "Zoë")
    assert "is forgotten" in page.forget("Zoë")
    assert Recognizer.load(bundle).speakers == trained.bundle.profiles.names


@pytest.mark.parametrize("content", [None, "folder", b"", b"no bundle", 1000])
def test_a_bundle_that_is_gone_or_damaged_is_said_until_it_is_good_again(
    content: bytes | int | str | None, trained: Trained, page: Page, bundle: Path
) -> None:
    clip = trained.clips(trained.stranger)[0]
    voice, answer = page.identify(sent(clip, bundle.parent), 1)
    assert voice is not None
    good = bundle.read_bytes()
    bundle.unlink()
    if content == "folder":
        bundle.mkdir()
    elif isinstance(content, int):
        bundle.write_bytes(good[:content])
    elif isinstance(content, bytes):
        bundle.write_bytes(content)
    copy = sent(clip, bundle.parent)
    texts = [page.identify(copy, 1)[1], page.reconsider(voice, 1), page.enroll("Zoe", [voice])[1], page.forget("Zoe")]
    names, listed = page.speakers()
    assert names == []
    for text in [*texts, listed, page.gather([sent(clip, bundle.parent)], [])[1]]:
        assert str(bundle) in text
    assert sorted(path.suffix for path in bundle.parent.iterdir() if path.is_file() and path != bundle) in (
        [],
        [".lock"],
    )
    if content == "folder":
        bundle.rmdir()
    bundle.write_bytes(good)
    assert page.identify(sent(clip, bundle.parent), 1)[1] == answer
    assert page.enroll("Zoe", [voice])[1].startswith(sentence("Zoe is enrolled from 1 recording"))
    assert "Zoe" in Recognizer.load(bundle).speakers


def test_voices_of_the_former_encoder_are_not_mixed_with_a_new_one(
    trained: Trained, page: Page, bundle: Path, tmp_path: Path
) -> None:
    clip = trained.clips(trained.stranger)[0]
    voice, _ = page.identify(sent(clip, tmp_path), 50)
    assert voice is not None
    weights = {name: np.asarray(np.float32(1.01) * tensor) if tensor.dtype.kind == "f" else tensor for name, tensor in
               trained.bundle.weights.items()}  # fmt: skip
    exported = replace(trained.bundle, weights=weights)
    bundle.unlink()
    exported.save(bundle)
    before = bundle.read_bytes()
    assert "give the recording again" in page.reconsider(voice, 50)
    left, said = page.enroll("Zoe", [voice])
    assert left == []
    assert "Not enrolled: " in said
    assert "give the recording again" in said
    assert bundle.read_bytes() == before
    again, said = page.identify(sent(clip, tmp_path), 50)
    assert said == ranking(Recognizer.load(bundle).identify(clip, false_accepts=0.5))
    assert again is not None
    assert "Zoe is enrolled" in page.enroll("Zoe", [again])[1]


def test_a_known_voice_under_another_name_is_doubted(trained: Trained, page: Page) -> None:
    voices = [Recognizer(trained.bundle).listen(clip) for clip in trained.clips(trained.stranger)[:3]]
    page.enroll("Zoe", voices)
    said = Reader(page.enroll("Ann", [*voices, voices[0]])[1]).texts
    assert said[0] == "Ann is enrolled from 3 recordings."
    assert any(text.startswith("Warning: ") and "Zoe" in text for text in said[1:])
    assert all("--add" not in text or "speakerid enroll --add" in text for text in said)  # the page has no options
    (refused,) = Reader(page.enroll("Zoe", voices)[1]).texts
    assert "speakerid enroll --add" in refused


def test_a_file_that_is_named_twice_is_one_recording(trained: Trained, page: Page, tmp_path: Path) -> None:
    copy = sent(trained.clips(trained.stranger)[0], tmp_path)
    voices, said = page.gather([copy, copy], [])
    assert len(voices) == 1
    assert "cannot be used" not in said


def test_a_folder_is_no_recording_and_stays(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "No speaker can be identified" in page.identify(folder, 1)[1]
    assert folder.is_dir()


@given(
    names=st.lists(NAMES, min_size=1, max_size=5, unique=True),
    shares=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    threshold=st.floats(0, 1),
    known=st.booleans(),
)
def test_bars_are_as_long_as_probable_and_names_are_text(
    names: list[str], shares: list[float], threshold: float, known: bool
) -> None:
    rows = tuple(zip(names, sorted(shares, reverse=True), strict=False))
    said = "known" if known else "unknown"
    reader = Reader(ranking(Answer(said, names[0] if known else None, 0.5, rows, 2.5, threshold)))
    assert {tag for tag, _ in reader.tags} == {"div", "p", "span"}
    styles = [attributes.get("style") for _, attributes in reader.tags if attributes.get("style")]
    fills, lines = styles[::2], styles[1::2]
    assert fills == [f"width: {100 * probability:.2f}%" for _, probability in rows]
    assert lines == [f"left: {100 * threshold:.2f}%"] * len(names)
    assert [text for text in reader.texts if text in names] == ([names[0]] if known else []) + names
    assert sum(attributes.get("class") == "bar chosen" for _, attributes in reader.tags) == known


@given(st.lists(st.tuples(NAMES, st.integers(1, 99), st.booleans()), max_size=4))
def test_the_table_says_who_is_known_and_how(rows: list[tuple[str, int, bool]]) -> None:
    cells = Reader(speakers(rows)).texts[3:]
    expected = [(name, str(clips), "in training" if trained else "enrolled") for name, clips, trained in rows]
    assert cells == [cell for row in expected for cell in row]


@given(st.text(min_size=1).filter(str.strip))
def test_a_sentence_is_text(text: str) -> None:
    reader = Reader(sentence(text))
    assert [tag for tag, _ in reader.tags] == ["p"]
    assert "".join(reader.texts) == f"{text}."


def test_a_float_file_beyond_full_scale_is_heard_as_by_the_recognizer(
    trained: Trained, page: Page, tmp_path: Path
) -> None:
    samples, rate = soundfile.read(trained.clips(trained.bundle.profiles.names[0])[0], dtype="float32")
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, 20 * samples / np.abs(samples).max(), rate, subtype="FLOAT")
    expected = Recognizer(trained.bundle).identify(loud)
    assert page.identify(loud, 1)[1] == ranking(expected)
