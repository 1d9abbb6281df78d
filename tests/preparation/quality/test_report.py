import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import escape
from matplotlib import rc_context, rcParams

from speakerid.audio.measure import Measured
from speakerid.preparation.quality.findings import Examined, Finding
from speakerid.preparation.quality.report import SHOWN, overview, spreads, terminal_report
from speakerid.preparation.quality.report_html import html_report
from speakerid.preparation.quality.report_plots import plots

VOID = {"meta", "br", "path", "use"}


def examined(
    speakers: int = 3, sessions: int = 2, each: int = 4, known: bool = True, seed: int = 0, clipped: bool = True
) -> Examined:
    rng = np.random.default_rng(seed)
    indices = [(one, day, take) for one in range(speakers) for day in range(sessions) for take in range(each)]
    measured = [
        Measured(
            seconds=float(rng.uniform(1, 9)),
            sample_rate=int(rng.choice([8_000, 16_000])),
            channels=1,
            peak_db=float(rng.uniform(-20, 0)),
            level_db=float(rng.uniform(-40, -15)),
            clipped=float(rng.choice([0, 1e-4, 0.01])) if clipped else 0.0,
            silence=float(rng.uniform(0, 1)),
            snr_db=float(rng.uniform(0, 50)),
        )
        for _ in indices
    ]
    return Examined(
        [f"s{one}/day{day}/{take}.wav" for one, day, take in indices],
        [f"s{one}" for one, _, _ in indices],
        [f"day{day}" if known else None for _, day, _ in indices],
        measured,
        [str(index) for index in range(len(indices))],
        [np.empty(0, np.uint32)] * len(indices),
        rng.standard_normal((len(indices), 4)).astype(np.float32),
    )


def found(count: int, kind: str = "noisy") -> list[Finding]:
    return [Finding(kind, f"s{n}: noise in s{n}/a.wav", (f"s{n}/a.wav",), "record again") for n in range(count)]


class Page(HTMLParser):
    """Collects the content of a page, and checks that all tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in {"href", "src", "xlink:href", "action", "data"}:
                self.references.append(str(value))
            assert not name.startswith("on"), "an event handler is a script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(html: str) -> Page:
    parsed = Page(html)
    assert parsed.open == []
    return parsed


def test_the_terminal_shows_the_amount_of_data() -> None:
    corpus = examined()
    corpus = replace(corpus, measured=[replace(one, seconds=90.0, silence=0.5) for one in corpus.measured])
    assert overview(corpus) == "3 speakers, 24 utterances, 36 min (18 min without silence), 6 sessions"
    text = terminal_report(corpus, [])
    rows = {" ".join(line.split()[:-5]): line.split()[-5:] for line in text.splitlines() if line.startswith("  ")}
    assert rows["minutes"] == ["6.0"] * 5  # per session, which comes last; per speaker it is 12
    assert rows["sessions"] == ["2"] * 5
    assert rows["seconds"] == ["90.0"] * 5
    assert rows["silence, %"] == ["50"] * 5
    assert "nothing to fix" in text


def test_quantiles_are_observed_values() -> None:
    corpus = examined(each=50)
    spread = next(one for one in spreads(corpus) if one.what == "signal-to-noise, dB")
    values = sorted(one.snr_db for one in corpus.measured)
    assert spread.quantiles == tuple(f"{values[index]:.0f}" for index in (0, 14, 149, 284, 299))


def test_the_terminal_groups_findings_and_shows_the_first_ones() -> None:
    text = terminal_report(examined(), [*found(1, "left out"), *found(SHOWN + 3)])
    assert "9 findings" in text
    assert text.index("left out: 1") < text.index(f"noisy: {SHOWN + 3}")
    assert text.count("→ record again") == 2, "once a kind"
    assert text.count("noise in") == 1 + SHOWN
    assert "… and 3 more" in text


def test_unknown_sessions_are_not_counted() -> None:
    corpus = examined(known=False)
    assert "sessions unknown" in overview(corpus)
    assert "of a session" not in terminal_report(corpus, [])
    assert "Utterances per speaker" in html_report(corpus, [], "x")


def test_the_page_is_self_contained() -> None:
    html = html_report(examined(), [*found(4), *found(2, "left out")], "my corpus")
    parsed = page(html)
    assert not parsed.tags & {"script", "link", "img", "iframe", "object", "embed", "base"}
    assert all(reference.startswith("#") for reference in parsed.references)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {reference[1:] for reference in parsed.references} <= set(parsed.ids)
    assert re.findall(r"url\((?!#)|@import", html) == []
    assert set(re.findall(r'[a-z]+://[^"\s<]+', html)) <= {"http://www.w3.org/1999/xlink"}, "a name, never fetched"


def test_the_page_has_every_plot_speaker_session_and_finding() -> None:
    corpus = examined(speakers=70)
    html = html_report(corpus, found(60), "my corpus")
    text = "\n".join(page(html).text)
    for plot in plots(corpus):
        assert plot.title in text
        assert plot.caption in text
        assert plot.svg in html
        assert plot.svg.startswith("<svg")
    for speaker in set(corpus.speakers):
        assert speaker in text
    assert text.count("day1: 4 utterances") == 70
    for finding in found(60):
        assert finding.text in text
    assert text.count("record again") == 1


def test_names_are_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script>&\"'$x_1$"
    corpus = examined(speakers=2)
    names = [f"{evil}/{index}.wav" for index in range(len(corpus.names))]
    corpus = replace(
        corpus,
        names=names,
        speakers=[f"{evil}{speaker}" for speaker in corpus.speakers],
        sessions=[f"{evil}{session}" for session in corpus.sessions],
    )
    finding = Finding("noisy", f"{evil}: loud", tuple(names), f"mind {evil}")
    html = html_report(corpus, [finding], evil)
    parsed = page(html)
    assert "script" not in parsed.tags
    assert "<script" not in html
    assert html.count(str(escape(evil))) > 10
    assert f"{evil}: loud" in "".join(parsed.text)


def test_the_bytes_do_not_depend_on_plot_settings_of_the_user() -> None:
    first = html_report(examined(), found(3), "x")
    with rc_context({"axes.facecolor": "black", "font.size": 20, "svg.fonttype": "path", "axes.grid": False}):
        before = dict(rcParams)
        assert html_report(examined(), found(3), "x") == first
        assert dict(rcParams) == before


def test_a_thousand_speakers_stay_readable() -> None:
    corpus = examined(speakers=1_000, sessions=4, each=3)
    many = [
        Finding("too little", f"s{n}: 20 s of sound", tuple(corpus.names[12 * n : 12 * n + 12]), "record more")
        for n in range(1_000)
    ]
    html = html_report(corpus, many, "large")
    assert len(html.encode()) < 5e6
    assert max(map(len, re.findall(r"<svg.*?</svg>", html, re.DOTALL))) < 50_000
    assert all(f"s{n}: 20 s" in html for n in range(1_000))
    assert len(terminal_report(corpus, many)) < 5_000


def test_files_that_the_text_of_a_finding_does_not_name_are_listed() -> None:
    files = tuple(f"s0/{index}.wav" for index in range(300))
    html = html_report(examined(), [Finding("clipped", f"300 of them: {files[0]}", files, "mend")], "x")
    assert all(f"{name}<" in html for name in files)
    assert "<summary>300 files</summary>" in html


def test_without_clipping_a_sentence_replaces_the_plot() -> None:
    clipping = plots(examined(clipped=False))[-1]
    assert (clipping.title, clipping.svg) == ("Clipping", "")
    assert clipping.caption == "0 of 24 recordings reach full scale."


@pytest.mark.parametrize(
    ("speakers", "each", "known", "same"), [(1, 1, False, True), (1, 2, True, False), (2, 2, True, True)]
)
def test_the_smallest_corpora_have_a_report(speakers: int, each: int, known: bool, same: bool) -> None:
    corpus = examined(speakers, 1, each, known)
    if same:
        corpus = replace(corpus, measured=[corpus.measured[0]] * len(corpus.measured))
    parsed = page(html_report(corpus, [], "small"))
    assert "No problems were found." in "".join(parsed.text)
    assert terminal_report(corpus, [])
