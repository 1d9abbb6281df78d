"""The page of `export --to web` in headless Chromium: no network, the answers of Python, and people of its own."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import soxr

from recognition.bundles import Trained
from speakerid.cli import run
from speakerid.deployment.web_page import export_page
from speakerid.recognition.centers import PRIOR, centers_of
from speakerid.recognition.decision import Rule, Thresholds
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import MOST_CLIPS
from speakerid.recognition.recognizer import Recognizer
from web.browser import Browser

LIBRARY = Path(__file__).parents[2] / "build" / "onnxruntime-web-1.30.0.tgz"
if not LIBRARY.exists():
    pytest.skip(f"needs {LIBRARY.name}: make build/{LIBRARY.name}", allow_module_level=True)

ODD = "Zoë <b>${1+1}</b> {{name}}"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        self.server.lines.append(self.requestline)  # type: ignore[attr-defined]


@contextmanager
def static(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder, and yield its address and the lines of all requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    server.lines = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.lines  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def page(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "page"
    export_page(trained.bundle, folder, LIBRARY)
    return folder


@pytest.fixture(scope="module")
def opened(trained: Trained, page: Path) -> Iterator[Browser]:
    """Browser with the page, which was asked for by GET alone."""
    browser = Browser(trained.clips(trained.stranger)[0])
    with static(page) as (address, lines):
        browser.driver.get(address)
        browser._wait(lambda: browser.find("#controls").get_attribute("disabled") is None, "the model")
        yield browser
        browser.driver.quit()
    assert lines
    assert all(line.startswith("GET /") and "?" not in line for line in lines)


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """Browser with the page, which requests nothing elsewhere during the test."""
    yield opened
    assert opened.asked() <= {urlsplit(opened.driver.current_url).netloc}


def called(browser: Browser, code: str, *arguments: object) -> Any:
    """Result of an asynchronous function in the page, whose arguments are `given`."""
    browser.driver.set_script_timeout(60)
    result = browser.driver.execute_async_script(
        "const given = [...arguments], done = given.pop();"
        f"(async () => {{ {code} }})().then((found) => done([found]), (error) => done(String(error)));",
        *arguments,
    )
    assert isinstance(result, list), result
    return result[0]


def test_scores_and_answers_are_those_of_python(trained: Trained, browser: Browser, tmp_path: Path) -> None:
    profiles, recognizer = trained.bundle.profiles, Recognizer(trained.bundle)
    clips = [trained.clips(name)[0] for name in (*profiles.names[:3], trained.stranger)]
    samples, rate = soundfile.read(clips[0], dtype="float32")
    soundfile.write(tmp_path / "opposed.wav", np.stack([samples, -0.9 * samples], 1), rate)  # channels cancel out
    for name, other in (("low.wav", 8_000), ("high.flac", 44_100)):
        soundfile.write(tmp_path / name, soxr.resample(samples, rate, other), other)
    clips = [*clips, *(tmp_path / name for name in ("opposed.wav", "low.wav", "high.flac"))]
    files = [base64.b64encode(clip.read_bytes()).decode() for clip in clips]
    code = """
        const { Recognizer } = await import("./recognizer.js"), recognizer = await Recognizer.load(), found = [];
        for (const file of given[0]) {
            const voice = await recognizer.listen(Uint8Array.from(atob(file), (c) => c.charCodeAt(0)).buffer);
            found.push([Array.from(voice.print), recognizer.answer(voice, 0.05, 100)]);
        }
        return found;"""
    for clip, (print_, found) in zip(clips, called(browser, code, files), strict=True):
        voice = recognizer.listen(clip)
        expected = recognizer.answer(voice, 0.05, 100)
        assert found["seconds"] == pytest.approx(voice.seconds)
        np.testing.assert_allclose(print_, voice.voice_print, atol=1e-3)
        scores = dict(zip(profiles.names, profiles.scores(voice.voice_print[None])[0].tolist(), strict=True))
        assert {one["name"]: one["score"] for one in found["ranking"]} == pytest.approx(scores, abs=1e-3)
        assert (found["name"], found["probability"]) == (expected.name, pytest.approx(expected.probability, abs=1e-3))
        assert found["threshold"] == pytest.approx(expected.threshold, abs=1e-6)
        assert {one["name"]: one["probability"] for one in found["ranking"]} == pytest.approx(
            dict(expected.ranking), abs=1e-3
        )


def test_the_sample_rate_of_a_file_is_read_from_its_header(browser: Browser, tmp_path: Path) -> None:
    files, rates = [], (8_000, 16_000, 22_050, 44_100, 48_000)
    for name in ("wav", "flac", "ogg", "mp3"):
        for rate in rates:
            soundfile.write(tmp_path / f"{rate}.{name}", np.zeros(rate), rate)
            files.append((tmp_path / f"{rate}.{name}").read_bytes())
    files.append(b"ID3\x04\0\0\0\0\x01\x05" + bytes(133) + files[-1])  # a tag of 1 · 128 + 5 bytes
    files.append(files[0][:12] + b"JUNK\x03\0\0\0" + bytes(4) + files[0][12:])  # chunks have an even length
    code = """
        const { rateOf } = await import("./sound.js");
        return given[0].map((file) => rateOf(Uint8Array.from(atob(file), (c) => c.charCodeAt(0)).buffer));"""
    found = called(browser, code, [base64.b64encode(file).decode() for file in [*files, b"", bytes(100), b"RIFF" * 30]])
    assert found == [*rates * 4, 48_000, 8_000, 48_000, 48_000, 48_000]


def test_arithmetic_is_that_of_python_for_any_rule(browser: Browser) -> None:
    rng, cases, expected = np.random.default_rng(0), [], []
    for case in range(200):
        width, count, clips = int(rng.integers(1, 9)), case % 4, int(rng.integers(1, 40))
        lengths, rates = np.sort(rng.uniform(0.5, 9, 1 + case % 3)), np.sort(rng.uniform(0.001, 0.5, 1 + case % 4))
        rule = Rule(
            rng.uniform(0.1, 500, len(lengths)), rng.normal(size=len(lengths)),
            Thresholds(lengths, rates, rng.normal(size=(len(lengths), len(rates)))),
        )  # fmt: skip
        plda = Plda(float(rng.uniform(0.01, 2)), rng.uniform(0.001, 3, width))
        points, print_ = rng.normal(size=(1 + count % 3, width)).astype(np.float32), rng.normal(size=width)
        scores, seconds, share = (
            np.sort(rng.normal(size=case % 6))[::-1],
            rng.uniform(0.2, 12),
            rng.uniform(0.0005, 0.9),
        )
        centers, number = centers_of(points)[0].astype(np.float64), np.array([min(clips, MOST_CLIPS)])
        slopes, offsets = plda.lines(centers[None], number)
        score = (slopes[0] @ print_ + offsets[0]).max() + plda.curvatures(number)[0] @ print_**2
        odds = rule.log_odds(scores[None], seconds)[0].tolist() if len(scores) else []
        expected.append([score, *odds, float(rule.thresholds.at(seconds, share))])
        as_json = {
            "seconds": lengths.tolist(), "rates": rates.tolist(), "scale": rule.scale.tolist(),
            "unknown": rule.unknown.tolist(), "log_odds": rule.thresholds.log_odds.tolist(),
        }  # fmt: skip
        plda_json = {"within": plda.within, "between": plda.between.tolist(), "most_clips": MOST_CLIPS}
        cases.append([as_json, plda_json, points.tolist(), clips, print_.tolist(), scores.tolist(), seconds, share])
    code = f"""
        const {{ centersOf, logOdds, score, threshold }} = await import("./scoring.js");
        return given[0].map(([rule, plda, points, clips, print, scores, seconds, share]) => [
            score(print, {{ centers: centersOf(points, {PRIOR}), clips }}, plda),
            ...logOdds(scores, seconds, rule), threshold(seconds, share, rule)]);"""
    for found, wanted in zip(called(browser, code, cases), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_people_are_enrolled_kept_saved_and_deleted(trained: Trained, browser: Browser, tmp_path: Path) -> None:
    clips, driver = trained.clips(trained.stranger), browser.driver
    expected = Recognizer(trained.bundle).identify(clips[0])
    browser.find("#file").send_keys(str(clips[0]))
    said = browser.wait_for("#answer", "s of sound without pauses").splitlines()
    assert said[0] == (expected.name or "Unknown speaker")
    assert said[2:-1:2] == [speaker for speaker, _ in expected.ranking]

    browser.find("#files").send_keys("\n".join(map(str, clips[:3])))
    browser.wait_for("#gathered", "3 recordings so far")
    browser.find("#name").send_keys(ODD)
    browser.find("#enroll .primary").click()
    browser.wait_for("#state", f"{ODD} is enrolled.")
    browser.find("#file").send_keys(str(clips[1]))
    browser.wait_for("#answer", ODD)
    enrolled = Recognizer(
        trained.bundle.enrolled(ODD, np.stack([Recognizer(trained.bundle).embed(c) for c in clips[:3]]))
    )
    kept = called(browser, """
        const { Recognizer } = await import("./recognizer.js"), recognizer = await Recognizer.load();
        const { score } = await import("./scoring.js");
        return [recognizer.exported(), recognizer.enrolled.map((one) => score(given[0], one, recognizer.profiles))];
    """, enrolled.embed(clips[3]).tolist())  # fmt: skip
    assert kept[1] == pytest.approx([enrolled.bundle.profiles.scores(enrolled.embed(clips[3])[None])[0, -1]], abs=1e-3)

    driver.refresh()
    browser.wait_for("#people", f"{ODD} 3 in this browser")
    browser.find("#people button").click()
    browser.wait_for("#state", f"{ODD} is deleted.")
    assert ODD not in browser.find("#people").text
    assert "prints" not in json.dumps(driver.execute_script("return {...localStorage}"))

    (tmp_path / "people.json").write_text(kept[0])
    browser.find("#load").send_keys(str(tmp_path / "people.json"))
    browser.wait_for("#people", f"{ODD} 3 in this browser")
    other = json.loads(kept[0]) | {"encoder": "another"}
    for content, reason in (
        (kept[0], "is enrolled already"),
        (json.dumps(other), "another model"),
        ("{", "is not a file"),
    ):
        (tmp_path / "people.json").write_text(content)
        browser.find("#load").send_keys(str(tmp_path / "people.json"))
        browser.wait_for("#state", reason)
    browser.find("#forget-all").click()
    driver.switch_to.alert.accept()
    browser.wait_for("#state", "All enrolled people are deleted.")
    assert driver.execute_script("return localStorage.length") == 0


def test_a_voice_is_recorded(browser: Browser) -> None:
    browser.find("#record").click()
    browser.wait_for("#record", "Stop (2 s)")
    browser.find("#record").click()
    browser.wait_for("#answer", "s of sound without pauses")


def test_mistakes_are_said_in_the_page(trained: Trained, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    (tmp_path / "large.wav").write_bytes(bytes(21 * 2**20))
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "long.wav", np.zeros(121 * 8_000), 8_000)
    for name, reason in (
        ("broken", "cannot be decoded by this browser"), ("silent", "is silent"), ("long", "is longer than 120 s"),
        ("large", "is larger than 20 MB"),
    ):  # fmt: skip
        browser.find("#file").send_keys(str(tmp_path / f"{name}.wav"))
        browser.wait_for("#answer", f"No speaker can be identified: {name}.wav: {reason}.")
    name = trained.bundle.profiles.names[0]
    for text, reason in (
        ("Anna", "no recording yet"), (name, f"{name} is enrolled already"), ("Unknown 1", "what answers use"),
    ):  # fmt: skip
        browser.find("#name").clear()
        browser.find("#name").send_keys(text)
        browser.find("#enroll .primary").click()
        browser.wait_for("#state", reason)
        if text == "Anna":
            browser.find("#files").send_keys(str(trained.clips(trained.stranger)[0]))
            browser.wait_for("#gathered", "1 recording so far")


def test_the_browser_refuses_to_send_anything_elsewhere(opened: Browser, tmp_path: Path) -> None:
    with static(tmp_path) as (elsewhere, lines):
        refused = "return fetch(given[0]).then(() => 'sent', (error) => String(error))"
        assert "Failed to fetch" in called(opened, refused, elsewhere)
        inline = "const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
        assert called(opened, f"{inline} document.body.append(made); return window.ran ?? 'refused'") == "refused"
    assert lines == []
    opened.asked()  # the refused request is among them


def test_a_forgotten_speaker_is_gone_from_the_page(trained: Trained, browser: Browser, page: Path) -> None:
    name, other = trained.bundle.profiles.names[:2]
    browser.wait_for("#people", name)
    assert run(["forget", str(page), name]) == 0
    browser.driver.refresh()
    browser.wait_for("#people", other)
    assert name not in browser.find("#people").text
