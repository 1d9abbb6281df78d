"""The pages of results say what their CSV files say."""

from pathlib import Path

import pytest

import pages
import result_tables
from result_tables import cell, measured, select
from speakerid.base.errors import UserError

PAGES = pages.pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "run python scripts/research/pages.py"


def test_the_chart_is_up_to_date() -> None:
    content = pages.CHART.read_bytes()
    assert pages.digest().encode() in content, "run python scripts/research/pages.py"
    assert len(content) < 200_000


def test_the_chart_is_drawn(tmp_path: Path) -> None:
    pages.draw(tmp_path / "chart.png")
    assert pages.digest().encode() in (tmp_path / "chart.png").read_bytes()


def test_every_row_is_on_a_page() -> None:
    shown: dict[str, list[dict[str, str]]] = {}
    for template in pages.TEMPLATES.rglob("*.md"):
        for marker in pages.MARKER.findall(template.read_text(encoding="utf-8")):
            name, conditions = pages.parsed(marker)
            if name != pages.SUMMARY_TABLE:
                shown.setdefault(name, []).extend(select(name, conditions))
    for path in result_tables.RESULTS.glob("*.csv"):
        rows = select(path.stem, {})
        assert [row for row in rows if row not in shown.get(path.stem, [])] == [], path.name


def test_a_cell_has_what_was_measured() -> None:
    assert measured("") == "–"
    assert measured("1234") == "1,234"
    assert measured("94.9", "0.2", "92.7", "97.0") == "94.9 ± 0.2 (92.7 to 97.0)"
    assert cell(94.92) == "94.9"
    assert cell(94.92, interval=(92.66, 97)) == "94.9 (92.7 to 97.0)"


def test_a_table_has_the_rows_and_columns_with_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.csv").write_text("corpus,model,x,x sd,steps\na,m,1.0,0.5,\na,n,2.0,,\nb,m,3.0,,7\n")
    monkeypatch.setattr(result_tables, "RESULTS", tmp_path)
    assert pages.table("some corpus=a") == "| model | x |\n|---|---|\n| m | 1.0 ± 0.5 |\n| n | 2.0 |"
    with pytest.raises(UserError, match="found no row"):
        select("some", {"corpus": "c"})
    with pytest.raises(UserError, match="found no column corpora, expected one of corpus, model"):
        select("some", {"corpora": "a"})
    with pytest.raises(UserError, match=r"other\.csv"):
        select("other", {})
