"""Results of an evaluation of a recognizer as an HTML page, with its figures as PNG files."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from speakerid.base.files import atomic_file
from speakerid.base.html import html_page, html_plot, save_png
from speakerid.evaluation.report_plots import Picture, pictures
from speakerid.evaluation.results import Results, Row, Table, cell

PAGE = "report.html"
WIDE = 5.0
"""Width of a figure, in inches, from which it spans the page."""


def write_page(results: Results, folder: Path) -> Path:
    """Write report.html and a PNG file of every figure in it.

    Args:
        results: results with at least one table.
        folder: created if necessary; existing files are replaced.

    Returns:
        Path of the page.

    Raises:
        UserError: the folder cannot be written.
    """
    drawn = pictures(results)
    for picture in drawn:
        with atomic_file(folder / f"{picture.name}.png") as partial:
            save_png(partial, picture.title, picture.draw, picture.size)
    with atomic_file(folder / PAGE) as partial:
        # The title contains file names, which may be any bytes.
        partial.write_text(recognition_page(results, drawn), encoding="utf-8", errors="backslashreplace")
    return folder / PAGE


def recognition_page(results: Results, drawn: list[Picture] | None = None) -> str:
    """HTML of the page; the same results give the same bytes.

    Args:
        results: results with at least one table.
        drawn: its figures; by default all of them.
    """
    drawn = pictures(results) if drawn is None else drawn
    return html_page(
        results.title,
        [
            f"<h1>{escape(results.title)}</h1>",
            *(f'<p class="{"lead" if n == 0 else "faint"}">{escape(fact)}</p>' for n, fact in enumerate(results.facts)),
            *(piece for table in results.tables for piece in _table(table)),
            "<h2>Figures</h2>",
            '<section class="plots">',
            *(html_plot(picture.plot()) for picture in drawn if picture.size[0] < WIDE),
            "</section>",
            *(html_plot(picture.plot()) for picture in drawn if picture.size[0] >= WIDE),
            *_meanings(results),
        ],
    )


def _table(table: Table) -> Iterator[str]:
    yield f'<h2>{escape(table.title)}</h2><p class="faint">{escape(table.caption)}</p>'
    yield "<div class='wide'><table><thead><tr><th></th><th></th>"
    yield "".join(f'<th title="{escape(m.meaning)}">{escape(m.title)}</th>' for m in table.measures)
    yield "</tr></thead><tbody>"
    yield from (_row(table, row) for row in table.rows)
    yield "</tbody></table></div>"


def _row(table: Table, row: Row) -> str:
    cells = (cell(row, measure) for measure in table.measures)
    figures = "".join(f'<td>{figure}<br><span class="interval">{interval}</span></td>' for figure, interval in cells)
    return f'<tr><th>{escape(row.name)}</th><td class="faint">{escape(row.size)}</td>{figures}</tr>'


def _meanings(results: Results) -> Iterator[str]:
    """Explanation of the columns."""
    yield "<h2>Columns</h2><ul class='findings'>"
    for measure in dict.fromkeys(measure for table in results.tables for measure in table.measures):
        yield f"<li><b>{escape(measure.title)}</b>: {escape(measure.meaning)}</li>"
    yield "</ul>"
    yield (
        '<p class="faint">Below each figure: its 95 % bootstrap interval, from resamples of speakers and of each '
        "speaker's utterances.</p>"
    )
