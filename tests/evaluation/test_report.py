import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from matplotlib.image import imread

from recognition_example import example
from speakerid.base.errors import UserError
from speakerid.base.html import PAPER_INKS
from speakerid.cli.destination import check_destination
from speakerid.cli.kinds import EVALUATION_PAGE, PAGE_PICTURE
from speakerid.evaluation.report import recognition_page, write_page
from speakerid.evaluation.report_plots import NAMES as PICTURES
from speakerid.evaluation.report_plots import pictures
from speakerid.evaluation.results import CLLR, EER, Estimate, Measure, Results, Row, Table, cell
from speakerid.metrics.detection import det_curve

NAMES = ["det", "open_set", "reliability", "confusions", "embeddings"]
VOID = {"meta", "br", "path", "use"}


@pytest.fixture(scope="module")
def results() -> Results:
    return example()


@pytest.fixture(scope="module")
def html(results: Results) -> str:
    return recognition_page(results)


@pytest.mark.parametrize(
    ("measure", "value", "text"),
    [
        (CLLR, -0.0004, "0.000"),
        (CLLR, -0.0006, "-0.001"),
        (EER, -0.0, "0.0"),
        (EER, 0.1234, "12.3"),
        (CLLR, 1.5, "1.500"),
    ],
)
def test_a_zero_has_no_sign(measure: Measure, value: float, text: str) -> None:
    assert measure.text(value) == text


class Page(HTMLParser):
    """Content of a page, and whether all tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_every_figure_is_in_the_page_and_in_the_terminal(results: Results, html: str) -> None:
    page = Page(html)
    shown, printed = " ".join(page.text), results.as_text()
    for table in results.tables:
        assert table.title in printed
        for text in (table.title, *(measure.title for measure in table.measures)):
            assert text in shown
            assert all(word in printed for word in text.split())
        for row in table.rows:
            for measure in table.measures:
                figure, interval = cell(row, measure)
                assert figure in page.text
                assert interval in page.text
                assert f" {figure}" in printed
                assert f" {interval}" in printed
    assert results.title in page.text


def test_the_page_needs_nothing_else(html: str) -> None:
    assert "script" not in Page(html).tags
    assert not re.findall(r"https?://(?!www\.w3\.org/)", html)
    assert not re.findall(r'(?:src|href)="(?!#)', html)
    assert "<of>" not in html
    assert html.count("<svg") == html.count("</svg>") == len(NAMES)
    identifiers = re.findall(r'\bid="([^"]+)"', html)
    assert len(set(identifiers)) == len(identifiers)
    assert "#01020" not in html


def test_the_same_bytes_for_any_user_settings(results: Results, html: str) -> None:
    with rc_context():
        rcParams["font.size"] = 30
        other = recognition_page(results)
    assert other == html


def test_figures_are_next_to_the_page(results: Results, html: str, tmp_path: Path) -> None:
    page = write_page(results, tmp_path / "out")
    assert page.read_text(encoding="utf-8") == html
    assert sorted(path.name for path in page.parent.iterdir()) == sorted(["report.html", *(f"{n}.png" for n in NAMES)])
    assert sorted(NAMES) == sorted(PICTURES)
    for name in NAMES:
        assert np.std(imread(page.parent / f"{name}.png")) > 0.01
        check_destination(page.parent / f"{name}.png", PAGE_PICTURE, ())
    check_destination(page, EVALUATION_PAGE, ())
    before = {path: path.read_bytes() for path in page.parent.iterdir()}
    write_page(results, page.parent)
    assert {path: path.read_bytes() for path in page.parent.iterdir()} == before


def test_a_bundle_may_be_called_anything(results: Results, tmp_path: Path) -> None:
    bare = Results("speaker\udce9 on corpus", results.facts, results.tables)
    page = write_page(bare, tmp_path / "out\udce9")
    assert "<title>speaker\\udce9 on corpus</title>" in page.read_text(encoding="utf-8")


def test_missing_results_are_not_drawn(results: Results) -> None:
    bare = Results(results.title, results.facts, results.tables)
    assert pictures(bare) == []
    Page(recognition_page(bare))
    without = example(strangers=0, resamples=3)
    assert [picture.name for picture in pictures(without)] == ["det", "confusions", "embeddings"]
    assert cell(without.tables[0].rows[0], without.tables[0].measures[-1]) == ("–", "")
    Page(recognition_page(without))


@pytest.mark.parametrize(("speakers", "each"), [(2, 5), (3, 30)])
def test_the_smallest_and_the_easiest(speakers: int, each: int) -> None:
    few = example(speakers, each, strangers=1, resamples=5)
    Page(recognition_page(replace(few, confusions=None)))


def test_json_has_every_number(results: Results) -> None:
    found = json.loads(json.dumps(results.as_json()))
    row = results.tables[0].rows[1]
    for measure, estimate in row.estimates.items():
        assert found["tables"][0]["rows"][1][measure.name] == vars(estimate)


def test_a_folder_that_cannot_be_written(results: Results, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"det\.png: cannot be written"):
        write_page(results, tmp_path / "file")


def test_json_holds_what_is_not_finite() -> None:
    estimate = Estimate(np.inf, np.nan, np.inf)
    found = Results("t", (), (Table("t", "", (CLLR,), (Row("whole", "9", {CLLR: estimate}),)),))
    assert "inf" in found.as_text()
    text = json.dumps(found.as_json(), allow_nan=False)
    assert json.loads(text)["tables"][0]["rows"][0]["cllr"] == {"value": "inf", "low": None, "high": "inf"}


def test_perfectly_separated_scores_are_drawn(results: Results) -> None:
    curve = det_curve(np.array([0.0, 0.1, 0.8, 0.9]), np.array([False, False, True, True]))
    det = pictures(replace(results, det={"easy": curve}, det_point=None))[0]
    axes = Figure().subplots()
    det.draw(axes, PAPER_INKS)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    drawn = np.concatenate([line.get_xydata() for line in axes.lines])
    inside = (left <= drawn[:, 0]) & (drawn[:, 0] <= right) & (bottom <= drawn[:, 1]) & (drawn[:, 1] <= top)
    assert inside.any()
