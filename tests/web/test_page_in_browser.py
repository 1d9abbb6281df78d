"""The page in headless Chromium, as a person uses it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from recognition.bundles import Trained
from speakerid.recognition.recognizer import Recognizer
from speakerid.web.page import Limits
from web.browser import Browser
from web.pages import GRADIO_S_OWN, contents, served

pytest.importorskip("gradio", reason="needs Gradio, the extra `serve`")

pytestmark = GRADIO_S_OWN


@pytest.fixture(scope="module")
def chromium(trained: Trained) -> Iterator[Browser]:
    browser = Browser(trained.clips(trained.stranger)[0])
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(chromium: Browser, bundle: Path, temporary: Path) -> Iterator[Browser]:
    """Browser with a page of its own server."""
    chromium.asked()
    with served(bundle, Limits(megabytes=1, seconds=20)) as address:
        chromium.driver.get(address)
        yield chromium
        chromium.driver.get("about:blank")


def test_somebody_is_asked_about_enrolled_and_forgotten(
    trained: Trained, bundle: Path, browser: Browser, temporary: Path
) -> None:
    name = "Zoë <b>${1+1}</b> {{name}}"  # Gradio has templates of its own
    clips = trained.clips(trained.stranger)
    expected = Recognizer(trained.bundle).identify(clips[0])
    browser.find("#ask input[type=file]").send_keys(str(clips[0]))
    said = browser.wait_for("#answer", "s of sound without pauses").splitlines()
    assert said[0] == (expected.name or "Unknown speaker")
    assert said[2:-1:2] == [speaker for speaker, _ in expected.ranking]
    assert "threshold" in said[-1]

    browser.open_tab("Enroll")
    browser.find("#files input[type=file]").send_keys("\n".join(map(str, clips[:3])))
    browser.wait_for("#gathered", "3 recordings so far")
    browser.find("#name textarea, #name input").send_keys(name)
    browser.find("#enroll").click()
    browser.wait_for("#enrolled", f"{name} is enrolled from 3 recordings.")
    assert name in Recognizer.load(bundle).speakers

    browser.open_tab("Who is speaking?")
    browser.find("#ask input[type=file]").send_keys(str(clips[1]))
    browser.wait_for("#answer", name)

    browser.open_tab("Speakers")
    browser.wait_for("#speakers", f"{name} 3 enrolled")
    browser.choose(name)
    browser.find("#forget").click()
    browser.wait_for("#forgotten", f"{name} is forgotten.")
    browser._wait(lambda: name not in browser.find("#speakers").text, "the name to go")
    assert name not in Recognizer.load(bundle).speakers

    assert contents(temporary) == []
    assert browser.asked() == {urlsplit(browser.driver.current_url).netloc}


def test_a_voice_is_recorded(browser: Browser, temporary: Path) -> None:
    browser.find("#ask button[aria-label='Record audio']").click()
    browser.find("#ask .record-button").click()
    browser.wait_for("#ask", "0:01")
    browser.find("#ask .stop-button").click()
    browser.wait_for("#answer", "s of sound without pauses")
    assert contents(temporary) == []


def test_what_another_program_changes_is_shown_in_an_open_page(
    trained: Trained, bundle: Path, browser: Browser
) -> None:
    browser.open_tab("Speakers")
    first, second = trained.bundle.profiles.names[:2]
    browser.wait_for("#speakers", first)
    Recognizer.load(bundle).forget(first)
    browser._wait(lambda: first not in browser.find("#speakers").text, "the name to go")
    assert second in browser.find("#speakers").text
    good = bundle.read_bytes()
    bundle.unlink()
    browser.wait_for("#speakers", "The speakers cannot be listed: ")
    bundle.write_bytes(good)
    browser.wait_for("#speakers", second)
    browser.choose(second)


def test_mistakes_are_said_in_the_page(browser: Browser, tmp_path: Path, temporary: Path) -> None:
    for name, content in (("broken.wav", b"no sound"), ("large.wav", bytes(2_000_000))):
        (tmp_path / name).write_bytes(content)
    browser.find("#ask input[type=file]").send_keys(str(tmp_path / "broken.wav"))
    browser.wait_for("#answer", "No speaker can be identified in this recording: cannot be decoded")
    browser.find("#ask input[type=file]").send_keys(str(tmp_path / "large.wav"))
    browser.wait_for(".toast-body", "exceed the maximum allowed size of 1.0 Mb")
    browser.open_tab("Enroll")
    browser.find("#enroll").click()
    browser.wait_for("#enrolled", "Not enrolled: no recording yet.")
    assert contents(temporary) == []
