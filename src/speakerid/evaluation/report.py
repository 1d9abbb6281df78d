"""Results of an evaluation of a recognizer as an HTML page, with its figures as PNG files."""

from pathlib import Path

from speakerid.base.files import atomic_file
from speakerid.base.html import render, save_png
from speakerid.evaluation.report_plots import Picture, pictures
from speakerid.evaluation.results import Results, cell

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
    plots = [(picture.size[0] >= WIDE, picture.plot()) for picture in drawn]
    return render(
        "evaluation.html",
        title=results.title,
        results=results,
        small=[plot for wide, plot in plots if not wide],
        wide=[plot for wide, plot in plots if wide],
        measures=list(dict.fromkeys(measure for table in results.tables for measure in table.measures)),
        cell=cell,
    )
